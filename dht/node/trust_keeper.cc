#include "dht/node/trust_keeper.h"

#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/memory_fetcher.h"

namespace shoal::dht::node {
namespace {

// Rollouts have at most 16 KiB, delta indexes may be larger.
constexpr uint64_t kMaxDocumentBytes = 4u << 20;
constexpr uint64_t kOldVersionsKept = 2;
// Of all delegated roles.
constexpr uint64_t kMaxRoleBytes = 256u << 20;

std::string Parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrustKeeper>> TrustKeeper::Open(
    const std::string& directory, const std::string& public_dir,
    const fleet::v1::NodeBundle& bundle, FileSystem& fs, Clock& clock) {
  if (bundle.roots_size() == 0) {
    return InvalidArgument("bad_bundle", "the bundle holds no root");
  }
  for (const char* part : {"metadata", "targets", "blobs"}) {
    SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(public_dir, part)));
  }
  signing::UpdaterOptions options;
  options.directory = directory;
  options.fleet_id = bundle.fleet_id();
  options.root_v1 = bundle.roots(0);
  // It keeps what all device types together have, to serve it.
  options.max_loaded_bytes = kMaxRoleBytes;
  options.max_stored_role_bytes = kMaxRoleBytes;
  options.max_stored_target_bytes = kMaxRoleBytes;
  SHOAL_ASSIGN_OR_RETURN(auto updater,
                         signing::Updater::Open(std::move(options), fs, clock));
  std::unique_ptr<TrustKeeper> keeper(
      new TrustKeeper(std::move(updater), public_dir, fs));
  // The metadata that came with the node's enrolment.
  signing::MemoryFetcher source;
  source.AddRoots(bundle.roots());
  source.AddMetadataFiles(bundle.metadata());
  source.AddDocument(signing::kPolicyPath, bundle.policy());
  const absl::Status stored = keeper->updater_->UseStored();
  // Enrolled again, the bundle is the newer one.
  const auto bundled = bundle.metadata().find("timestamp.json");
  const auto timestamp =
      bundled == bundle.metadata().end()
          ? absl::StatusOr<signing::ParsedTimestamp>(
                NotFound("metadata_missing", "no timestamp in the bundle"))
          : signing::ParseTimestamp(bundled->second);
  // Another root means other keys, under which versions may begin lower.
  if (!stored.ok() ||
      static_cast<uint64_t>(bundle.roots_size()) >
          keeper->updater_->root().version ||
      (timestamp.ok() &&
       timestamp->value.version > keeper->updater_->timestamp().version)) {
    const absl::Status refreshed = keeper->updater_->Refresh(source);
    if (!refreshed.ok()) {
      LogWarn("metadata_stale", {{"error", refreshed}});
      SHOAL_RETURN_IF_ERROR(
          keeper->updater_->UseStored(/*allow_expired=*/true));
    }
  }
  const absl::Status taken = keeper->Take(&source);
  // Without all role files it knows its writers and gets the rest later.
  if (!taken.ok() && keeper->view_ == nullptr) return taken;
  std::map<uint64_t, std::string> roots;
  for (int i = 0; i < bundle.roots_size(); ++i) {
    roots[static_cast<uint64_t>(i) + 1] = bundle.roots(i);
  }
  SHOAL_RETURN_IF_ERROR(keeper->ExportRoots(roots));
  return keeper;
}

std::shared_ptr<const TrustView> TrustKeeper::view() const {
  std::lock_guard lock(mutex_);
  return view_;
}

std::shared_ptr<const Publication> TrustKeeper::publication() const {
  std::lock_guard lock(mutex_);
  return publication_;
}

std::optional<signing::LogHead> TrustKeeper::log_head() const {
  const log::v1::LogMemory& memory = updater_->log();
  const auto timestamp = signing::ParseTimestamp(memory.timestamp());
  if (memory.head().size() == 0 || !timestamp.ok()) return std::nullopt;
  return timestamp->value.log;
}

std::string TrustKeeper::log_timestamp() const {
  return updater_->log().timestamp();
}

