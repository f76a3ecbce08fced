// A storage node's copy of the release log, below the tree that it serves: out
// of entries that come as records or from other nodes, and taken over only when
// they give a head that was signed.
#ifndef SHOAL_DHT_NODE_LOG_MIRROR_H_
#define SHOAL_DHT_NODE_LOG_MIRROR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/files.h"
#include "signing/log/directory.h"
#include "signing/metadata/metadata.h"

namespace shoal::dht::node {

// One thread, that of the intake.
class LogMirror {
 public:
  // What anybody says bundle `n` holds (signing/log/files.h).
  using FetchBundle = std::function<std::vector<std::string>(uint64_t n)>;

  static absl::StatusOr<std::unique_ptr<LogMirror>> Open(
      FileSystem& fs, const std::string& public_dir);

  uint64_t size() const { return directory_->size(); }
  // A tile of the log as it is, lengthened by the entries that are at hand but
  // not signed for yet: enough to prove a head that is about to be taken.
  absl::StatusOr<std::string> Tile(const std::string& name,
                                   const FetchBundle& fetch);
  // What Tile() gathered is asked for again.
  void Forget() { preview_.reset(); }
  // Up to `head`, whatever that takes; another log than before replaces it.
  // "log_incomplete" (kUnavailable) while entries are missing.
  absl::Status Sync(const signing::LogHead& head, const FetchBundle& fetch);

 private:
  explicit LogMirror(std::unique_ptr<signing::LogDirectory> directory)
      : directory_(std::move(directory)) {}
  // The entries behind what is here, in order, until one is missing.
  std::vector<std::string> Gather(const FetchBundle& fetch,
                                  std::optional<uint64_t> up_to) const;

  std::unique_ptr<signing::LogDirectory> directory_;
  std::optional<signing::LogDirectory::Extension> preview_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_LOG_MIRROR_H_
