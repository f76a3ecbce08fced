// Every field of every request of every service has a limit, and what lies
// beyond it is refused: by reflection over all of them, so that no field that
// is added is forgotten.
#include "server/api/request_limits.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include <functional>
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
#include "tests/support/status_matchers.h"

namespace shoal::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using shoal::testing::FailsBecause;

// The services that shoald offers.
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

TEST(RequestLimitsTest, WhatLiesBeyondAnyFieldsLimitIsRefused) {
  google::protobuf::DynamicMessageFactory factory;
  int requests = 0, texts = 0, lists = 0;
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
}

}  // namespace
}  // namespace shoal::server
