#include "server/release/releases.h"

#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/device_index.h"
#include "server/store/paging.h"
#include "server/trust/file_names.h"
#include "signing/verify/fetcher.h"

namespace shoal::server {
namespace {

constexpr std::string_view kPrefix = "releases/";
constexpr char kArtifact[] = "image";

absl::StatusOr<std::vector<store::ReleaseRow>> WithPrefix(
    const Store& store, const std::string& prefix) {
  std::vector<store::ReleaseRow> rows;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::ReleaseRow>(
      kReleases, prefix, "",
      [&](std::string_view, const store::ReleaseRow& row) {
        rows.push_back(row);
        return true;
      }));
  return rows;
}

}  // namespace

Releases::Releases(Store& store, TrustRepository& trust, Publisher& publisher,
                   Blobs& blobs)
    : store_(store), trust_(trust), publisher_(publisher), blobs_(blobs) {}

absl::StatusOr<std::unique_ptr<Releases::Upload>> Releases::Begin(
    const release::v1::CreateReleaseHeader& header,
    const std::string& principal) {
  if (!IsIdentifier(header.device_type()) || !IsIdentifier(header.version())) {
    return InvalidArgument("bad_request",
                           "device_type and version are identifiers");
  }
  std::unique_ptr<Upload> upload(new Upload(*this, header, principal));
  std::map<std::string, std::string> metadata;
  if (!header.metadata().empty()) {
    SHOAL_ASSIGN_OR_RETURN(auto parsed,
                           signing::ParseTargets(header.metadata()));
    upload->metadata_name_ =
        MetadataFileName("fw-" + header.device_type(), parsed.value.version);
    metadata[upload->metadata_name_] = header.metadata();
  }
  SHOAL_ASSIGN_OR_RETURN(
      upload->target_,
      trust_.FindTargetWith(
          metadata, signing::ImagePath(header.device_type(), header.version(),
                                       kArtifact)));
  SHOAL_ASSIGN_OR_RETURN(upload->info_,
                         signing::ParseImageInfo(upload->target_));
  SHOAL_RETURN_IF_ERROR(FindBeside(*upload, metadata));
  upload->files_[kArtifact].target = upload->target_;
  SHOAL_RETURN_IF_ERROR(upload->BeginFile(kArtifact));
  return upload;
}

absl::StatusOr<release::v1::Release> Releases::Finish(Upload& upload) {
  SHOAL_RETURN_IF_ERROR(upload.EndFile());
  for (const auto& [name, file] : upload.files_) {
    if (!file.complete)
      return FailedPrecondition(
          "file_missing",
          fmt::format("{} is signed and did not come", file.target.path));
  }
  auto hold = blobs_.Hold();
  for (const auto& [name, file] : upload.files_)
    SHOAL_RETURN_IF_ERROR(file.writer->Keep(file.target.sha256));
  const auto& header = upload.header_;
  const std::string key = header.device_type() + "/" + header.version();
  store::ReleaseRow row;
  release::v1::Release& release = *row.mutable_release();
  release.set_name(std::string(kPrefix) + key);
  release.set_device_type(header.device_type());
  release.set_version(header.version());
  release.set_counter(upload.info_.counter);
  release.set_min_counter(upload.info_.min_counter);
  release.set_length(upload.target_.length);
  release.set_sha256(HexEncode(upload.target_.sha256));
  release.set_image_target(upload.target_.path);
  release.set_notes(header.notes());
  release.set_created_at(absl::ToUnixMillis(store_.clock().WallNow()));
  *release.mutable_artifacts() = upload.beside_.release().artifacts();
  *release.mutable_attachments() = upload.beside_.release().attachments();
  row.set_file_root(upload.info_.file_root);
  row.set_piece_length(static_cast<uint32_t>(upload.info_.piece_length));

  RepositoryChange change;
  if (!upload.metadata_name_.empty()) {
    change.metadata[upload.metadata_name_] = header.metadata();
  }
  const absl::Status applied = trust_.Apply(
      change,
      [&](Transaction& tx, const TrustRepository::Changed& changed,
          const TrustView& view) -> absl::Status {
        auto existing = tx.Get<store::ReleaseRow>(kReleases, key);
        if (existing.ok()) {
          // The same upload again (a lost answer, a repeated script).
          if (existing->release().sha256() != release.sha256()) {
            return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                             release.name() + " exists with another image");
          }
          // Artifacts and attachments that were signed since.
          release.set_created_at(existing->release().created_at());
          release.set_notes(existing->release().notes());
          if (row.SerializeAsString() != existing->SerializeAsString()) {
            tx.Put(kReleases, key, row);
            tx.Audit(upload.principal_, "release.extend", release.name(), "ok");
          }
        } else {
          tx.Put(kReleases, key, row);
          tx.Audit(upload.principal_, "release.create", release.name(), "ok",
                   release.sha256());
        }
        if (changed.metadata.empty()) return absl::OkStatus();
        return publisher_.AddPublication(tx, changed, view);
      });
  SHOAL_RETURN_IF_ERROR(applied);
  hold.unlock();
  SHOAL_RETURN_IF_ERROR(SyncTree());
  if (on_created_) on_created_(row);
  LogInfo("release_created", {{"release", row.release().name()},
                              {"sha256", row.release().sha256()}});
  return View(row);
}

