#include "server/release/releases.h"

#include <map>
#include <utility>

#include "common/bytes.h"
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
  SHOAL_ASSIGN_OR_RETURN(upload->writer_, BlobWriter::Create(blobs_));
  return upload;
}

absl::Status Releases::Upload::Append(std::string_view bytes) {
  if (writer_->length() + bytes.size() > target_.length) {
    return DataLoss(
        "length_mismatch",
        fmt::format("more than the {} bytes that are signed", target_.length));
  }
  return writer_->Append(bytes);
}

absl::StatusOr<release::v1::Release> Releases::Finish(Upload& upload) {
  if (upload.writer_->length() != upload.target_.length) {
    return DataLoss(
        "length_mismatch",
        fmt::format("{} bytes came, {} are signed", upload.writer_->length(),
                    upload.target_.length));
  }
  if (upload.writer_->Sha256() != upload.target_.sha256) {
    return DataLoss("hash_mismatch",
                    "the image is not the one that was signed");
  }
  SHOAL_RETURN_IF_ERROR(upload.writer_->Keep(upload.target_.sha256));
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
          row = *std::move(existing);
        } else {
          tx.Put(kReleases, key, row);
          tx.Audit(upload.principal_, "release.create", release.name(), "ok",
                   release.sha256());
        }
        if (changed.metadata.empty()) return absl::OkStatus();
        return publisher_.AddPublication(tx, changed, view);
      });
  SHOAL_RETURN_IF_ERROR(applied);
  SHOAL_RETURN_IF_ERROR(SyncTree());
  if (on_created_) on_created_(row);
  LogInfo("release_created", {{"release", row.release().name()},
                              {"sha256", row.release().sha256()}});
  return View(row);
}

release::v1::Release Releases::View(const store::ReleaseRow& row) const {
  release::v1::Release release = row.release();
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

absl::StatusOr<std::vector<store::ReleaseRow>> Releases::All() const {
  std::vector<store::ReleaseRow> rows;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::ReleaseRow>(
      kReleases, "", "", [&](std::string_view, const store::ReleaseRow& row) {
        rows.push_back(row);
        return true;
      }));
  return rows;
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
  for (const store::ReleaseRow& row : rows) {
    signing::TargetFile target;
    target.path = row.release().image_target();
    target.length = row.release().length();
    SHOAL_ASSIGN_OR_RETURN(target.sha256, HexDecode(row.release().sha256()));
    SHOAL_ASSIGN_OR_RETURN(std::string path, signing::TargetFilePath(target));
    linked[path] = target.sha256;
  }
  // The log first: nothing is current before its proofs are there.
  if (log_files_ == nullptr) {
    SHOAL_ASSIGN_OR_RETURN(log_files_, blobs_.OpenLog());
  }
  SHOAL_RETURN_IF_ERROR(trust_.CopyLog(*log_files_));
  return blobs_.Sync(tree, linked);
}

}  // namespace shoal::server
