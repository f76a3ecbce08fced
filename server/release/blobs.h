// The plane's public files: the tree that its origin serves (metadata/,
// targets/, blobs/<sha256>). Metadata and documents are copies of what the
// store holds; images and deltas live here only, named by their digest.
#ifndef SHOAL_SERVER_RELEASE_BLOBS_H_
#define SHOAL_SERVER_RELEASE_BLOBS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "signing/log/directory.h"
#include "signing/metadata/file_root.h"

namespace shoal::server {

// Thread-safe.
class Blobs {
 public:
  // Makes DIR/public/{metadata,targets,blobs} and DIR/incoming; what an
  // interrupted upload left in incoming is removed.
  static absl::StatusOr<std::unique_ptr<Blobs>> Open(std::string directory,
                                                     FileSystem& fs);

  std::string public_dir() const;
  // The release log below the public directory.
  absl::StatusOr<std::unique_ptr<signing::LogDirectory>> OpenLog();
  std::string PathOf(std::string_view sha256) const;  // 32 bytes
  bool Has(std::string_view sha256) const;
  // A name for a file in the making, on the same file system.
  std::string NewTemporary() const;
  // Syncs the file and gives it its place; the temporary is gone then.
  absl::Status Keep(const std::string& temporary, std::string_view sha256);
  // Held from giving a blob its place until the row that names it is
  // committed, and while what no row names is removed.
  std::unique_lock<std::mutex> Hold() {
    return std::unique_lock<std::mutex>(mutex_);
  }
  // Digests (32 bytes) of all that are here.
  absl::StatusOr<std::vector<std::string>> List() const;
  // Removes a blob; one that is gone already is fine.
  absl::Status Remove(std::string_view sha256);
  // A second name of a blob in the tree ("targets/fw/…").
  absl::Status Link(std::string_view sha256, const std::string& tree_path);
  // Writes what differs and removes metadata and targets that `tree` and
  // `linked` (paths of Link) do not name. timestamp.json comes last.
  absl::Status Sync(const std::map<std::string, std::string>& tree,
                    const std::map<std::string, std::string>& linked);

 private:
  Blobs(std::string directory, FileSystem& fs)
      : directory_(std::move(directory)), fs_(fs) {}
  const std::string directory_;
  FileSystem& fs_;
  std::mutex mutex_;
};

// A file in the making: bytes are hashed as they are written.
class BlobWriter {
 public:
  // kResourceExhausted "disk_full" and other "io_…".
  static absl::StatusOr<std::unique_ptr<BlobWriter>> Create(Blobs& blobs);
  ~BlobWriter();  // removes what was not kept
  absl::Status Append(std::string_view bytes);
  uint64_t length() const { return length_; }
  std::string Sha256();  // once, at the end
  absl::Status Keep(std::string_view sha256);

 private:
  BlobWriter(Blobs& blobs, std::string path, FileDescriptor fd)
      : blobs_(blobs), path_(std::move(path)), fd_(std::move(fd)) {}
  Blobs& blobs_;
  std::string path_;
  FileDescriptor fd_;
  crypto::Sha256 hash_;
  uint64_t length_ = 0;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_BLOBS_H_
