// How much a field of a request may hold at most, whatever it means: the outer
// bound before any work. What a field means bounds it further, with a reason of
// its own (docs/api.md, "Limits").
#ifndef SHOAL_SERVER_API_REQUEST_LIMITS_H_
#define SHOAL_SERVER_API_REQUEST_LIMITS_H_

#include <cstddef>
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

// kInvalidArgument "field_too_large" names the first field that holds more,
// messages within the request included.
absl::Status CheckRequestLimits(const google::protobuf::Message& request);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_REQUEST_LIMITS_H_
