// What a reader of records needs to know about the fleet: a snapshot of
// verified metadata as plain values.
#ifndef SHOAL_SIGNING_VERIFY_FLEET_TRUST_H_
#define SHOAL_SIGNING_VERIFY_FLEET_TRUST_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "signing/verify/updater.h"

namespace shoal::signing {

inline constexpr char kPolicyPath[] = "policy/access.json";
// Whose word the policy is: nobody else's is taken, above all no online role's,
// even should targets.json let one answer first ("wrong_role").
inline constexpr char kPolicyRole[] = "policy";
inline constexpr uint64_t kMaxPolicyBytes = 65'536;

// SHA-256 of a public key, its first 16 bytes → since when (docs/pairing.md).
using SupersededKeys = std::map<std::string, absl::Time, std::less<>>;
// Of one device type. Beyond it the oldest are passed over: to whoever reads
// the list, a credential for one of those is good until it ends.
inline constexpr int kMaxSupersededKeys = 4096;
std::string KeyDigest(std::string_view public_key);

// A plain value; share it as shared_ptr<const FleetTrust> and replace it whole.
// All keys are raw 32 bytes.
struct FleetTrust {
  std::string fleet_id;
  std::vector<std::string> device_ca_keys;
  std::vector<std::string> node_ca_keys;
  std::vector<std::string> time_keys;
  std::vector<Manufacturer> manufacturers;
  std::string telemetry_key;               // X25519; empty: none
  std::vector<std::string> director_keys;  // of the delegation "director"
  // The access policy's bytes (proto3 JSON of shoal.policy.v1.AccessPolicy);
  // empty when the fleet has none yet.
  std::string policy_json;
  // Out of the policy's revocations.
  std::vector<std::string> revoked_operator_keys;
  std::vector<std::string> revoked_node_keys;
  std::vector<std::string> revoked_device_ca_keys;
  // Ids (16 bytes) of devices that the director took out of the fleet.
  std::set<std::string> revoked_device_ids;
  // Keys that devices have replaced, by device type, as the director's newest
  // list that could be read names them.
  std::map<std::string, SupersededKeys> superseded_keys;
  uint64_t timestamp_version = 0;
  uint64_t root_version = 0;
};

// After Refresh or UseStored of `updater`. A revoked CA key is already left
// out. "bad_policy" (kInvalidArgument) when the signed policy is not what
// policy.proto says; a reader then keeps the trust it had.
absl::StatusOr<FleetTrust> BuildFleetTrust(Updater& updater, Fetcher* source);

// "director/TYPE/revoked/devices" (proto/shoal/trust/v1/revocations.proto).
std::string DeviceRevocationsPath(std::string_view device_type);
inline constexpr uint64_t kMaxDeviceRevocationsBytes = 4u << 20;

// Adds the devices of `device_type` that the director took out of the fleet to
// trust.revoked_device_ids, which only grows, and takes its list of superseded
// keys in place of the one before. Hand in what was known before, and keep that
// when this fails: `trust` is unchanged then. OK when there is no such
// document. "bad_revocations" (kInvalidArgument); the Updater's reasons.
absl::Status AddRevocations(Updater& updater, Fetcher* source,
                            std::string_view device_type, FleetTrust& trust);
// Since when the device's key `public_key` is superseded; nullopt: it is not.
std::optional<absl::Time> SupersededSince(const FleetTrust& trust,
                                          std::string_view public_key);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_FLEET_TRUST_H_
