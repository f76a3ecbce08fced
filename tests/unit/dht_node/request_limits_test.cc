// Every field of every request to a storage node has a limit, and what lies
// beyond it is refused: by reflection, so that no field that is added is
// forgotten. shoald's: tests/unit/server_api/request_limits_test.cc.
#include "dht/node/request_limits.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>
#include <string>

#include "tests/support/status_matchers.h"

namespace shoal::dht::node {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using shoal::node::v1::GetStatusRequest;
using shoal::node::v1::PullRequest;
using shoal::testing::FailsBecause;

// A field's limit itself, and what lies just beyond it.
struct Limit {
  std::function<void(PullRequest&)> fits;
  std::function<void(PullRequest&)> beyond;  // empty: nothing does
  std::string reason;
};

const std::multimap<std::string, Limit>& Limits() {
  const auto kinds = [](size_t count) {
    return [count](PullRequest& request) {
      for (size_t i = 0; i < count; ++i)
        request.add_kinds(records::v1::RECORD_KIND_OUTCOME);
    };
  };
  const auto kind = [](int value) {
    return [value](PullRequest& request) {
      request.add_kinds(static_cast<records::v1::RecordKind>(value));
    };
  };
  const auto store_id = [](size_t bytes) {
    return [bytes](PullRequest& request) {
      request.set_store_id(std::string(bytes, 's'));
    };
  };
  static const auto& limits = *new std::multimap<std::string, Limit>{
      {"kinds", {kinds(kMaxKinds), kinds(kMaxKinds + 1), "field_too_large"}},
      {"kinds", {kind(kMaxKind), kind(kMaxKind + 1), "field_out_of_range"}},
      {"kinds", {kind(0), kind(-1), "field_out_of_range"}},
      // Any number is a place in the order of arrival; none comes after the
      // last.
      {"cursor",
       {[](PullRequest& request) {
          request.set_cursor(std::numeric_limits<uint64_t>::max());
        },
        {},
        ""}},
      {"follow",
       {[](PullRequest& request) { request.set_follow(true); }, {}, ""}},
      {"store_id",
       {store_id(kMaxStoreIdBytes), store_id(kMaxStoreIdBytes + 1),
        "field_too_large"}},
  };
  return limits;
}

TEST(NodeRequestLimits, WhatLiesBeyondAnyFieldsLimitIsRefused) {
  const auto& file = *PullRequest::descriptor()->file();
  ASSERT_EQ(file.service_count(), 1);
  const auto& service = *file.service(0);
  int fields = 0;
  for (int m = 0; m < service.method_count(); ++m) {
    const Descriptor& type = *service.method(m)->input_type();
    // One with fields must be checked, and stand here.
    ASSERT_TRUE(&type == PullRequest::descriptor() || type.field_count() == 0)
        << type.full_name();
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const auto [begin, end] = Limits().equal_range(std::string(field.name()));
      EXPECT_NE(begin, end) << field.full_name() << ": what is its limit?";
      for (auto it = begin; it != end; ++it) {
        SCOPED_TRACE(std::string(field.full_name()));
        ++fields;
        PullRequest request;
        it->second.fits(request);
        EXPECT_OK(CheckRequest(request));
        if (!it->second.beyond) continue;
        request.Clear();
        it->second.beyond(request);
        EXPECT_THAT(CheckRequest(request), FailsBecause(it->second.reason));
        // As the server takes it in, that is what answers.
        EXPECT_LT(request.ByteSizeLong(), size_t{kMaxRequestBytes});
      }
    }
  }
  EXPECT_EQ(fields, static_cast<int>(Limits().size()));
}

}  // namespace
}  // namespace shoal::dht::node
