#include "server/api/request_limits.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "common/status.h"
#include "fmt/format.h"

namespace shoal::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Names, labels, reasons, page tokens: none means anything beyond it.
constexpr size_t kMaxText = 1024;
// Keys, digests, signatures.
constexpr size_t kMaxBytes = 128;
constexpr size_t kMaxEntries = 1024;

// What may hold more, by its full name.
const std::map<std::string_view, size_t>& Larger() {
  static const auto& larger = *new std::map<std::string_view, size_t>{
      // A filter's own limit is 4,096.
      {"shoal.fleet.v1.ListDevicesRequest.filter", 8192},
      {"shoal.fleet.v1.WatchDevicesRequest.filter", 8192},
      {"shoal.fleet.v1.ExportDevicesRequest.filter", 8192},
      {"shoal.fleet.v1.Group.filter", 8192},
      {"shoal.release.v1.CreateReleaseHeader.metadata", 5'000'000},
      {"shoal.release.v1.CreateReleaseHeader.notes", 16'384},
      {"shoal.release.v1.CreateReleaseRequest.chunk", 1 << 20},
      // A record has at most 16 KiB.
      {"shoal.fleet.v1.PairDeviceRequest.request", 32'768},
      {"shoal.rollout.v1.HaltRolloutRequest.halt_record", 32'768},
      {"shoal.trust.v1.PublishRequest.MetadataEntry.value", 5'000'000},
      {"shoal.trust.v1.PublishRequest.DocumentsEntry.value", 5'000'000},
  };
  return larger;
}

bool HasBytes(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

absl::Status TooLarge(const FieldDescriptor& field, std::string_view what,
                      size_t limit) {
  return InvalidArgument(
      "field_too_large",
      fmt::format("{} holds more than {} {}",
                  std::string_view(field.full_name()), limit, what));
}

absl::Status CheckField(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const int entries =
      field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  if (static_cast<size_t>(entries) > MaxFieldEntries(field))
    return TooLarge(field, "entries", MaxFieldEntries(field));
  std::string scratch;
  for (int i = 0; i < entries; ++i) {
    if (HasBytes(field)) {
      const std::string& value =
          field.is_repeated()
              ? reflection.GetRepeatedStringReference(message, &field, i,
                                                      &scratch)
              : reflection.GetStringReference(message, &field, &scratch);
      if (value.size() > MaxFieldBytes(field))
        return TooLarge(field, "bytes", MaxFieldBytes(field));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      SHOAL_RETURN_IF_ERROR(CheckRequestLimits(
          field.is_repeated()
              ? reflection.GetRepeatedMessage(message, &field, i)
              : reflection.GetMessage(message, &field)));
    } else {
      SHOAL_RETURN_IF_ERROR(CheckNumber(message, field, i));
    }
  }
  return absl::OkStatus();
}

}  // namespace

size_t MaxFieldBytes(const FieldDescriptor& field) {
  if (!HasBytes(field)) return 0;
  const auto larger = Larger().find(std::string_view(field.full_name()));
  if (larger != Larger().end()) return larger->second;
  return field.type() == FieldDescriptor::TYPE_BYTES ? kMaxBytes : kMaxText;
}

size_t MaxFieldEntries(const FieldDescriptor& field) {
  return field.is_repeated() ? kMaxEntries : 1;
}

absl::Status CheckRequestLimits(const Message& request) {
  std::vector<const FieldDescriptor*> fields;
  request.GetReflection()->ListFields(request, &fields);
  for (const FieldDescriptor* field : fields)
    SHOAL_RETURN_IF_ERROR(CheckField(request, *field));
  return absl::OkStatus();
}

}  // namespace shoal::server
