// Removes the plane's files that no row names any more: of releases that were
// deleted, of deltas that went or were made anew, of documents that a later
// version took the place of. Rows go first and files afterwards, so that a
// crash at any moment leaves no name without bytes; what it leaves of bytes
// goes at the next start.
#ifndef SHOAL_SERVER_RELEASE_BLOB_SWEEPER_H_
#define SHOAL_SERVER_RELEASE_BLOB_SWEEPER_H_

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/publish/record_writer.h"
#include "server/release/blobs.h"
#include "server/store/store.h"

namespace shoal::server {

// Thread-safe.
class BlobSweeper {
 public:
  BlobSweeper(Store& store, const RecordWriter& writer, Blobs& blobs)
      : store_(store), writer_(writer), blobs_(blobs) {}

  // At start, once an hour, and after every deletion.
  absl::Status Sweep();
  // Called for each blob before its file goes (32 bytes): stop offering it.
  void OnGone(std::function<void(const std::string& sha256)> callback) {
    on_gone_ = std::move(callback);
  }

 private:
  // Digests (32 bytes) that releases, deltas, the indexes of rollouts at work
  // and documents name.
  absl::StatusOr<std::set<std::string>> Named() const;
  Store& store_;
  const RecordWriter& writer_;
  Blobs& blobs_;
  std::function<void(const std::string&)> on_gone_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_BLOB_SWEEPER_H_
