#include "signing/verify/fleet_trust.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/trust/v1/revocations.pb.h"

namespace shoal::signing {
namespace {

constexpr size_t kDeviceIdSize = 16;
constexpr size_t kKeyDigestSize = 16;

absl::StatusOr<std::vector<std::string>> Keys(
    const google::protobuf::RepeatedPtrField<std::string>& texts) {
  std::vector<std::string> keys;
  for (const std::string& text : texts) {
    auto key = HexDecode(text);
    if (!key.ok() || key->size() != 32)
      return InvalidArgument("bad_policy",
                             "a revoked key is not 32 bytes in hex");
    keys.push_back(*std::move(key));
  }
  return keys;
}

absl::Status AddPolicy(Updater& updater, Fetcher* source, FleetTrust& trust) {
  const auto target = updater.GetTargetOf(source, kPolicyRole, kPolicyPath);
  if (ReasonOf(target.status()) == "unknown_target") return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(target);
  SHOAL_ASSIGN_OR_RETURN(trust.policy_json,
                         updater.FetchTarget(source, *target, kMaxPolicyBytes));
  policy::v1::AccessPolicy policy;
  const auto status = google::protobuf::util::JsonStringToMessage(
      trust.policy_json, &policy, google::protobuf::util::JsonParseOptions());
  if (!status.ok()) return InvalidArgument("bad_policy", status.ToString());
  const auto& revocations = policy.revocations();
  SHOAL_ASSIGN_OR_RETURN(trust.revoked_operator_keys,
                         Keys(revocations.operator_keys()));
  SHOAL_ASSIGN_OR_RETURN(trust.revoked_node_keys,
                         Keys(revocations.node_keys()));
  SHOAL_ASSIGN_OR_RETURN(trust.revoked_device_ca_keys,
                         Keys(revocations.device_ca_keys()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FleetTrust> BuildFleetTrust(Updater& updater, Fetcher* source) {
  FleetTrust trust;
  trust.fleet_id = updater.fleet_id();
  auto directors = updater.DelegationKeys(source, "director");
  if (directors.ok())
    trust.director_keys = *std::move(directors);
  else if (ReasonOf(directors.status()) != "unknown_role")
    return directors.status();
  if (updater.targets().fleet_keys) {
    const FleetKeys& keys = *updater.targets().fleet_keys;
    trust.device_ca_keys = keys.device_ca;
    trust.node_ca_keys = keys.node_ca;
    trust.time_keys = keys.time;
    trust.telemetry_key = keys.telemetry;
    trust.manufacturers = keys.manufacturers;
  }
  trust.timestamp_version = updater.timestamp().version;
  trust.root_version = updater.root().version;
  SHOAL_RETURN_IF_ERROR(AddPolicy(updater, source, trust));
  std::erase_if(trust.device_ca_keys, [&](const std::string& key) {
    const auto& revoked = trust.revoked_device_ca_keys;
    return std::find(revoked.begin(), revoked.end(), key) != revoked.end();
  });
  return trust;
}

std::string DeviceRevocationsPath(std::string_view device_type) {
  return "director/" + std::string(device_type) + "/revoked/devices";
}

std::string KeyDigest(std::string_view public_key) {
  return crypto::Sha256Digest(public_key).substr(0, kKeyDigestSize);
}

std::optional<absl::Time> SupersededSince(const FleetTrust& trust,
                                          std::string_view public_key) {
  if (trust.superseded_keys.empty()) return std::nullopt;
  const std::string digest = KeyDigest(public_key);
  for (const auto& [type, keys] : trust.superseded_keys)
    if (const auto it = keys.find(digest); it != keys.end()) return it->second;
  return std::nullopt;
}

absl::Status AddRevocations(Updater& updater, Fetcher* source,
                            std::string_view device_type, FleetTrust& trust) {
  const auto target =
      updater.GetTarget(source, DeviceRevocationsPath(device_type));
  if (ReasonOf(target.status()) == "unknown_target") return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(target);
  SHOAL_ASSIGN_OR_RETURN(
      const std::string bytes,
      updater.FetchTarget(source, *target, kMaxDeviceRevocationsBytes));
  trust::v1::DeviceRevocations revocations;
  if (!revocations.ParseFromString(bytes) ||
      revocations.device_type() != device_type)
    return InvalidArgument("bad_revocations", target->path);
  for (const std::string& id : revocations.device_ids())
    if (id.size() != kDeviceIdSize)
      return InvalidArgument("bad_revocations", "a device id has 16 bytes");
  SupersededKeys keys;
  for (const auto& key : revocations.superseded()) {
    if (key.key_digest().size() != kKeyDigestSize)
      return InvalidArgument("bad_revocations", "a key's digest has 16 bytes");
    if (keys.size() < kMaxSupersededKeys)
      keys.emplace(key.key_digest(), absl::FromUnixMillis(key.since()));
  }
  trust.revoked_device_ids.insert(revocations.device_ids().begin(),
                                  revocations.device_ids().end());
  trust.superseded_keys[std::string(device_type)] = std::move(keys);
  return absl::OkStatus();
}

}  // namespace shoal::signing
