// Signing of the roles that the plane holds keys for: what an edit or its age
// asks for, in the order of trust.
#include <algorithm>
#include <utility>

#include "common/crypto/hash.h"
#include "server/trust/candidate.h"
#include "server/trust/file_names.h"
#include "signing/sign/builder.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kDirectorLifetime = absl::Hours(24 * 90);
constexpr absl::Duration kSnapshotLifetime = absl::Hours(24 * 90);

absl::Time WholeSeconds(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

// A file that the plane's key did not sign is due, whatever its age: the keys
// were rotated.
bool SignedBy(const signing::SignedBytes& envelope,
              const crypto::SigningKey& key) {
  const std::string id = signing::MakeEd25519Key(key.public_key()).id;
  return std::any_of(envelope.signatures.begin(), envelope.signatures.end(),
                     [&](const auto& one) { return one.key_id == id; });
}

// One round of signing over a candidate's files, which it extends.
class OnlineSigner {
 public:
  OnlineSigner(std::map<std::string, std::string>& files,
               TrustRepository::Changed& changed, const PlaneKeys& keys,
               absl::Time now)
      : files_(files),
        changed_(changed),
        keys_(keys),
        now_(now),
        director_key_(signing::MakeEd25519Key(keys.director.public_key())) {}

  // The device types of targets.json, which must delegate to our director.
  absl::Status FindTypes();
  // director.json and director-TYPE.json, where edited or past half their
  // lives.
  absl::Status SignDirector(
      const std::map<std::string, signing::Targets>& director_roles,
      const std::set<std::string>& edited_types);
  // True: there is a new one.
  absl::StatusOr<bool> SignSnapshot();
  // Unless `needed`, only where there is none.
  absl::Status SignTimestamp(bool needed, uint64_t above,
                             absl::Duration lifetime,
                             const signing::LogHead& log);

 private:
  const std::string* NewestBytes(std::string_view role) const;
  void Add(std::string_view role, uint64_t version, std::string bytes);
  signing::Delegations DelegationsByType() const;
  absl::Status RenewTargets(const std::string& role, signing::Targets desired,
                            bool edited);

  std::map<std::string, std::string>& files_;
  TrustRepository::Changed& changed_;
  const PlaneKeys& keys_;
  const absl::Time now_;
  const signing::Key director_key_;
  std::vector<std::string> types_;  // sorted
};

const std::string* OnlineSigner::NewestBytes(std::string_view role) const {
  const auto it =
      files_.find(MetadataFileName(role, NewestVersion(files_, role)));
  return it == files_.end() ? nullptr : &it->second;
}

void OnlineSigner::Add(std::string_view role, uint64_t version,
                       std::string bytes) {
  const std::string name = MetadataFileName(role, version);
  changed_.metadata[name] = bytes;
  files_[name] = std::move(bytes);
}

absl::Status OnlineSigner::FindTypes() {
  const std::string* top = NewestBytes("targets");
  if (top == nullptr) {
    return FailedPrecondition("no_trust", "there is no targets.json");
  }
  SHOAL_ASSIGN_OR_RETURN(auto top_targets, signing::ParseTargets(*top));
  bool director_delegated = false;
  if (top_targets.value.delegations) {
    for (const auto& role : top_targets.value.delegations->roles) {
      if (role.name.rfind("fw-", 0) == 0) types_.push_back(role.name.substr(3));
      if (role.name != "director") continue;
      director_delegated =
          std::find(role.keys.key_ids.begin(), role.keys.key_ids.end(),
                    director_key_.id) != role.keys.key_ids.end();
    }
  }
  if (!director_delegated) {
    return FailedPrecondition(
        "wrong_director_key",
        "targets.json does not delegate the role 'director' to this plane's "
        "key: give shoal-sign the plane's online-public.json");
  }
  std::sort(types_.begin(), types_.end());
  return absl::OkStatus();
}

signing::Delegations OnlineSigner::DelegationsByType() const {
  signing::Delegations delegations;
  delegations.keys[director_key_.id] = director_key_;
  for (const std::string& type : types_) {
    signing::DelegatedRole role;
    role.name = "director-" + type;
    role.keys.key_ids = {director_key_.id};
    role.keys.threshold = 1;
    role.terminating = true;
    role.paths = {"director/" + type + "/rollout/*",
                  "director/" + type + "/deltas/*",
                  "director/" + type + "/revoked/*"};
    delegations.roles.push_back(std::move(role));
  }
  return delegations;
}

bool SameRoles(const signing::Targets& current,
               const signing::Delegations& delegations) {
  if (!current.delegations) return false;
  const auto& roles = current.delegations->roles;
  return std::equal(roles.begin(), roles.end(), delegations.roles.begin(),
                    delegations.roles.end(), [](const auto& a, const auto& b) {
                      return a.name == b.name && a.paths == b.paths &&
                             a.keys.key_ids == b.keys.key_ids;
                    });
}

absl::Status OnlineSigner::RenewTargets(const std::string& role,
                                        signing::Targets desired, bool edited) {
  const uint64_t version = NewestVersion(files_, role);
  desired.version = version + 1;
  desired.expires = WholeSeconds(now_ + kDirectorLifetime);
  if (version > 0 && !edited) {
    SHOAL_ASSIGN_OR_RETURN(auto current,
                           signing::ParseTargets(*NewestBytes(role)));
    if (!PastHalf(current.value.expires, kDirectorLifetime, now_) &&
        SignedBy(current.envelope, keys_.director)) {
      return absl::OkStatus();
    }
    if (role != "director") desired.targets = current.value.targets;
  }
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         signing::SignTargets(desired, {&keys_.director}));
  Add(role, desired.version, std::move(bytes));
  return absl::OkStatus();
}