release::v1::Release Releases::View(const store::ReleaseRow& row) const {
  release::v1::Release release = row.release();
  release.set_etag(
      HexEncode(crypto::Sha256Digest(row.SerializeAsString()).substr(0, 8)));
  const DeviceIndex index(store_);
  auto devices = index.Find(ImageTerm(release.sha256()));
  const auto accepted =
      index.Find(StateTerm(fleet::v1::ENROLMENT_STATE_ACCEPTED));
  if (!devices.ok() || !accepted.ok()) {
    LogError("count_devices_failed",
             {{"error", devices.ok() ? accepted.status() : devices.status()}});
    return release;
  }
  *devices &= *accepted;
  release.set_devices(static_cast<uint32_t>(devices->Count()));
  return release;
}

absl::StatusOr<store::ReleaseRow> Releases::Row(const std::string& name) const {
  if (name.rfind(kPrefix, 0) != 0) {
    return InvalidArgument("bad_name",
                           "a release's name is releases/TYPE/VERSION");
  }
  return store_.Get<store::ReleaseRow>(kReleases, name.substr(kPrefix.size()));
}

absl::StatusOr<release::v1::Release> Releases::Get(
    const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(auto row, Row(name));
  return View(row);
}

absl::StatusOr<release::v1::Attachment> Releases::AttachmentOf(
    const std::string& name) const {
  constexpr std::string_view kMiddle = "/attachments/";
  const size_t middle = name.find(kMiddle);
  if (middle == name.npos) {
    return InvalidArgument(
        "bad_name",
        "an attachment's name is releases/TYPE/VERSION/attachments/NAME");
  }
  SHOAL_ASSIGN_OR_RETURN(const auto row, Row(name.substr(0, middle)));
  const std::string wanted = name.substr(middle + kMiddle.size());
  for (const auto& one : row.release().attachments()) {
    if (one.name() == wanted) return one;
  }
  return NotFound("not_found", fmt::format("{} has no attachment '{:.64}'",
                                           row.release().name(), wanted));
}

absl::StatusOr<std::vector<store::ReleaseRow>> Releases::All() const {
  return WithPrefix(store_, "");
}

absl::StatusOr<std::vector<store::ReleaseRow>> Releases::OfType(
    const std::string& device_type) const {
  return WithPrefix(store_, device_type + "/");
}

absl::StatusOr<Releases::Page> Releases::List(
    const release::v1::ListReleasesRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(PageRequest page,
                         ParsePage(request.page_size(), request.page_token()));
  std::vector<std::pair<std::string, store::ReleaseRow>> rows;
  Page result;
  const std::string prefix =
      request.device_type().empty() ? "" : request.device_type() + "/";
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::ReleaseRow>(
      kReleases, prefix, page.after,
      [&](std::string_view key, const store::ReleaseRow& row) {
        if (rows.size() == page.size) {
          result.next_page_token = PageToken(rows.back().first);
          return false;
        }
        rows.emplace_back(key, row);
        return true;
      }));
  for (const auto& [key, row] : rows) result.releases.push_back(View(row));
  return result;
}

absl::Status Releases::SyncTree() {
  std::lock_guard lock(sync_mutex_);
  SHOAL_ASSIGN_OR_RETURN(auto tree, trust_.Tree());
  SHOAL_ASSIGN_OR_RETURN(auto rows, All());
  std::map<std::string, std::string> linked;
  const auto link = [&](const std::string& path, uint64_t length,
                        const std::string& hex) -> absl::Status {
    signing::TargetFile target;
    target.path = path;
    target.length = length;
    SHOAL_ASSIGN_OR_RETURN(target.sha256, HexDecode(hex));
    SHOAL_ASSIGN_OR_RETURN(std::string file, signing::TargetFilePath(target));
    linked[file] = target.sha256;
    return absl::OkStatus();
  };
  for (const store::ReleaseRow& row : rows) {
    const auto& release = row.release();
    SHOAL_RETURN_IF_ERROR(
        link(release.image_target(), release.length(), release.sha256()));
    for (const auto& one : release.artifacts())
      SHOAL_RETURN_IF_ERROR(link(one.target(), one.length(), one.sha256()));
    for (const auto& one : release.attachments())
      SHOAL_RETURN_IF_ERROR(link(one.target(), one.length(), one.sha256()));
  }
  // The log first: nothing is current before its proofs are there.
  if (log_files_ == nullptr) {
    SHOAL_ASSIGN_OR_RETURN(log_files_, blobs_.OpenLog());
  }
  SHOAL_RETURN_IF_ERROR(trust_.CopyLog(*log_files_));
  return blobs_.Sync(tree, linked);
}

}  // namespace shoal::server
