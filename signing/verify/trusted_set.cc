#include "signing/verify/trusted_set.h"

#include <fmt/format.h>

#include <set>

#include "common/crypto/hash.h"
#include "common/crypto/sha512.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

// The public keys behind a role's ids.
std::map<std::string, std::string> Identities(
    const std::map<std::string, Key>& keys, const RoleKeys& role,
    const KeyAlgorithms& algorithms) {
  std::map<std::string, std::string> result;
  for (const std::string& id : role.key_ids)
    if (const auto key = keys.find(id); key != keys.end())
      result[id] = algorithms.Identity(key->second);
  return result;
}

// Whether role `name` lost a key: then its old state, which a stolen key may
// have driven up, is forgotten (T04).
bool LostAKey(const Root& before, const Root& after, const std::string& name,
              const KeyAlgorithms& algorithms) {
  std::set<std::string> kept;
  for (const auto& [id, identity] :
       Identities(after.keys, after.roles.at(name), algorithms))
    kept.insert(identity);
  for (const auto& [id, identity] :
       Identities(before.keys, before.roles.at(name), algorithms))
    if (!identity.empty() && !kept.contains(identity)) return true;
  return false;
}

// Whether what role `name` signed under `before`, of which no key is lost, is
// good under `after`: as it is, or by keys whose ids alone are new.
bool StillSigned(const Root& before, const Root& after, const std::string& name,
                 const SignedBytes& envelope, const KeyAlgorithms& algorithms) {
  const RoleKeys& now = after.roles.at(name);
  RoleKeys then = before.roles.at(name);
  then.threshold = now.threshold;
  return VerifySignatures(envelope, after.keys, now, name, algorithms).ok() ||
         VerifySignatures(envelope, before.keys, then, name, algorithms).ok();
}

absl::Status Rollback(std::string_view role, uint64_t from, uint64_t to) {
  return FailedPrecondition(
      "rollback",
      fmt::format("{} went back from version {} to {}", role, from, to));
}

absl::Status Equivocation(std::string_view role, uint64_t version) {
  return MakeError(absl::StatusCode::kAlreadyExists, "equivocation",
                   fmt::format("{} version {} is already trusted with other "
                               "content",
                               role, version));
}

// The parser knows no role's name; whoever has to mend it wants to.
template <typename T>
absl::StatusOr<T> In(std::string_view role, absl::StatusOr<T> parsed) {
  if (parsed.ok()) return parsed;
  return Annotate(parsed.status(), role);
}

}  // namespace

absl::Status CheckExpiry(std::string_view role, absl::Time expires,
                         absl::Time now) {
  if (expires > now) return absl::OkStatus();
  return FailedPrecondition(
      "expired_metadata",
      fmt::format("{} expired at {}, it is {}", role, FormatExpires(expires),
                  FormatExpires(now)));
}

absl::Status CheckPin(std::string_view role, const MetaFile& pin,
                      std::string_view bytes) {
  if (pin.length && bytes.size() > *pin.length)
    return DataLoss("length_mismatch",
                    fmt::format("{} has {} bytes, {} are signed", role,
                                bytes.size(), *pin.length));
  if (pin.unknown_hashes)
    return FailedPrecondition(
        "unsupported_hash",
        fmt::format("{} is pinned by no digest that is known here", role));
  if ((pin.sha256 && crypto::Sha256Digest(bytes) != *pin.sha256) ||
      (pin.sha512 && crypto::Sha512Digest(bytes) != *pin.sha512))
    return DataLoss("hash_mismatch",
                    fmt::format("{} is not the file that is signed", role));
  return absl::OkStatus();
}

absl::StatusOr<ParsedRoot> ParseSelfSignedRoot(std::string_view bytes,
                                               const VerifierPolicy& policy) {
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot parsed,
                         In("root", ParseRootAs(policy.dialect, bytes)));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(parsed.envelope, parsed.value.keys,
                                         parsed.value.roles.at("root"), "root",
                                         *policy.algorithms));
  return parsed;
}

absl::Status TrustedSet::AdvanceRoot(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(ParsedRoot next,
                         In("root", ParseRootAs(policy.dialect, bytes)));
  SHOAL_RETURN_IF_ERROR(
      VerifySignatures(next.envelope, root.keys, root.roles.at("root"),
                       "the new root, by the old keys,", *policy.algorithms));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(
      next.envelope, next.value.keys, next.value.roles.at("root"),
      "the new root, by its own keys,", *policy.algorithms));
  if (next.value.version != root.version + 1)
    return DataLoss("wrong_version",
                    fmt::format("root {} where {} is expected",
                                next.value.version, root.version + 1));
  const KeyAlgorithms& algorithms = *policy.algorithms;
  timestamp_key_lost = LostAKey(root, next.value, "timestamp", algorithms);
  bool snapshot_key_lost = LostAKey(root, next.value, "snapshot", algorithms);
  // A higher threshold too: one stolen key may have signed this alone.
  if (timestamp) {
    const auto held = ParseTimestampAs(policy.dialect, timestamp_bytes);
    timestamp_key_lost |=
        !held.ok() ||
        !StillSigned(root, next.value, "timestamp", held->envelope, algorithms);
  }
  if (snapshot) {
    const auto held = ParseSnapshotAs(policy.dialect, snapshot_bytes);
    snapshot_key_lost |=
        !held.ok() ||
        !StillSigned(root, next.value, "snapshot", held->envelope, algorithms);
  }
  if (timestamp_key_lost || snapshot_key_lost) {
    timestamp.reset();
    timestamp_bytes.clear();
    snapshot.reset();
    snapshot_bytes.clear();
  }
  root = std::move(next.value);
  root_bytes = std::string(bytes);
  return absl::OkStatus();
}

