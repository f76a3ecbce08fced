#include "server/trust/repository.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "rules/access.h"
#include "server/store/state.pb.h"
#include "server/trust/file_names.h"
#include "signing/sign/builder.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kDirectorLifetime = absl::Hours(24 * 90);
constexpr absl::Duration kSnapshotLifetime = absl::Hours(24 * 90);
// Old versions stay for clients that are in the middle of a refresh.
constexpr size_t kVersionsKept = 3;
// As storage nodes take them.
constexpr uint64_t kMaxDocumentBytes = 4u << 20;
constexpr char kClientDirectory[] = "/client";
constexpr char kTimestampFile[] = "timestamp.json";

absl::Time WholeSeconds(absl::Time time) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(time));
}

bool PastHalf(absl::Time expires, absl::Duration lifetime, absl::Time now) {
  return expires - now < lifetime / 2;
}

// Serves a candidate's files to the client code.
class MapFetcher final : public signing::Fetcher {
 public:
  MapFetcher(const std::map<std::string, std::string>& files,
             const std::map<std::string, std::string>& documents)
      : files_(files), documents_(documents) {}

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t) override {
    std::string name;
    if (role == "timestamp") {
      name = kTimestampFile;
    } else {
      name = MetadataFileName(role,
                              version ? *version : NewestVersion(files_, role));
    }
    const auto it = files_.find(name);
    if (it == files_.end()) {
      return NotFound("metadata_missing", "there is no " + name);
    }
    return it->second;
  }

  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override {
    const auto it = documents_.find(target.path);
    if (it == documents_.end()) {
      return NotFound("unknown_target",
                      target.path + " is named by metadata but was not given");
    }
    return it->second;
  }

 private:
  const std::map<std::string, std::string>& files_;
  const std::map<std::string, std::string>& documents_;
};

// "director/TYPE/rollout/ID" → TYPE; "" for anything else.
std::string DirectorType(std::string_view path) {
  constexpr std::string_view kPrefix = "director/";
  if (path.substr(0, kPrefix.size()) != kPrefix) return "";
  path.remove_prefix(kPrefix.size());
  return std::string(path.substr(0, path.find('/')));
}

}  // namespace

struct TrustRepository::Candidate {
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> documents;
  std::map<std::string, signing::Targets> director_roles;  // edited, unsigned
  std::set<std::string> edited_types;
  std::shared_ptr<MemoryFiles> client;
  std::shared_ptr<TrustView> view;
  Changed changed;
  std::vector<std::string> removed_documents;
};

TrustRepository::TrustRepository(Store& store, const PlaneKeys& keys,
                                 Clock& clock,
                                 absl::Duration timestamp_lifetime)
    : store_(store),
      keys_(keys),
      clock_(clock),
      timestamp_lifetime_(timestamp_lifetime),
      client_files_(std::make_shared<MemoryFiles>()) {}

absl::StatusOr<std::unique_ptr<TrustRepository>> TrustRepository::Open(
    Store& store, const PlaneKeys& keys, Clock& clock,
    absl::Duration timestamp_lifetime) {
  std::unique_ptr<TrustRepository> repository(
      new TrustRepository(store, keys, clock, timestamp_lifetime));
  SHOAL_RETURN_IF_ERROR(repository->Load());
  return repository;
}

