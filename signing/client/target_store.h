// Verified targets in a directory: a flat one, each target's path
// percent-encoded into one name, so that no path leads out of it (T34).
#ifndef SHOAL_SIGNING_CLIENT_TARGET_STORE_H_
#define SHOAL_SIGNING_CLIENT_TARGET_STORE_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "signing/client/http_fetcher.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

// One thread.
class TargetStore {
 public:
  // `directory` exists or is made by Add.
  explicit TargetStore(std::string directory)
      : directory_(std::move(directory)) {}

  std::string PathOf(std::string_view target_path) const;
  // Whether the very file that is signed is here; reads all of it.
  bool Has(const TargetFile& target) const;
  // Removes the temporary files of processes that were killed. Those of one
  // that runs are locked by it and stay.
  absl::Status RemoveLeftovers() const;
  // Streams the target to a temporary file, and gives it its name once length
  // and digests fit: nothing unverified is ever under a target's name. On
  // return it is on disk. TargetCheck's, the fetcher's and the file system's
  // errors.
  absl::Status Add(const TargetFile& target, bool by_digest,
                   HttpFetcher& source);

 private:
  std::string directory_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_CLIENT_TARGET_STORE_H_
