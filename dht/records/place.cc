#include "dht/records/place.h"

#include <cstdlib>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"

namespace shoal::dht {

uint32_t OutcomeShardOf(std::string_view device_id, uint32_t shards) {
  const uint64_t hash = ReadBigEndian(crypto::Sha256Digest(device_id), 4);
  return static_cast<uint32_t>(hash * shards >> 32);
}

std::string PairRequestPlace(std::string_view device_key,
                             std::string_view fleet_id) {
  return crypto::Blake2b(
      device_key,
      std::string("shoal.pair.request") + std::string(fleet_id.substr(0, 8)),
      kPlaceSize);
}

PlaceNamer::PlaceNamer(std::string_view place_key) : key_(place_key) {
  if (place_key.size() != kPlaceKeySize) {
    LogError("broken_invariant", {{"what", "place key has not 32 bytes"}});
    std::abort();
  }
}

std::string PlaceNamer::Place(RecordKind kind, std::string_view name) const {
  std::string input(1, static_cast<char>(kind));
  input.append(name);
  return crypto::Blake2b(key_.view(), input, kPlaceSize);
}

std::string PlaceNamer::Head(std::string_view device_type) const {
  return Place(records::v1::RECORD_KIND_HEAD, device_type);
}

std::string PlaceNamer::Metadata(std::string_view role,
                                 uint64_t version) const {
  return Place(records::v1::RECORD_KIND_METADATA,
               std::string(role) + "/" + std::to_string(version));
}

std::string PlaceNamer::Document(std::string_view sha256) const {
  return Place(records::v1::RECORD_KIND_DOCUMENT, HexEncode(sha256));
}

std::string PlaceNamer::NodeDirectory() const {
  return Place(records::v1::RECORD_KIND_NODE_DIRECTORY, "");
}

std::string PlaceNamer::Assignment(std::string_view device_id) const {
  return Place(records::v1::RECORD_KIND_ASSIGNMENT, HexEncode(device_id));
}

std::string PlaceNamer::DeviceReport(std::string_view device_id) const {
  return Place(records::v1::RECORD_KIND_DEVICE_REPORT, HexEncode(device_id));
}

std::string PlaceNamer::Outcome(std::string_view rollout_id,
                                std::string_view device_id,
                                uint32_t shards) const {
  return OutcomeShard(rollout_id, OutcomeShardOf(device_id, shards));
}

std::string PlaceNamer::OutcomeShard(std::string_view rollout_id,
                                     uint32_t shard) const {
  return Place(records::v1::RECORD_KIND_OUTCOME,
               std::string(rollout_id) + "/" + std::to_string(shard));
}

std::string PlaceNamer::Telemetry(std::string_view device_id,
                                  uint32_t stream) const {
  return Place(records::v1::RECORD_KIND_TELEMETRY,
               HexEncode(device_id) + "/" + std::to_string(stream));
}

std::string PlaceNamer::Command(std::string_view device_id) const {
  return Place(records::v1::RECORD_KIND_COMMAND, HexEncode(device_id));
}

std::string PlaceNamer::CommandResult(std::string_view command_id) const {
  return Place(records::v1::RECORD_KIND_COMMAND_RESULT, HexEncode(command_id));
}

std::string PlaceNamer::Halt(std::string_view device_type) const {
  return Place(records::v1::RECORD_KIND_HALT, device_type);
}

std::string PlaceNamer::Provider(std::string_view sha256) const {
  return Place(records::v1::RECORD_KIND_PROVIDER, HexEncode(sha256));
}

std::string PlaceNamer::LogProof(std::string_view root) const {
  return Place(records::v1::RECORD_KIND_LOG_PROOF, HexEncode(root));
}

std::string PlaceNamer::LogEntries(uint64_t bundle) const {
  return Place(records::v1::RECORD_KIND_LOG_ENTRIES, std::to_string(bundle));
}

std::string PlaceNamer::LogWitness(uint32_t shard) const {
  return Place(records::v1::RECORD_KIND_LOG_WITNESS, std::to_string(shard));
}

}  // namespace shoal::dht
