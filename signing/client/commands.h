// shoal-tuf's commands.
#ifndef SHOAL_SIGNING_CLIENT_COMMANDS_H_
#define SHOAL_SIGNING_CLIENT_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "signing/verify/algorithms.h"

namespace shoal::signing {

struct ClientOptions {
  std::string metadata_directory;
  std::string metadata_url;
  std::vector<std::string> target_names;  // paths of targets
  std::string target_directory;
  std::string target_url;
  VerifierPolicy policy;
};

// One process at a time works on a metadata directory; others wait for it.
// Errors: the Updater's, the HttpFetcher's, the file system's.

// Takes `root_file` as the anchor of trust. No request is made.
absl::Status RunInit(const ClientOptions& options,
                     const std::string& root_file);
absl::Status RunRefresh(const ClientOptions& options);
// Refreshes, then fetches the targets in their order up to the first error;
// one that is already there is not fetched again.
absl::Status RunDownload(const ClientOptions& options);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_CLIENT_COMMANDS_H_