absl::Status TrustedSet::UpdateTimestamp(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(
      ParsedTimestamp next,
      In("timestamp", ParseTimestampAs(policy.dialect, bytes)));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(next.envelope, root.keys,
                                         root.roles.at("timestamp"),
                                         "timestamp", *policy.algorithms));
  if (timestamp) {
    if (next.value.version < timestamp->version)
      return Rollback("timestamp", timestamp->version, next.value.version);
    if (next.value.version == timestamp->version) {
      // Other signatures over the same content are harmless.
      SHOAL_ASSIGN_OR_RETURN(const ParsedTimestamp old,
                             ParseTimestampAs(policy.dialect, timestamp_bytes));
      if (old.envelope.canonical_signed != next.envelope.canonical_signed)
        return Equivocation("timestamp", timestamp->version);
      return MakeError(absl::StatusCode::kAlreadyExists, "unchanged",
                       "the timestamp is the one already trusted");
    }
    if (next.value.snapshot.version < timestamp->snapshot.version)
      return Rollback("snapshot, in the timestamp,",
                      timestamp->snapshot.version, next.value.snapshot.version);
  }
  SHOAL_RETURN_IF_ERROR(NotExpired("timestamp", next.value.expires));
  timestamp = std::move(next.value);
  timestamp_bytes = std::string(bytes);
  return absl::OkStatus();
}

absl::Status TrustedSet::UpdateSnapshot(std::string_view bytes) {
  const MetaFile& pin = timestamp->snapshot;
  SHOAL_RETURN_IF_ERROR(CheckPin("snapshot", pin, bytes));
  SHOAL_ASSIGN_OR_RETURN(
      ParsedSnapshot next,
      In("snapshot", ParseSnapshotAs(policy.dialect, bytes)));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(next.envelope, root.keys,
                                         root.roles.at("snapshot"), "snapshot",
                                         *policy.algorithms));
  if (next.value.version != pin.version)
    return DataLoss("wrong_version",
                    fmt::format("snapshot {} where {} is signed",
                                next.value.version, pin.version));
  if (!next.value.meta.contains("targets"))
    return InvalidArgument("bad_metadata", "the snapshot lacks targets.json");
  if (snapshot) {
    for (const auto& [name, old] : snapshot->meta) {
      const auto it = next.value.meta.find(name);
      if (it == next.value.meta.end())
        return FailedPrecondition(
            "rollback", fmt::format("{} disappeared from the snapshot", name));
      if (it->second.version < old.version)
        return Rollback(name + ", in the snapshot,", old.version,
                        it->second.version);
    }
  }
  SHOAL_RETURN_IF_ERROR(NotExpired("snapshot", next.value.expires));
  snapshot = std::move(next.value);
  snapshot_bytes = std::string(bytes);
  return absl::OkStatus();
}

absl::Status TrustedSet::AdoptOldSnapshot(std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(ParsedSnapshot old,
                         ParseSnapshotAs(policy.dialect, bytes));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(old.envelope, root.keys,
                                         root.roles.at("snapshot"), "snapshot",
                                         *policy.algorithms));
  snapshot = std::move(old.value);
  snapshot_bytes = std::string(bytes);
  return absl::OkStatus();
}

absl::Status TrustedSet::UpdateRole(std::string_view role,
                                    std::string_view bytes,
                                    const std::map<std::string, Key>& keys,
                                    const RoleKeys& role_keys) {
  SHOAL_ASSIGN_OR_RETURN(const MetaFile pin, Pin(role));
  SHOAL_RETURN_IF_ERROR(CheckPin(role, pin, bytes));
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets next,
                         In(role, ParseTargetsAs(policy.dialect, bytes)));
  SHOAL_RETURN_IF_ERROR(VerifySignatures(next.envelope, keys, role_keys, role,
                                         *policy.algorithms));
  if (next.value.version != pin.version)
    return DataLoss("wrong_version",
                    fmt::format("{} {} where {} is signed", role,
                                next.value.version, pin.version));
  SHOAL_RETURN_IF_ERROR(NotExpired(role, next.value.expires));
  roles.insert_or_assign(
      std::string(role),
      TrustedRole{std::string(bytes), std::move(next.value), role_keys,
                  Identities(keys, role_keys, *policy.algorithms)});
  return absl::OkStatus();
}

bool TrustedSet::VerifiedBy(std::string_view role,
                            const std::map<std::string, Key>& keys,
                            const RoleKeys& role_keys) const {
  const auto it = roles.find(std::string(role));
  return it != roles.end() &&
         it->second.verified_by.key_ids == role_keys.key_ids &&
         it->second.verified_by.threshold == role_keys.threshold &&
         it->second.verified_keys ==
             Identities(keys, role_keys, *policy.algorithms);
}

absl::Status TrustedSet::NotExpired(std::string_view role,
                                    absl::Time expires) const {
  return expired_at ? CheckExpiry(role, expires, *expired_at)
                    : absl::OkStatus();
}

absl::StatusOr<MetaFile> TrustedSet::Pin(std::string_view role) const {
  if (snapshot) {
    const auto it = snapshot->meta.find(std::string(role));
    if (it != snapshot->meta.end()) return it->second;
  }
  return NotFound("metadata_missing",
                  fmt::format("the snapshot does not list {}", role));
}

}  // namespace shoal::signing
