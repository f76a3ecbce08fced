#include "signing/tool/checks.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <optional>
#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::signing {
namespace {

constexpr absl::Duration kMaxLifetime = absl::Hours(24 * 3660);

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_policy", what);
}

bool IsHexKey(const std::string& text) {
  const auto key = HexDecode(text);
  return key.ok() && key->size() == 32;
}

// Distinct usable keys, not ids (T11).
absl::Status CheckThreshold(const std::string& name, const RoleKeys& role,
                            const std::map<std::string, Key>& keys) {
  std::set<std::string> usable;
  for (const std::string& id : role.key_ids)
    if (const auto it = keys.find(id); it != keys.end() && it->second.supported)
      usable.insert(it->second.public_key);
  if (role.threshold >= 1 && role.threshold <= usable.size())
    return absl::OkStatus();
  return InvalidArgument(
      "bad_threshold",
      fmt::format("{} would need {} signatures and has {} keys", name,
                  role.threshold, usable.size()));
}

absl::Status CheckCommon(const Tree& tree, const std::string& role,
                         const SignedCommon& common, absl::Time now) {
  if (common.version != tree.NextVersion(role))
    return DataLoss("wrong_version",
                    fmt::format("version {} of {} where {} is next",
                                common.version, role, tree.NextVersion(role)));
  if (common.expires <= now || common.expires > now + kMaxLifetime)
    return FailedPrecondition(
        "expired_metadata",
        fmt::format("{} would expire at {}; is this machine's clock right?",
                    role, FormatExpires(common.expires)));
  return absl::OkStatus();
}

// A delegation as a fleet has it (docs/metadata.md): those of `parent` in the
// order of `rank`.
struct Form {
  int rank = 0;
  bool terminating = true;
  std::vector<std::string> paths;
};
std::optional<Form> FormOf(std::string_view parent, const std::string& role) {
  if (parent == "targets") {
    if (role == "policy") return Form{1, true, {"policy/*"}};
    if (role == "director") return Form{2, false, {"director/*/*/*"}};
    if (role.starts_with("fw-"))
      return Form{0, true, {fmt::format("fw/{}/*/*", role.substr(3))}};
  }
  if (parent == "director" && role.starts_with("director-")) {
    const std::string type = role.substr(9);
    return Form{0,
                true,
                {fmt::format("director/{}/rollout/*", type),
                 fmt::format("director/{}/deltas/*", type),
                 fmt::format("director/{}/revoked/*", type)}};
  }
  return std::nullopt;
}

// Every delegation has its one form, so that none lets an online key at what
// offline ones decide.
absl::Status CheckDelegations(const std::string& parent,
                              const Delegations& delegations) {
  const auto bad = [](const std::string& role, std::string_view what) {
    return InvalidArgument("bad_delegation", fmt::format("{} {}", role, what));
  };
  if (delegations.succinct)
    return bad(parent, "delegates to hash bins, which a fleet does not have");
  int rank = 0;
  for (const DelegatedRole& role : delegations.roles) {
    SHOAL_RETURN_IF_ERROR(
        CheckThreshold(role.name, role.keys, delegations.keys));
    const std::optional<Form> form = FormOf(parent, role.name);
    if (!form)
      return bad(parent, fmt::format("may not delegate to {}", role.name));
    if (form->rank < rank)
      return bad(role.name,
                 "is out of order: fw- roles, then policy, then director");
    rank = form->rank;
    if (!role.path_hash_prefixes.empty() || role.paths != form->paths)
      return bad(role.name, "may speak for its own paths only");
    if (role.terminating != form->terminating)
      return bad(role.name, form->terminating ? "must be terminating"
                                              : "must not be terminating");
  }
  return absl::OkStatus();
}

absl::Status CheckBytes(const Tree& tree, const TargetFile& target,
                        std::vector<std::string>* notes) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(target));
  const std::string path = JoinPath(tree.repository(), name);
  if (!RealFileSystem().Exists(path)) {
    notes->push_back(fmt::format(
        "{} is not in this copy of the tree: its bytes were not compared",
        target.path));
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const FileDigests digests, DigestFile(path));
  if (digests.length != target.length)
    return DataLoss("length_mismatch", path + " has another length");
  if (digests.sha256 != target.sha256)
    return DataLoss("hash_mismatch", path + " has other bytes");
  SHOAL_ASSIGN_OR_RETURN(const BulkInfo info, ParseBulkInfo(target));
  if (info.file_root != digests.file_root ||
      info.piece_length != digests.piece_length)
    return DataLoss("hash_mismatch", path + " has another BEP 52 root");
  return absl::OkStatus();
}

