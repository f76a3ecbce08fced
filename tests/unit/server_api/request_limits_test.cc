// Every field of every request of every service has a limit, and what lies
// beyond it is refused: by reflection over all of them, so that no field that
// is added is forgotten.
#include "server/api/request_limits.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <set>
#include <string>

#include "shoal/fleet/v1/device_service.pb.h"
#include "shoal/fleet/v1/enrolment_service.pb.h"
#include "shoal/fleet/v1/group_service.pb.h"
#include "shoal/fleet/v1/node_service.pb.h"
#include "shoal/policy/v1/policy_service.pb.h"
#include "shoal/release/v1/release_service.pb.h"
#include "shoal/rollout/v1/rollout_service.pb.h"
#include "shoal/telemetry/v1/telemetry_service.pb.h"
#include "shoal/trust/v1/trust_service.pb.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"

namespace shoal::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using shoal::testing::FailsBecause;

// The services that shoald offers; shoal-node's has a test beside it
// (tests/unit/dht_node/request_limits_test.cc).
const std::vector<const FileDescriptor*>& Files() {
  static const auto& files = *new std::vector<const FileDescriptor*>{
      fleet::v1::Device::descriptor()->file(),
      fleet::v1::AcceptDeviceRequest::descriptor()->file(),
      fleet::v1::Group::descriptor()->file(),
      fleet::v1::EnrollNodeRequest::descriptor()->file(),
      policy::v1::TestPolicyRequest::descriptor()->file(),
      release::v1::Release::descriptor()->file(),
      rollout::v1::Rollout::descriptor()->file(),
      telemetry::v1::TailTelemetryRequest::descriptor()->file(),
      trust::v1::PublishRequest::descriptor()->file()};
  return files;
}

// Calls `visit` for every field that a message can hold, with a function that
// puts a message with `fill`ed field into a fresh request.
using Fill = std::function<void(Message&)>;
using Visit =
    std::function<void(const FieldDescriptor&,
                       const std::function<absl::Status(const Fill&)>& judge)>;
void Walk(const Descriptor& type,
          const std::function<absl::Status(const Fill&)>& judge,
          std::set<const Descriptor*>& seen, const Visit& visit) {
  if (!seen.insert(&type).second) return;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    visit(field, judge);
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    Walk(
        *field.message_type(),
        [&field, &judge](const Fill& fill) {
          return judge([&](Message& outer) {
            const auto& reflection = *outer.GetReflection();
            fill(field.is_repeated()
                     ? *reflection.AddMessage(&outer, &field)
                     : *reflection.MutableMessage(&outer, &field));
          });
        },
        seen, visit);
  }
}

void SetText(Message& message, const FieldDescriptor& field, size_t size) {
  const auto& reflection = *message.GetReflection();
  if (field.is_repeated())
    reflection.AddString(&message, &field, std::string(size, 'a'));
  else
    reflection.SetString(&message, &field, std::string(size, 'a'));
}

void AddEntries(Message& message, const FieldDescriptor& field, size_t count) {
  const auto& reflection = *message.GetReflection();
  for (size_t i = 0; i < count; ++i) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        reflection.AddString(&message, &field, std::to_string(i));
        break;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (Message* entry = reflection.AddMessage(&message, &field);
            field.is_map()) {
          const auto* key = field.message_type()->map_key();
          if (key->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
            entry->GetReflection()->SetString(entry, key, std::to_string(i));
        }
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        reflection.AddEnumValue(&message, &field, 1);
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        reflection.AddUInt32(&message, &field, 1);
        break;
      default:
        ADD_FAILURE() << field.full_name() << ": teach the test this type";
    }
  }
}

void SetNumber(Message& message, const FieldDescriptor& field, double value) {
  const auto& r = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto v = static_cast<int32_t>(value);
      many ? r.AddInt32(&message, &field, v) : r.SetInt32(&message, &field, v);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      const auto v = static_cast<uint32_t>(value);
      many ? r.AddUInt32(&message, &field, v)
           : r.SetUInt32(&message, &field, v);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      const auto v = static_cast<int64_t>(value);
      many ? r.AddInt64(&message, &field, v) : r.SetInt64(&message, &field, v);
      break;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE:
      many ? r.AddDouble(&message, &field, value)
           : r.SetDouble(&message, &field, value);
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto v = static_cast<int>(value);
      many ? r.AddEnumValue(&message, &field, v)
           : r.SetEnumValue(&message, &field, v);
      break;
    }
    default:
      ADD_FAILURE() << field.full_name() << ": teach the test this type";
  }
}