std::optional<log::v1::LogFork> TrustKeeper::log_fork() const {
  const log::v1::LogMemory& memory = updater_->log();
  if (!memory.has_fork()) return std::nullopt;
  return memory.fork();
}

absl::Status TrustKeeper::TakeForkProof(std::string_view one,
                                        std::string_view other) {
  return updater_->TakeForkProof(one, other);
}

absl::Status TrustKeeper::CompareLog(signing::Fetcher& source,
                                     std::string_view timestamp) {
  return updater_->CompareLog(source, timestamp).status();
}

bool TrustKeeper::IsNewer(std::string_view timestamp) const {
  const auto parsed = signing::ParseTimestamp(timestamp);
  if (!parsed.ok()) return false;
  std::lock_guard lock(mutex_);
  return parsed->value.version > timestamp_version_;
}

absl::Status TrustKeeper::Refresh(signing::Fetcher& source) {
  SHOAL_RETURN_IF_ERROR(updater_->Refresh(source));
  return Take(&source);
}

// Everything that the metadata now in force says, taken over together.
absl::Status TrustKeeper::Take(signing::Fetcher* source) {
  SHOAL_ASSIGN_OR_RETURN(auto trust,
                         signing::BuildFleetTrust(*updater_, source));
  AddRevocations(source, &trust);
  SHOAL_ASSIGN_OR_RETURN(auto view, TrustView::Make(std::move(trust)));
  {
    // Writers first: a role file that can't be had yet must not keep a
    // revocation from taking effect.
    std::lock_guard lock(mutex_);
    view_ = std::move(view);
    if (publication_ == nullptr) {
      publication_ = std::make_shared<const Publication>();
    }
  }
  const uint64_t version = updater_->timestamp().version;
  auto publication = ReadPublication(source);
  if (!publication.ok()) {
    LogWarn("publication_incomplete", {{"error", publication.status()}});
    return publication.status();
  }
  SHOAL_RETURN_IF_ERROR(WriteMetadata(*publication));
  std::lock_guard lock(mutex_);
  publication_ = std::make_shared<const Publication>(*std::move(publication));
  timestamp_version_ = version;
  return absl::OkStatus();
}

// What was known stays known: a document that can't be had yet, or that an
// online key made shorter, brings no device back.
void TrustKeeper::AddRevocations(signing::Fetcher* source,
                                 signing::FleetTrust* trust) {
  // Unless it came from a director whose key has been rotated away since.
  if (const auto before = view();
      before != nullptr &&
      before->fleet().director_keys == trust->director_keys) {
    trust->revoked_device_ids = before->fleet().revoked_device_ids;
    trust->superseded_keys = before->fleet().superseded_keys;
  }
  constexpr std::string_view kPrefix = "director-";
  for (const auto& [role, pin] : updater_->snapshot().meta) {
    if (role.rfind(kPrefix, 0) != 0) continue;
    const absl::Status added = signing::AddRevocations(
        *updater_, source, role.substr(kPrefix.size()), *trust);
    if (!added.ok()) {
      LogWarn("revocations_unread", {{"role", role}, {"error", added}});
    }
  }
}

absl::StatusOr<Publication> TrustKeeper::ReadPublication(
    signing::Fetcher* source) {
  Publication publication;
  for (const auto& [role, pin] : updater_->snapshot().meta) {
    if (role != "targets") {
      SHOAL_RETURN_IF_ERROR(ReadTargets(source, role, &publication));
    }
    publication.versions[role] = pin.version;
  }
  return publication;
}