absl::Status CheckImages(const Tree& tree, const Targets& before,
                         const Targets& next, std::vector<std::string>* notes) {
  std::map<std::pair<std::string, uint64_t>, std::string> counters;
  for (const auto& [path, target] : next.targets) {
    if (IsAttachment(target)) {
      SHOAL_RETURN_IF_ERROR(ParseAttachmentInfo(target));
    } else {
      SHOAL_ASSIGN_OR_RETURN(const ImageInfo info, ParseImageInfo(target));
      const auto [other, fresh] =
          counters.emplace(std::pair(info.artifact, info.counter), path);
      if (!fresh)
        return MakeError(absl::StatusCode::kAlreadyExists, "counter_used",
                         fmt::format("{} and {} have the counter {}",
                                     other->second, path, info.counter));
    }
    const auto old = before.targets.find(path);
    if (old == before.targets.end()) {
      SHOAL_RETURN_IF_ERROR(CheckBytes(tree, target, notes));
    } else if (old->second.sha256 != target.sha256 ||
               old->second.length != target.length ||
               old->second.custom != target.custom) {
      return FailedPrecondition(
          "image_changed",
          path + " is signed already as something else; use a new version");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const Tree& tree, const Targets& before,
                         const Targets& next) {
  SHOAL_ASSIGN_OR_RETURN(const std::string json, ReadPolicyOf(tree, next));
  SHOAL_ASSIGN_OR_RETURN(const std::string old_json,
                         ReadPolicyOf(tree, before));
  if (json.empty()) {
    if (old_json.empty()) return absl::OkStatus();
    return FailedPrecondition("rollback", "the access policy would disappear");
  }
  SHOAL_ASSIGN_OR_RETURN(const auto policy, ParseAccessPolicy(json));
  if (old_json.empty() || old_json == json) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const auto old, ParseAccessPolicy(old_json));
  if (policy.version() > old.version()) return absl::OkStatus();
  return FailedPrecondition(
      "rollback",
      fmt::format("the policy in force has version {}, this one {}: raise "
                  "'version'",
                  old.version(), policy.version()));
}

}  // namespace

absl::StatusOr<policy::v1::AccessPolicy> ParseAccessPolicy(
    const std::string& json) {
  policy::v1::AccessPolicy policy;
  const auto status = google::protobuf::util::JsonStringToMessage(
      json, &policy, google::protobuf::util::JsonParseOptions());
  if (!status.ok()) return Bad(status.ToString());
  if (policy.version() < 1) return Bad("'version' is missing");
  std::set<std::string> names;
  for (const auto& person : policy.operators()) {
    if (!IsIdentifier(person.name()) || !names.insert(person.name()).second)
      return Bad(fmt::format("operator '{:.80}' is no identifier or not unique",
                             person.name()));
    if ((!person.public_key().empty() && !IsHexKey(person.public_key())) ||
        (!person.tls_spki_sha256().empty() &&
         !IsHexKey(person.tls_spki_sha256())))
      return Bad(fmt::format("a key of operator {} is not 32 bytes in hex",
                             person.name()));
  }
  const auto& revocations = policy.revocations();
  for (const auto* keys :
       {&revocations.operator_keys(), &revocations.node_keys(),
        &revocations.device_ca_keys()})
    for (const std::string& key : *keys)
      if (!IsHexKey(key)) return Bad("a revoked key is not 32 bytes in hex");
  return policy;
}

absl::StatusOr<std::string> ReadPolicyOf(const Tree& tree,
                                         const Targets& targets) {
  const auto it = targets.targets.find(kPolicyPath);
  if (it == targets.targets.end()) return std::string();
  SHOAL_ASSIGN_OR_RETURN(const std::string name, TargetFilePath(it->second));
  const std::string path = JoinPath(tree.repository(), name);
  SHOAL_ASSIGN_OR_RETURN(std::string json,
                         RealFileSystem().Read(path, kMaxPolicyBytes));
  if (crypto::Sha256Digest(json) != it->second.sha256)
    return DataLoss("hash_mismatch", path + " has other bytes");
  return json;
}

absl::Status CheckContent(const Tree& tree, const std::string& role,
                          const RoleFile& file, absl::Time now,
                          std::vector<std::string>* notes) {
  if (role == "root") {
    SHOAL_ASSIGN_OR_RETURN(const ParsedRoot root, ParseRoot(file.bytes));
    SHOAL_RETURN_IF_ERROR(CheckCommon(tree, role, root.value, now));
    for (const auto& [name, keys] : root.value.roles)
      SHOAL_RETURN_IF_ERROR(CheckThreshold(name, keys, root.value.keys));
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets next, ParseTargets(file.bytes));
  SHOAL_RETURN_IF_ERROR(CheckCommon(tree, role, next.value, now));
  Targets before;
  if (const auto it = tree.in_force().find(role); it != tree.in_force().end()) {
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed,
                           ParseTargets(it->second.bytes));
    before = std::move(parsed.value);
  }
  if (next.value.delegations)
    SHOAL_RETURN_IF_ERROR(CheckDelegations(role, *next.value.delegations));
  if (role.starts_with("fw-"))
    return CheckImages(tree, before, next.value, notes);
  if (role == "policy") return CheckPolicy(tree, before, next.value);
  return absl::OkStatus();
}

}  // namespace shoal::signing
