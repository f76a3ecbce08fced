// Releases: images that an fw- role signed. The plane takes the bytes only if
// they are what the signed metadata names.
#ifndef SHOAL_SERVER_RELEASE_RELEASES_H_
#define SHOAL_SERVER_RELEASE_RELEASES_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/publish/publisher.h"
#include "server/release/blobs.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/release/v1/release_service.pb.h"
#include "signing/log/directory.h"
#include "signing/metadata/image_info.h"

namespace shoal::server {

// Thread-safe.
class Releases {
 public:
  Releases(Store& store, TrustRepository& trust, Publisher& publisher,
           Blobs& blobs);

  class Upload;
  // Checks the header and its metadata through the TUF workflow before a byte
  // is taken. Reasons: "bad_request", "unknown_target", "bad_signature",
  // "rollback", … of TrustRepository.
  absl::StatusOr<std::unique_ptr<Upload>> Begin(
      const release::v1::CreateReleaseHeader& header,
      const std::string& principal);

  absl::StatusOr<release::v1::Release> Get(const std::string& name) const;
  struct Page {
    std::vector<release::v1::Release> releases;
    std::string next_page_token;
  };
  absl::StatusOr<Page> List(
      const release::v1::ListReleasesRequest& request) const;
  // "releases/TYPE/VERSION"; "bad_name", "not_found".
  absl::StatusOr<store::ReleaseRow> Row(const std::string& name) const;
  // "releases/TYPE/VERSION/attachments/NAME"; "bad_name", "not_found".
  absl::StatusOr<release::v1::Attachment> AttachmentOf(
      const std::string& name) const;
  absl::StatusOr<std::vector<store::ReleaseRow>> All() const;
  absl::StatusOr<std::vector<store::ReleaseRow>> OfType(
      const std::string& device_type) const;

  // Brings the public tree up to date with the store.
  absl::Status SyncTree();
  // Called after a release was stored.
  void OnCreated(std::function<void(const store::ReleaseRow&)> callback) {
    on_created_ = std::move(callback);
  }

 private:
  friend class Upload;
  absl::StatusOr<release::v1::Release> Finish(Upload& upload);
  absl::Status FindBeside(Upload& upload,
                          const std::map<std::string, std::string>& metadata);
  release::v1::Release View(const store::ReleaseRow& row) const;
  Store& store_;
  TrustRepository& trust_;
  Publisher& publisher_;
  Blobs& blobs_;
  std::mutex sync_mutex_;
  std::unique_ptr<signing::LogDirectory> log_files_;  // sync_mutex_
  std::function<void(const store::ReleaseRow&)> on_created_;
};

// One upload. One thread.
class Releases::Upload {
 public:
  // What follows is this artifact or attachment; the image comes first.
  // "unknown_target" when nothing of this name is signed, "bad_request" when it
  // came already, and Append()'s and Finish()'s of the one before.
  absl::Status BeginFile(const std::string& name);
  // "length_mismatch" as soon as there are too many bytes.
  absl::Status Append(std::string_view bytes);
  // "length_mismatch", "hash_mismatch", "file_missing" when something that is
  // signed did not come; on OK the release is stored and its metadata queued
  // for publication.
  absl::StatusOr<release::v1::Release> Finish() { return owner_.Finish(*this); }

 private:
  friend class Releases;
  Upload(Releases& owner, release::v1::CreateReleaseHeader header,
         std::string principal)
      : owner_(owner),
        header_(std::move(header)),
        principal_(std::move(principal)) {}
  Releases& owner_;
  release::v1::CreateReleaseHeader header_;
  std::string principal_;
  absl::Status EndFile();
  struct File {
    signing::TargetFile target;
    bool complete = false;
    // Complete, and waits for Finish() to get its place.
    std::unique_ptr<BlobWriter> writer;
  };
  std::string metadata_name_;
  signing::TargetFile target_;
  signing::ImageInfo info_;
  store::ReleaseRow beside_;           // artifacts and attachments
  std::map<std::string, File> files_;  // by name, the image too
  std::string current_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_RELEASES_H_
