// What numbers of requests may be, whatever they mean: so that no sum or
// product of a time overflows, and no number that a newer client knows is taken
// for another.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <limits>
#include <map>
#include <string_view>

#include "common/status.h"
#include "fmt/format.h"
#include "server/api/request_limits.h"

namespace shoal::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// A hundred years; times of day count from 1970 to the end of the year 9999.
constexpr double kMostSeconds = 100 * 366 * 86'400.0;
constexpr double kLastMs = 253'402'300'799'999.0;
constexpr NumberRange kAny{-kInfinity, kInfinity};
constexpr NumberRange kCount{0, 10'000'000};
constexpr NumberRange kTimeMs{0, kLastMs};

// By the end of a field's name, which says its unit (docs/api.md).
const std::map<std::string_view, NumberRange>& ByUnit() {
  static const auto& units = *new std::map<std::string_view, NumberRange>{
      {"_seconds", {0, kMostSeconds}},
      {"_ms", {0, kMostSeconds * 1000}},
      {"_permille", {0, 1000}},
      {"_minute", {0, 1440}},
      {"_at", kTimeMs},
      {"_version", kAny},
      {"_counter", kAny},
      // Its own limit has a reason of its own.
      {"page_size", kAny},
  };
  return units;
}

const std::map<std::string_view, NumberRange>& ByName() {
  static const auto& names = *new std::map<std::string_view, NumberRange>{
      // Cursors and sizes: any number is one that may have been given out.
      {"shoal.telemetry.v1.TailTelemetryRequest.after", kAny},
      {"shoal.fleet.v1.GetNetworkRequest.log_size", kAny},
      {"shoal.fleet.v1.Device.log_size", kAny},
      {"shoal.rollout.v1.ReleaseRef.length", kAny},
      {"shoal.rollout.v1.ReleaseRef.counter", kAny},
      {"shoal.rollout.v1.Bandwidth.max_bytes_per_second", kAny},
      {"shoal.telemetry.v1.TailTelemetryRequest.last", kAny},
      {"shoal.fleet.v1.Group.member_count", kAny},
      {"shoal.rollout.v1.PhaseSpec.percent", {0, 100}},
      {"shoal.rollout.v1.PhaseSpec.count", kCount},
      {"shoal.rollout.v1.Gate.min_outcomes", kCount},
      {"shoal.rollout.v1.Gate.approvals", {0, 1000}},
      {"shoal.rollout.v1.RetryPolicy.max_attempts", {0, 1000}},
      {"shoal.rollout.v1.CreateRolloutRequest.max_parallel", kCount},
      // -1: do not wait.
      {"shoal.rollout.v1.CreateRolloutRequest.delta_wait_seconds",
       {-1, 604'800}},
      {"shoal.rollout.v1.ApprovePhaseRequest.phase", {0, 1000}},
      {"shoal.rollout.v1.Activation.not_before", kTimeMs},
      // Bits of weekdays, and dates as YYYYMMDD.
      {"shoal.policy.v1.TimeWindow.weekdays", {0, 127}},
      {"shoal.rollout.v1.Calendar.excluded", {0, 99'991'231}},
      {"shoal.rollout.v1.Calendar.included", {0, 99'991'231}},
  };
  return names;
}

double Value(const Message& message, const FieldDescriptor& field, int i) {
  const auto& r = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? r.GetRepeatedInt32(message, &field, i)
                  : r.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? r.GetRepeatedUInt32(message, &field, i)
                  : r.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(many ? r.GetRepeatedInt64(message, &field, i)
                                      : r.GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(many ? r.GetRepeatedUInt64(message, &field, i)
                                      : r.GetUInt64(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return many ? r.GetRepeatedFloat(message, &field, i)
                  : r.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return many ? r.GetRepeatedDouble(message, &field, i)
                  : r.GetDouble(message, &field);
    default:
      return 0;
  }
}

}  // namespace

std::optional<NumberRange> RangeOf(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
    case FieldDescriptor::CPPTYPE_MESSAGE:
    case FieldDescriptor::CPPTYPE_BOOL:
    case FieldDescriptor::CPPTYPE_ENUM:
      return std::nullopt;
    default:
      break;
  }
  const auto named = ByName().find(std::string_view(field.full_name()));
  if (named != ByName().end()) return named->second;
  for (const auto& [end, range] : ByUnit())
    if (std::string_view(field.name()).ends_with(end)) return range;
  return std::nullopt;
}

absl::Status CheckNumber(const Message& message, const FieldDescriptor& field,
                         int i) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    const auto& r = *message.GetReflection();
    const int value = field.is_repeated()
                          ? r.GetRepeatedEnumValue(message, &field, i)
                          : r.GetEnumValue(message, &field);
    if (field.enum_type()->FindValueByNumber(value) != nullptr)
      return absl::OkStatus();
    return InvalidArgument(
        "field_out_of_range",
        fmt::format("{} has no value {}: is this server older than its caller?",
                    std::string_view(field.full_name()), value));
  }
  const auto range = RangeOf(field);
  if (!range) return absl::OkStatus();
  const double value = Value(message, field, i);
  // Written so that "not a number" is outside.
  if (value >= range->min && value <= range->max) return absl::OkStatus();
  return InvalidArgument(
      "field_out_of_range",
      fmt::format("{} is {:.15g}, which is not within {:.15g} to {:.15g}",
                  std::string_view(field.full_name()), value, range->min,
                  range->max));
}

}  // namespace shoal::server