absl::Status TrustRepository::Load() {
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::MetadataFileRow>(
      kTuf, "", "",
      [&](std::string_view name, const store::MetadataFileRow& row) {
        files_[std::string(name)] = row.content();
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DocumentRow>(
      kDocuments, "", "",
      [&](std::string_view path, const store::DocumentRow& row) {
        documents_[std::string(path)] = row.content();
        return true;
      }));
  if (!files_.contains(MetadataFileName("root", 1))) return absl::OkStatus();
  // What the store holds was verified when it came in. Where it is too old to
  // verify again now (the plane was down for long), the online roles are
  // signed anew first; an expired offline role must not keep the plane down,
  // so it is reported by whatever needs it.
  Candidate candidate;
  candidate.files = files_;
  candidate.documents = documents_;
  bool stale = true;
  if (auto it = files_.find(kTimestampFile); it != files_.end()) {
    SHOAL_ASSIGN_OR_RETURN(auto timestamp, signing::ParseTimestamp(it->second));
    stale = PastHalf(timestamp.value.expires, timestamp_lifetime_,
                     clock_.WallNow());
  }
  SHOAL_RETURN_IF_ERROR(SignOnline(candidate, stale));
  SHOAL_RETURN_IF_ERROR(Verify(candidate));
  // Nothing to publish from here: the owner publishes all that is current.
  return Commit(candidate, nullptr);
}

std::shared_ptr<const TrustView> TrustRepository::View() const {
  std::lock_guard lock(view_mutex_);
  return view_;
}

absl::Status TrustRepository::Apply(const RepositoryChange& change,
                                    const AddToChange& also) {
  std::lock_guard lock(change_mutex_);
  SHOAL_ASSIGN_OR_RETURN(Candidate candidate, Build(change, false));
  return Commit(candidate, also);
}

absl::StatusOr<bool> TrustRepository::Renew(absl::Duration age,
                                            const AddToChange& also) {
  std::lock_guard lock(change_mutex_);
  const auto view = View();
  if (!view) return false;
  const absl::Time signed_at = view->timestamp_expires - timestamp_lifetime_;
  const bool due = clock_.WallNow() - signed_at >= age;
  SHOAL_ASSIGN_OR_RETURN(Candidate candidate, Build({}, due));
  if (candidate.changed.metadata.empty()) return false;
  SHOAL_RETURN_IF_ERROR(Commit(candidate, also));
  return true;
}

absl::StatusOr<signing::TargetFile> TrustRepository::FindTarget(
    std::string_view path) {
  return FindTargetWith({}, path);
}

absl::StatusOr<signing::TargetFile> TrustRepository::FindTargetWith(
    const std::map<std::string, std::string>& metadata, std::string_view path) {
  std::lock_guard lock(change_mutex_);
  RepositoryChange change;
  change.metadata = metadata;
  SHOAL_ASSIGN_OR_RETURN(Candidate candidate, Build(change, false));
  MapFetcher fetcher(candidate.files, candidate.documents);
  SHOAL_ASSIGN_OR_RETURN(
      auto updater,
      signing::Updater::Open({.directory = kClientDirectory,
                              .fleet_id = candidate.view->fleet.fleet_id,
                              .root_v1 = candidate.view->roots.front()},
                             *candidate.client, clock_));
  SHOAL_RETURN_IF_ERROR(updater->UseStored());
  return updater->GetTarget(&fetcher, path);
}

absl::StatusOr<TrustRepository::Candidate> TrustRepository::Build(
    const RepositoryChange& change, bool new_timestamp) {
  Candidate candidate;
  candidate.files = files_;
  candidate.documents = documents_;
  for (const auto& [name, bytes] : change.metadata) {
    SHOAL_ASSIGN_OR_RETURN(MetadataName parsed, ParseMetadataFileName(name));
    if (IsOnlineRole(parsed.role)) {
      return PermissionDenied(
          "online_role",
          parsed.role + " is signed by the management plane itself");
    }
    const auto existing = candidate.files.find(name);
    if (existing != candidate.files.end()) {
      if (existing->second == bytes) continue;
      return DataLoss("equivocation", name +
                                          " is published already, with "
                                          "other content");
    }
    const uint64_t newest = NewestVersion(files_, parsed.role);
    if (parsed.version < newest) {
      return FailedPrecondition(
          "rollback", fmt::format("{}: version {} is in force", name, newest));
    }
    candidate.files[name] = bytes;
    candidate.changed.metadata[name] = bytes;
  }
  if (!candidate.files.contains(MetadataFileName("root", 1))) {
    return FailedPrecondition("no_trust",
                              "there is no root.json version 1: import the "
                              "offline-signed repository first");
  }
  for (const auto& [path, bytes] : change.documents) {
    if (!DirectorType(path).empty()) {
      return PermissionDenied("online_role",
                              path + " belongs to the management plane");
    }
    auto& document = candidate.documents[path];
    if (document == bytes) continue;
    document = bytes;
    candidate.changed.documents[path] = bytes;
  }
  const auto role_of =
      [&](const std::string& path) -> absl::StatusOr<signing::Targets*> {
    const std::string type = DirectorType(path);
    if (!IsIdentifier(type)) {
      return InvalidArgument("bad_target_path", path);
    }
    const std::string role = "director-" + type;
    const auto it = candidate.director_roles.find(role);
    if (it != candidate.director_roles.end()) return &it->second;
    signing::Targets targets;
    const uint64_t version = NewestVersion(candidate.files, role);
    if (version > 0) {
      SHOAL_ASSIGN_OR_RETURN(auto parsed,
                             signing::ParseTargets(candidate.files.at(
                                 MetadataFileName(role, version))));
      targets = std::move(parsed.value);
    }
    return &(candidate.director_roles[role] = std::move(targets));
  };
  for (const auto& [path, bytes] : change.put) {
    SHOAL_ASSIGN_OR_RETURN(signing::Targets * targets, role_of(path));
    signing::TargetFile target;
    target.path = path;
    target.length = bytes.size();
    target.sha256 = crypto::Sha256Digest(bytes);
    auto& old = targets->targets[path];
    if (old.sha256 == target.sha256 && old.length == target.length) continue;
    old = target;
    candidate.edited_types.insert(DirectorType(path));
    candidate.documents[path] = bytes;
    candidate.changed.documents[path] = bytes;
  }
  for (const std::string& path : change.remove) {
    SHOAL_ASSIGN_OR_RETURN(signing::Targets * targets, role_of(path));
    if (targets->targets.erase(path) == 0) continue;
    candidate.edited_types.insert(DirectorType(path));
    candidate.documents.erase(path);
    candidate.changed.documents.erase(path);
    candidate.removed_documents.push_back(path);
  }
  SHOAL_RETURN_IF_ERROR(SignOnline(candidate, new_timestamp));
  SHOAL_RETURN_IF_ERROR(Verify(candidate));
  return candidate;
}

absl::Status TrustRepository::SignOnline(Candidate& candidate,
                                         bool new_timestamp) {
  const absl::Time now = clock_.WallNow();
  auto& files = candidate.files;
  const auto newest_bytes = [&](std::string_view role) -> const std::string* {
    const auto it =
        files.find(MetadataFileName(role, NewestVersion(files, role)));
    return it == files.end() ? nullptr : &it->second;
  };
  const auto add = [&](std::string_view role, uint64_t version,
                       std::string bytes) {
    const std::string name = MetadataFileName(role, version);
    candidate.changed.metadata[name] = bytes;
    files[name] = std::move(bytes);
  };

  const std::string* top = newest_bytes("targets");
  if (top == nullptr) {
    return FailedPrecondition("no_trust", "there is no targets.json");
  }
  SHOAL_ASSIGN_OR_RETURN(auto top_targets, signing::ParseTargets(*top));
  const signing::Key director_key =
      signing::MakeEd25519Key(keys_.director.public_key());
  std::vector<std::string> types;
  bool director_delegated = false;
  if (top_targets.value.delegations) {
    for (const auto& role : top_targets.value.delegations->roles) {
      if (role.name.rfind("fw-", 0) == 0) types.push_back(role.name.substr(3));
      if (role.name != "director") continue;
      director_delegated =
          std::find(role.keys.key_ids.begin(), role.keys.key_ids.end(),
                    director_key.id) != role.keys.key_ids.end();
    }
  }
  if (!director_delegated) {
    return FailedPrecondition(
        "wrong_director_key",
        "targets.json does not delegate the role 'director' to this plane's "
        "key: give shoal-sign the plane's online-public.json");
  }
  std::sort(types.begin(), types.end());

  // director.json: delegates to a role per device type.
  signing::Delegations delegations;
  delegations.keys[director_key.id] = director_key;
  for (const std::string& type : types) {
    signing::DelegatedRole role;
    role.name = "director-" + type;
    role.keys.key_ids = {director_key.id};
    role.keys.threshold = 1;
    role.terminating = true;
    role.paths = {"director/" + type + "/rollout/*",
                  "director/" + type + "/deltas/*",
                  "director/" + type + "/revoked/*"};
    delegations.roles.push_back(std::move(role));
  }
  const auto same_roles = [&](const signing::Targets& current) {
    if (!current.delegations) return false;
    const auto& roles = current.delegations->roles;
    return std::equal(roles.begin(), roles.end(), delegations.roles.begin(),
                      delegations.roles.end(),
                      [](const auto& a, const auto& b) {
                        return a.name == b.name && a.paths == b.paths &&
                               a.keys.key_ids == b.keys.key_ids;
                      });
  };
  const auto renew_targets = [&](const std::string& role,
                                 signing::Targets desired,
                                 bool edited) -> absl::Status {
    const uint64_t version = NewestVersion(files, role);
    desired.version = version + 1;
    desired.expires = WholeSeconds(now + kDirectorLifetime);
    if (version > 0 && !edited) {
      SHOAL_ASSIGN_OR_RETURN(auto current,
                             signing::ParseTargets(*newest_bytes(role)));
      if (!PastHalf(current.value.expires, kDirectorLifetime, now)) {
        return absl::OkStatus();
      }
      if (role != "director") desired.targets = current.value.targets;
    }
    SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                           signing::SignTargets(desired, {&keys_.director}));
    add(role, desired.version, std::move(bytes));
    return absl::OkStatus();
  };
  signing::Targets director;
  director.delegations = delegations;
  bool director_edited = true;
  if (const std::string* bytes = newest_bytes("director")) {
    SHOAL_ASSIGN_OR_RETURN(auto current, signing::ParseTargets(*bytes));
    director_edited = !same_roles(current.value);
  }
  SHOAL_RETURN_IF_ERROR(renew_targets("director", director, director_edited));
  for (const std::string& type : types) {
    const std::string role = "director-" + type;
    const auto edited = candidate.director_roles.find(role);
    SHOAL_RETURN_IF_ERROR(renew_targets(role,
                                        edited == candidate.director_roles.end()
                                            ? signing::Targets{}
                                            : edited->second,
                                        candidate.edited_types.contains(type)));
  }
  for (const std::string& type : candidate.edited_types) {
    if (!std::binary_search(types.begin(), types.end(), type)) {
      return FailedPrecondition("unknown_device_type",
                                "targets.json has no role fw-" + type +
                                    ": add the device type "
                                    "with shoal-sign first");
    }
  }

  // snapshot.json over the newest version of everything but root.
  std::map<std::string, signing::RoleFile> roles;
  for (const auto& [name, bytes] : files) {
    const auto parsed = ParseMetadataFileName(name);
    if (!parsed.ok() || parsed->role == "root" || parsed->role == "snapshot") {
      continue;
    }
    signing::RoleFile& file = roles[parsed->role];
    if (parsed->version > file.version) file = {parsed->version, bytes};
  }
  const uint64_t snapshot_version = NewestVersion(files, "snapshot");
  bool new_snapshot = snapshot_version == 0;
  if (!new_snapshot) {
    SHOAL_ASSIGN_OR_RETURN(auto current,
                           signing::ParseSnapshot(*newest_bytes("snapshot")));
    new_snapshot = current.value.meta.size() != roles.size() ||
                   PastHalf(current.value.expires, kSnapshotLifetime, now);
    for (const auto& [role, file] : roles) {
      const auto it = current.value.meta.find(role);
      new_snapshot |=
          it == current.value.meta.end() || it->second.version != file.version;
    }
  }
  if (new_snapshot) {
    SHOAL_ASSIGN_OR_RETURN(
        std::string bytes,
        signing::BuildSnapshot(snapshot_version + 1,
                               WholeSeconds(now + kSnapshotLifetime), roles,
                               {&keys_.snapshot}));
    add("snapshot", snapshot_version + 1, std::move(bytes));
  }

  uint64_t timestamp_version = 0;
  if (auto it = files.find(kTimestampFile); it != files.end()) {
    SHOAL_ASSIGN_OR_RETURN(auto current, signing::ParseTimestamp(it->second));
    timestamp_version = current.value.version;
  }
  if (!new_snapshot && !new_timestamp && timestamp_version > 0) {
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(
      std::string bytes,
      signing::BuildTimestamp(timestamp_version + 1,
                              WholeSeconds(now + timestamp_lifetime_),
                              NewestVersion(files, "snapshot"),
                              *newest_bytes("snapshot"), {&keys_.timestamp}));
  candidate.changed.timestamp_only = candidate.changed.metadata.empty();
  candidate.changed.metadata[kTimestampFile] = bytes;
  files[kTimestampFile] = std::move(bytes);
  return absl::OkStatus();
}

absl::Status TrustRepository::Verify(Candidate& candidate) {
  candidate.client = std::make_shared<MemoryFiles>(*client_files_);
  candidate.view = std::make_shared<TrustView>();
  TrustView& view = *candidate.view;
  const uint64_t newest_root = NewestVersion(candidate.files, "root");
  for (uint64_t version = 1; version <= newest_root; ++version) {
    const auto it = candidate.files.find(MetadataFileName("root", version));
    if (it == candidate.files.end()) {
      return NotFound("metadata_missing",
                      MetadataFileName("root", version) + " is missing");
    }
    view.roots.push_back(it->second);
  }
  MapFetcher fetcher(candidate.files, candidate.documents);
  SHOAL_ASSIGN_OR_RETURN(
      auto updater, signing::Updater::Open(
                        {.directory = kClientDirectory,
                         .fleet_id = crypto::Sha256Digest(view.roots.front()),
                         .root_v1 = view.roots.front()},
                        *candidate.client, clock_));
  SHOAL_RETURN_IF_ERROR(updater->Refresh(fetcher));
  if (updater->root().version != newest_root) {
    return FailedPrecondition("rollback", "not all root versions were taken");
  }
  std::set<std::string> signed_documents;
  for (const auto& [role, pin] : updater->snapshot().meta) {
    view.versions[role] = pin.version;
    if (role == "targets") continue;
    SHOAL_ASSIGN_OR_RETURN(auto targets, updater->TargetsOf(&fetcher, role));
    if (role.rfind("fw-", 0) == 0) view.device_types.push_back(role.substr(3));
    // Documents must be at hand in full; images are not ours to look at here.
    if (role.rfind("fw-", 0) == 0) continue;
    for (const signing::TargetFile& target : targets) {
      SHOAL_RETURN_IF_ERROR(
          updater->FetchTarget(&fetcher, target, kMaxDocumentBytes));
      signed_documents.insert(target.path);
    }
  }
  // Nothing unsigned is stored, published or served: nobody would have looked
  // at its bytes, nor at the path that it asks for (T01, T34).
  for (const auto& [path, bytes] : candidate.changed.documents) {
    if (!signed_documents.contains(path)) {
      return InvalidArgument(
          "unsigned_document",
          "no signed metadata names the document " + path.substr(0, 200));
    }
  }
  view.versions["root"] = newest_root;
  view.versions["snapshot"] = updater->snapshot().version;
  view.versions["timestamp"] = updater->timestamp().version;
  view.timestamp_expires = updater->timestamp().expires;
  SHOAL_ASSIGN_OR_RETURN(view.fleet,
                         signing::BuildFleetTrust(*updater, &fetcher));
  if (!view.fleet.policy_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(view.policy,
                           rules::ParsePolicy(view.fleet.policy_json));
    view.policy_sha256 = crypto::Sha256Digest(view.fleet.policy_json);
  }
  for (const auto& [role, version] : view.versions) {
    if (role == "root") continue;
    const std::string name =
        role == "timestamp" ? kTimestampFile : MetadataFileName(role, version);
    view.metadata[name] = candidate.files.at(name);
  }
  return absl::OkStatus();
}

absl::Status TrustRepository::Commit(Candidate& candidate,
                                     const AddToChange& also) {
  Transaction tx(store_);
  // Old versions go.
  std::map<std::string, std::vector<uint64_t>> versions;
  for (const auto& [name, bytes] : candidate.files) {
    const auto parsed = ParseMetadataFileName(name);
    if (parsed.ok() && parsed->role != "root") {
      versions[parsed->role].push_back(parsed->version);
    }
  }
  for (auto& [role, list] : versions) {
    std::sort(list.begin(), list.end());
    for (size_t i = 0; i + kVersionsKept < list.size(); ++i) {
      const std::string name = MetadataFileName(role, list[i]);
      candidate.files.erase(name);
      tx.Delete(kTuf, name);
    }
  }
  for (const auto& [name, bytes] : candidate.changed.metadata) {
    store::MetadataFileRow row;
    row.set_content(bytes);
    tx.Put(kTuf, name, row);
  }
  for (const auto& [path, bytes] : candidate.changed.documents) {
    store::DocumentRow row;
    row.set_content(bytes);
    tx.Put(kDocuments, path, row);
  }
  for (const std::string& path : candidate.removed_documents) {
    tx.Delete(kDocuments, path);
  }
  if (also) {
    SHOAL_RETURN_IF_ERROR(also(tx, candidate.changed, *candidate.view));
  }
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  files_ = std::move(candidate.files);
  documents_ = std::move(candidate.documents);
  client_files_ = candidate.client;
  std::lock_guard lock(view_mutex_);
  view_ = candidate.view;
  return absl::OkStatus();
}

absl::StatusOr<std::map<std::string, std::string>> TrustRepository::Tree()
    const {
  // From the store, so that a reader never waits for a change in progress.
  std::map<std::string, std::string> tree;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::MetadataFileRow>(
      kTuf, "", "",
      [&](std::string_view name, const store::MetadataFileRow& row) {
        tree["metadata/" + std::string(name)] = row.content();
        return true;
      }));
  absl::Status bad;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DocumentRow>(
      kDocuments, "", "",
      [&](std::string_view path, const store::DocumentRow& row) {
        signing::TargetFile target;
        target.path = std::string(path);
        target.length = row.content().size();
        target.sha256 = crypto::Sha256Digest(row.content());
        auto file = signing::TargetFilePath(target);
        if (!file.ok()) {
          bad = file.status();
          return false;
        }
        tree[*file] = row.content();
        tree["blobs/" + HexEncode(target.sha256)] = row.content();
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(bad);
  return tree;
}

}  // namespace shoal::server