absl::Status OnlineSigner::SignDirector(
    const std::map<std::string, signing::Targets>& director_roles,
    const std::set<std::string>& edited_types) {
  signing::Targets director;
  director.delegations = DelegationsByType();
  bool director_edited = true;
  if (const std::string* bytes = NewestBytes("director")) {
    SHOAL_ASSIGN_OR_RETURN(auto current, signing::ParseTargets(*bytes));
    director_edited = !SameRoles(current.value, *director.delegations);
  }
  SHOAL_RETURN_IF_ERROR(RenewTargets("director", director, director_edited));
  for (const std::string& type : types_) {
    const std::string role = "director-" + type;
    const auto edited = director_roles.find(role);
    SHOAL_RETURN_IF_ERROR(RenewTargets(
        role,
        edited == director_roles.end() ? signing::Targets{} : edited->second,
        edited_types.contains(type)));
  }
  for (const std::string& type : edited_types) {
    if (!std::binary_search(types_.begin(), types_.end(), type)) {
      return FailedPrecondition("unknown_device_type",
                                "targets.json has no role fw-" + type +
                                    ": add the device type "
                                    "with shoal-sign first");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OnlineSigner::SignSnapshot() {
  // Over the newest version of everything but root.
  std::map<std::string, signing::RoleFile> roles;
  for (const auto& [name, bytes] : files_) {
    const auto parsed = ParseMetadataFileName(name);
    if (!parsed.ok() || parsed->role == "root" || parsed->role == "snapshot") {
      continue;
    }
    signing::RoleFile& file = roles[parsed->role];
    if (parsed->version > file.version) file = {parsed->version, bytes};
  }
  const uint64_t version = NewestVersion(files_, "snapshot");
  bool needed = version == 0;
  if (!needed) {
    SHOAL_ASSIGN_OR_RETURN(auto current,
                           signing::ParseSnapshot(*NewestBytes("snapshot")));
    needed = current.value.meta.size() != roles.size() ||
             PastHalf(current.value.expires, kSnapshotLifetime, now_) ||
             !SignedBy(current.envelope, keys_.snapshot);
    for (const auto& [role, file] : roles) {
      const auto it = current.value.meta.find(role);
      needed |=
          it == current.value.meta.end() || it->second.version != file.version;
    }
  }
  if (!needed) return false;
  SHOAL_ASSIGN_OR_RETURN(
      std::string bytes,
      signing::BuildSnapshot(version + 1,
                             WholeSeconds(now_ + kSnapshotLifetime), roles,
                             {&keys_.snapshot}));
  Add("snapshot", version + 1, std::move(bytes));
  return true;
}

// `above`: a version that the fleet has seen already.
absl::Status OnlineSigner::SignTimestamp(bool needed, uint64_t above,
                                         absl::Duration lifetime,
                                         const signing::LogHead& log) {
  uint64_t version = 0;
  if (auto it = files_.find(kTimestampFile); it != files_.end()) {
    SHOAL_ASSIGN_OR_RETURN(auto current, signing::ParseTimestamp(it->second));
    version = current.value.version;
    needed |= !SignedBy(current.envelope, keys_.timestamp);
  }
  needed |= version < above;
  if (!needed && version > 0) return absl::OkStatus();
  version = std::max(version, above);
  SHOAL_ASSIGN_OR_RETURN(
      std::string bytes,
      signing::BuildTimestamp(version + 1, WholeSeconds(now_ + lifetime),
                              NewestVersion(files_, "snapshot"),
                              *NewestBytes("snapshot"), {&keys_.timestamp},
                              log));
  changed_.timestamp_only = changed_.metadata.empty();
  changed_.metadata[kTimestampFile] = bytes;
  files_[kTimestampFile] = std::move(bytes);
  return absl::OkStatus();
}

}  // namespace

absl::Status TrustRepository::SignOnline(Candidate& candidate,
                                         bool new_timestamp) {
  OnlineSigner signer(candidate.files, candidate.changed, keys_,
                      clock_.WallNow());
  SHOAL_RETURN_IF_ERROR(signer.FindTypes());
  SHOAL_RETURN_IF_ERROR(
      signer.SignDirector(candidate.director_roles, candidate.edited_types));
  SHOAL_ASSIGN_OR_RETURN(const bool new_snapshot, signer.SignSnapshot());
  SHOAL_RETURN_IF_ERROR(GrowLog(candidate, new_snapshot));
  return signer.SignTimestamp(
      new_snapshot || new_timestamp || !candidate.log.leaves.empty(),
      least_timestamp_, timestamp_lifetime_, candidate.log.head);
}

// Everything that this change puts into effect, the snapshot last. A repository
// from before there was a log begins its log with all that is in force.
absl::Status TrustRepository::GrowLog(Candidate& candidate, bool new_snapshot) {
  std::map<std::string, std::string> metadata = candidate.changed.metadata;
  std::map<std::string, std::string> documents = candidate.changed.documents;
  if (log_.empty()) {
    documents = candidate.documents;
    for (const auto& [name, bytes] : candidate.files) {
      const auto parsed = ParseMetadataFileName(name);
      if (parsed.ok() &&
          (parsed->role == "root" ||
           parsed->version == NewestVersion(candidate.files, parsed->role))) {
        metadata[name] = bytes;
      }
    }
    new_snapshot = true;
  }
  std::vector<signing::LogLeaf> leaves, last;
  for (const auto& [name, bytes] : metadata) {
    SHOAL_ASSIGN_OR_RETURN(const MetadataName parsed,
                           ParseMetadataFileName(name));
    signing::LogLeaf leaf;
    leaf.number = parsed.version;
    leaf.sha256 = crypto::Sha256Digest(bytes);
    leaf.name = parsed.role;
    (parsed.role == "snapshot" ? last : leaves).push_back(std::move(leaf));
  }
  for (const auto& [path, bytes] : documents) {
    signing::LogLeaf leaf;
    leaf.kind = signing::LogLeafKind::kTarget;
    leaf.number = bytes.size();
    leaf.sha256 = crypto::Sha256Digest(bytes);
    leaf.name = signing::LogNameOf(path);
    leaves.push_back(std::move(leaf));
  }
  leaves.insert(leaves.end(), last.begin(), last.end());
  SHOAL_ASSIGN_OR_RETURN(candidate.log, log_.Grow(leaves, new_snapshot));
  if (candidate.log.leaves.empty()) {
    // The head stays; what it proves is asked for again.
    if (!log_.empty()) {
      SHOAL_ASSIGN_OR_RETURN(candidate.log.proof,
                             log_.Proof(candidate.log.head, 0));
    }
    return absl::OkStatus();
  }
  TrustRepository::Changed& changed = candidate.changed;
  changed.log_root = candidate.log.head.root;
  changed.log_proof = candidate.log.proof;
  changed.log_retired = candidate.log.retired;
  const uint64_t first = candidate.log.head.size - candidate.log.leaves.size();
  for (uint64_t n = first / signing::kLogBundle;
       n * signing::kLogBundle < candidate.log.head.size; ++n) {
    std::vector<std::string> bundle;
    const uint64_t begin = n * signing::kLogBundle;
    if (begin < first) {
      SHOAL_ASSIGN_OR_RETURN(const std::string old, log_.Bundle(n, first));
      SHOAL_ASSIGN_OR_RETURN(bundle, signing::ParseLogEntries(old));
    }
    for (uint64_t i = std::max(begin, first);
         i < std::min(begin + signing::kLogBundle, candidate.log.head.size);
         ++i) {
      bundle.push_back(candidate.log.leaves[i - first]);
    }
    changed.log_bundles[n] = signing::EncodeLogEntries(bundle);
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
