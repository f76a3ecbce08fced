// Where records stand: OpenDHT keys that an outsider can neither guess nor
// enumerate, since they are keyed hashes under the network's place key.
//
//   place = BLAKE2b-160(key = place key, kind as one byte ‖ name)
//
// docs/records.md is the byte-exact page; proto RecordKind says what the name
// of each kind is. All functions are pure and thread-safe.
#ifndef SHOAL_DHT_RECORDS_PLACE_H_
#define SHOAL_DHT_RECORDS_PLACE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/crypto/secret.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::dht {

using records::v1::RecordKind;

inline constexpr size_t kPlaceSize = 20;
inline constexpr size_t kPlaceKeySize = 32;
// Telemetry streams of a device are numbered 0 to 15.
inline constexpr uint32_t kMaxTelemetryStreams = 16;
// Outcomes of a rollout's phase are spread over 1, 2, 4, … or this many places.
inline constexpr uint32_t kMaxOutcomeShards = 256;

// Witnesses of the release log stand at this many places.
inline constexpr uint32_t kLogWitnessShards = 4;

// The shard of a device (16-byte id) among `shards`, a power of two: the top
// bits of SHA-256(device id), so uniform over the devices.
uint32_t OutcomeShardOf(std::string_view device_id, uint32_t shards);

// Where a device without a ticket asks to be let in: BLAKE2b-160 keyed with its
// ed25519 key (32 bytes) over "shoal.pair.request" ‖ the first 8 bytes of the
// fleet id.
std::string PairRequestPlace(std::string_view device_key,
                             std::string_view fleet_id);

// Move only (it holds a secret). Const use is thread-safe.
class PlaceNamer {
 public:
  // Exactly kPlaceKeySize bytes (proto NetworkAccess.place_key); anything else
  // is a broken invariant and aborts.
  explicit PlaceNamer(std::string_view place_key);

  // 20 bytes. `name` as proto RecordKind describes it.
  std::string Place(RecordKind kind, std::string_view name) const;

  std::string Head(std::string_view device_type) const;
  std::string Metadata(std::string_view role, uint64_t version) const;
  std::string Document(std::string_view sha256) const;  // 32 bytes, not hex
  std::string NodeDirectory() const;
  std::string Assignment(std::string_view device_id) const;    // 16 bytes
  std::string DeviceReport(std::string_view device_id) const;  // 16 bytes
  // Where a device writes its outcome when the phase's outcomes are spread over
  // `shards` places (rules/outcome_shard.h).
  std::string Outcome(std::string_view rollout_id, std::string_view device_id,
                      uint32_t shards) const;
  std::string OutcomeShard(std::string_view rollout_id, uint32_t shard) const;
  std::string Telemetry(std::string_view device_id, uint32_t stream) const;
  std::string Command(std::string_view device_id) const;
  std::string CommandResult(std::string_view command_id) const;
  std::string Halt(std::string_view device_type) const;
  std::string Provider(std::string_view sha256) const;  // 32 bytes, not hex
  std::string LogProof(std::string_view root) const;    // 32 bytes, not hex
  std::string LogEntries(uint64_t bundle) const;
  std::string LogWitness(uint32_t shard) const;

 private:
  crypto::SecretBytes key_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_PLACE_H_