// What the type of `field` itself can hold.
bool Holds(const FieldDescriptor& field, double value) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return value >= -2147483648.0 && value <= 2147483647.0;
    case FieldDescriptor::CPPTYPE_UINT32:
      return value >= 0 && value <= 4294967295.0;
    case FieldDescriptor::CPPTYPE_INT64:
      return value >= -9e18 && value <= 9e18;
    case FieldDescriptor::CPPTYPE_UINT64:
      return value >= 0 && value <= 1.8e19;
    default:
      return true;
  }
}

// A service that is added is not forgotten either.
TEST(RequestLimitsTest, EveryServiceOfTheApiIsKnown) {
  std::set<std::string> known = {"shoal.node.v1.Records"};
  for (const FileDescriptor* file : Files())
    for (int i = 0; i < file->service_count(); ++i)
      known.insert(std::string(file->service(i)->full_name()));
  const std::regex package("\\npackage ([a-z0-9_.]+);");
  const std::regex service("\\nservice ([A-Za-z0-9_]+) \\{");
  size_t found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(
           testing::SourcePath("proto"))) {
    if (entry.path().extension() != ".proto") continue;
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    std::smatch name;
    ASSERT_TRUE(std::regex_search(text, name, package)) << entry.path();
    for (std::sregex_iterator it(text.begin(), text.end(), service), end;
         it != end; ++it, ++found)
      EXPECT_TRUE(known.contains(name[1].str() + "." + (*it)[1].str()))
          << "add " << entry.path() << " to Files()";
  }
  EXPECT_EQ(found, known.size());
}

TEST(RequestLimitsTest, WhatLiesBeyondAnyFieldsLimitIsRefused) {
  google::protobuf::DynamicMessageFactory factory;
  int requests = 0, texts = 0, lists = 0, numbers = 0;
  for (const FileDescriptor* file : Files()) {
    ASSERT_GT(file->service_count(), 0) << file->name();
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const Descriptor& type = *file->service(s)->method(m)->input_type();
        ++requests;
        const auto judge = [&](const Fill& fill) {
          const std::unique_ptr<Message> request(
              factory.GetPrototype(&type)->New());
          fill(*request);
          return CheckRequestLimits(*request);
        };
        std::set<const Descriptor*> seen;
        Walk(type, judge, seen,
             [&](const FieldDescriptor& field, const auto& check) {
               SCOPED_TRACE(std::string(type.name()) + ": " +
                            std::string(field.full_name()));
               if (const size_t max = MaxFieldBytes(field); max > 0) {
                 ++texts;
                 EXPECT_OK(
                     check([&](Message& one) { SetText(one, field, max); }));
                 EXPECT_THAT(
                     check([&](Message& one) { SetText(one, field, max + 1); }),
                     FailsBecause("field_too_large"));
               }
               const auto beyond = [&](double value) {
                 if (!Holds(field, value)) return;
                 EXPECT_THAT(
                     check([&](Message& one) { SetNumber(one, field, value); }),
                     FailsBecause("field_out_of_range"))
                     << value;
               };
               if (const auto range = RangeOf(field)) {
                 ++numbers;
                 if (std::isfinite(range->max)) {
                   for (const double value : {range->min, range->max}) {
                     if (!Holds(field, value)) continue;
                     EXPECT_OK(check(
                         [&](Message& one) { SetNumber(one, field, value); }));
                   }
                   beyond(range->max + 1);
                   beyond(range->min - 1);
                   if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE)
                     beyond(std::nan(""));
                 }
               } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
                 ++numbers;
                 beyond(1'000'000);
               } else {
                 EXPECT_TRUE(
                     field.cpp_type() == FieldDescriptor::CPPTYPE_STRING ||
                     field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ||
                     field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL)
                     << "give this number a range: server/api/number_limits.cc";
               }
               if (!field.is_repeated()) return;
               ++lists;
               const size_t max = MaxFieldEntries(field);
               EXPECT_OK(
                   check([&](Message& one) { AddEntries(one, field, max); }));
               EXPECT_THAT(check([&](Message& one) {
                             AddEntries(one, field, max + 1);
                           }),
                           FailsBecause("field_too_large"));
             });
      }
    }
  }
  EXPECT_GT(requests, 40);
  EXPECT_GT(texts, 150);
  EXPECT_GT(lists, 30);
  EXPECT_GT(numbers, 50);
}

}  // namespace
}  // namespace shoal::server
