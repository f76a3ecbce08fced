// The records that a plane, a device or an operator would put.
#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "dht/records/place.h"
#include "dht/records/record.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {
namespace {

constexpr uint64_t kMaxRecordPayload = 16'384;

}  // namespace

absl::StatusOr<std::string> TestFleet::SignFrom(
    records::v1::RecordKind kind, std::string place, uint64_t version,
    std::string_view payload, absl::Duration lifetime,
    const crypto::SigningKey& key,
    const records::v1::Credential* credential) const {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = std::move(place);
  fields.version = version;
  fields.issued = absl::Now();
  fields.expires = fields.issued + lifetime;
  fields.payload = std::string(payload);
  if (credential != nullptr) fields.credential = *credential;
  if (payload.size() > kMaxRecordPayload) {
    return InvalidArgument("record_too_large", "payload over 16 KiB");
  }
  return dht::SignRecord(fields, key, fleet_id_);
}

absl::StatusOr<std::string> TestFleet::DirectorRecord(
    records::v1::RecordKind kind, std::string_view name, uint64_t version,
    std::string_view payload, absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, director_, nullptr);
}

absl::StatusOr<std::string> TestFleet::IdentityRecord(
    const TestIdentity& identity, records::v1::RecordKind kind,
    std::string_view name, uint64_t version, std::string_view payload,
    absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, identity.key,
                  &identity.credential);
}

absl::StatusOr<std::string> TestFleet::OperatorRecord(
    const TestOperator& op, records::v1::RecordKind kind, std::string_view name,
    uint64_t version, std::string_view payload, absl::Duration lifetime) const {
  return SignFrom(kind, dht::PlaceNamer(network_.place_key()).Place(kind, name),
                  version, payload, lifetime, op.key, nullptr);
}

absl::StatusOr<std::string> TestFleet::HeadRecord(
    const std::string& device_type) const {
  records::v1::Head head;
  head.set_timestamp(metadata_.at("timestamp"));
  head.set_snapshot_version(versions_.at("snapshot"));
  for (const auto& [role, version] : versions_) {
    (*head.mutable_changed_roles())[role] = version;
  }
  return DirectorRecord(records::v1::RECORD_KIND_HEAD, device_type,
                        versions_.at("timestamp"), head.SerializeAsString());
}

absl::StatusOr<std::string> TestFleet::DirectoryRecord() const {
  return DirectorRecord(records::v1::RECORD_KIND_NODE_DIRECTORY, "",
                        directory_.version(), directory_.SerializeAsString());
}

absl::StatusOr<std::vector<std::string>> TestFleet::PublicationRecords() const {
  std::vector<std::string> records;
  for (const auto& [role, bytes] : metadata_) {
    if (bytes.size() > kMaxRecordPayload) continue;
    const uint64_t version = versions_.at(role);
    SHOAL_ASSIGN_OR_RETURN(
        auto record,
        DirectorRecord(records::v1::RECORD_KIND_METADATA,
                       fmt::format("{}/{}", role, version), version, bytes));
    records.push_back(std::move(record));
  }
  for (const auto& [sha256, bytes] : documents_) {
    if (bytes.size() > kMaxRecordPayload) continue;
    SHOAL_ASSIGN_OR_RETURN(auto record,
                           DirectorRecord(records::v1::RECORD_KIND_DOCUMENT,
                                          HexEncode(sha256), 1, bytes));
    records.push_back(std::move(record));
  }
  if (directory_.version() > 0) {
    SHOAL_ASSIGN_OR_RETURN(auto record, DirectoryRecord());
    records.push_back(std::move(record));
  }
  for (const std::string& type : options_.device_types) {
    SHOAL_ASSIGN_OR_RETURN(auto record, HeadRecord(type));
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace shoal::testing
