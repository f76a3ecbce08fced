#include "server/trust/repository.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "server/store/state.pb.h"
#include "server/trust/candidate.h"
#include "server/trust/file_names.h"
#include "signing/log/files.h"

namespace shoal::server {
namespace {

// Old versions stay for clients that are in the middle of a refresh.
constexpr size_t kVersionsKept = 3;

}  // namespace

TrustRepository::TrustRepository(Store& store, const PlaneKeys& keys,
                                 Clock& clock,
                                 absl::Duration timestamp_lifetime)
    : store_(store),
      keys_(keys),
      clock_(clock),
      timestamp_lifetime_(timestamp_lifetime),
      client_files_(std::make_shared<MemoryFiles>()),
      log_(store) {}

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
  SHOAL_RETURN_IF_ERROR(log_.Load());
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
  absl::Status usable = SignOnline(candidate, stale);
  if (usable.ok()) usable = Verify(candidate);
  if (const std::string reason = ReasonOf(usable);
      reason == "wrong_director_key" || reason == "bad_signature") {
    // This plane's keys were replaced and the offline roles in the store still
    // name the old ones: the next import brings those that name these.
    LogWarn("keys_not_in_force", {{"error", usable}});
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(usable);
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
  signing::MemoryFetcher fetcher = candidate.Source();
  SHOAL_ASSIGN_OR_RETURN(
      auto updater,
      signing::Updater::Open({.directory = kClientDirectory,
                              .fleet_id = candidate.view->fleet.fleet_id,
                              .root_v1 = candidate.view->roots.front()},
                             *candidate.client, clock_));
  SHOAL_RETURN_IF_ERROR(updater->UseStored());
  return updater->GetTarget(&fetcher, path);
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
  SHOAL_RETURN_IF_ERROR(ReleaseLog::Put(tx, candidate.log));
  if (also) {
    SHOAL_RETURN_IF_ERROR(also(tx, candidate.changed, *candidate.view));
  }
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  files_ = std::move(candidate.files);
  documents_ = std::move(candidate.documents);
  client_files_ = candidate.client;
  log_.Adopt(candidate.log);
  std::lock_guard lock(view_mutex_);
  view_ = candidate.view;
  return absl::OkStatus();
}

absl::Status TrustRepository::AddLog(Changed& changed) const {
  const signing::LogHead head = View()->log;
  if (head.size == 0) return absl::OkStatus();
  for (uint64_t n = 0; n * signing::kLogBundle < head.size; ++n) {
    SHOAL_ASSIGN_OR_RETURN(changed.log_bundles[n], log_.Bundle(n, head.size));
  }
  changed.log_root = head.root;
  SHOAL_ASSIGN_OR_RETURN(changed.log_proof, log_.Proof(head, 0));
  return absl::OkStatus();
}

absl::StatusOr<std::pair<std::string, std::string>> TrustRepository::LogProof(
    const signing::LogHead& head, uint64_t size) const {
  if (head.size == 0) {
    return NotFound("no_log", "there is no release log yet");
  }
  SHOAL_ASSIGN_OR_RETURN(std::string proof, log_.Proof(head, size));
  return std::pair(signing::LogProofName(head.root), std::move(proof));
}

absl::Status TrustRepository::CopyLog(signing::LogDirectory& directory) const {
  const auto view = View();
  if (!view || view->log.size == 0) return absl::OkStatus();
  return log_.CopyTo(directory, view->log);
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