absl::Status TrustKeeper::ReadTargets(signing::Fetcher* source,
                                      const std::string& role,
                                      Publication* publication) {
  auto targets = updater_->TargetsOf(source, role);
  if (ReasonOf(targets.status()) == "unknown_role") {
    // In the snapshot, but nobody delegates to it any more.
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(targets);
  for (const signing::TargetFile& target : *targets) {
    if (role.rfind("fw-", 0) == 0) {
      const auto info = signing::ParseBulkInfo(target);
      const auto path = signing::TargetFilePath(target);
      if (!info.ok() || !path.ok()) {
        LogWarn("image_ignored",
                {{"target", target.path},
                 {"error", info.ok() ? path.status() : info.status()}});
        continue;
      }
      Publication::Wanted wanted;
      wanted.artifact.file_root = info->file_root;
      wanted.artifact.piece_length = static_cast<uint32_t>(info->piece_length);
      wanted.artifact.length = target.length;
      wanted.artifact.sha256 = target.sha256;
      wanted.target_path = *path;
      publication->artifacts[target.sha256] = std::move(wanted);
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(
        const std::string bytes,
        updater_->FetchTarget(source, target, kMaxDocumentBytes));
    SHOAL_RETURN_IF_ERROR(WriteDocument(target, bytes));
    publication->documents.insert(target.sha256);
    if (target.path.find("/deltas/") != std::string::npos) {
      SHOAL_RETURN_IF_ERROR(AddDeltas(bytes, publication));
    }
  }
  return absl::OkStatus();
}

absl::Status TrustKeeper::AddDeltas(std::string_view index,
                                    Publication* publication) {
  release::v1::DeltaIndex deltas;
  if (!deltas.ParseFromArray(index.data(), static_cast<int>(index.size()))) {
    return InvalidArgument("bad_metadata", "a delta index does not parse");
  }
  for (const release::v1::Delta& delta : deltas.deltas()) {
    Publication::Wanted wanted;
    wanted.artifact.file_root = delta.file_root();
    wanted.artifact.piece_length = delta.piece_length();
    wanted.artifact.length = delta.length();
    wanted.artifact.sha256 = delta.sha256();
    const absl::Status valid = ValidateArtifact(wanted.artifact);
    if (!valid.ok()) {
      LogWarn("delta_ignored", {{"error", valid}});
      continue;
    }
    publication->artifacts.emplace(delta.sha256(), std::move(wanted));
  }
  return absl::OkStatus();
}

absl::Status TrustKeeper::WriteDocument(const signing::TargetFile& target,
                                        std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(const std::string relative,
                         signing::TargetFilePath(target));
  for (const std::string& path :
       {JoinPath(public_dir_, relative),
        JoinPath(public_dir_, "blobs/" + HexEncode(target.sha256))}) {
    if (fs_.Exists(path)) continue;  // named by its digest
    SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(Parent(path)));
    SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path, bytes));
  }
  return absl::OkStatus();
}

absl::Status TrustKeeper::WriteMetadata(const Publication& publication) {
  std::map<std::string, uint64_t> versions = publication.versions;
  versions["root"] = updater_->root().version;
  versions["snapshot"] = updater_->snapshot().version;
  const std::string directory = JoinPath(public_dir_, "metadata");
  for (const auto& [role, version] : versions) {
    const std::string path =
        JoinPath(directory, fmt::format("{}.{}.json", version, role));
    if (fs_.Exists(path)) continue;
    const auto bytes = updater_->StoredBytes(role);
    if (!bytes.ok()) continue;  // delegated by nobody: never loaded
    SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path, *bytes));
    for (uint64_t old = version > 16 ? version - 16 : 1;
         role != "root" && old + kOldVersionsKept < version; ++old) {
      SHOAL_RETURN_IF_ERROR(fs_.Remove(
          JoinPath(directory, fmt::format("{}.{}.json", old, role))));
    }
  }
  // The timestamp last: what it names is there when a client reads it.
  SHOAL_ASSIGN_OR_RETURN(const std::string timestamp,
                         updater_->StoredBytes("timestamp"));
  return fs_.WriteAtomic(JoinPath(directory, "timestamp.json"), timestamp);
}

absl::Status TrustKeeper::ExportRoots(
    const std::map<uint64_t, std::string>& roots) {
  for (const auto& [version, bytes] : roots) {
    if (version > updater_->root().version) continue;  // not accepted
    const std::string path =
        JoinPath(public_dir_, fmt::format("metadata/{}.root.json", version));
    if (fs_.Exists(path)) continue;
    SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path, bytes));
  }
  return absl::OkStatus();
}

}  // namespace shoal::dht::node
