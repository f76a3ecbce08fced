// How much a field of a request may hold at most, whatever it means: the outer
// bound before any work. What a field means bounds it further, with a reason of
// its own (docs/api.md, "Limits").
#ifndef SHOAL_SERVER_API_REQUEST_LIMITS_H_
#define SHOAL_SERVER_API_REQUEST_LIMITS_H_

#include <cstddef>
#include <optional>
#include <string_view>

#include "absl/status/status.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace shoal::server {

// Bytes of a text or of bytes; 0 for fields of other types.
size_t MaxFieldBytes(const google::protobuf::FieldDescriptor& field);
// Entries of a list or map; 1 for fields that are neither.
size_t MaxFieldEntries(const google::protobuf::FieldDescriptor& field);

struct NumberRange {
  double min = 0;
  double max = 0;
};
// What a number may be; nullopt for fields of other types. Numbers without a
// range are an error that a test finds.
std::optional<NumberRange> RangeOf(
    const google::protobuf::FieldDescriptor& field);

// A number, or an enum's value, of `message`: entry `i` of a list.
// "field_out_of_range".
absl::Status CheckNumber(const google::protobuf::Message& message,
                         const google::protobuf::FieldDescriptor& field, int i);

// kInvalidArgument "field_too_large" names the first field that holds more,
// messages within the request included; "field_out_of_range" the first number.
absl::Status CheckRequestLimits(const google::protobuf::Message& request);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_REQUEST_LIMITS_H_
