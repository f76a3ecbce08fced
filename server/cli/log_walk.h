// The whole release log, read from an exported tree or from the storage nodes,
// and what is wrong with it. Nothing here asks shoald, whose log it is.
#ifndef SHOAL_SERVER_CLI_LOG_WALK_H_
#define SHOAL_SERVER_CLI_LOG_WALK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "signing/log/leaf.h"
#include "signing/verify/updater.h"

namespace shoal::cli {

// Everything that anybody says bundle `n` of the entries holds.
using FetchLogBundle = std::function<std::vector<std::string>(uint64_t bundle)>;

// The entries from the first on, until a bundle is missing; of several answers
// for one bundle the longest. "bad_log_leaf" for an entry that is none.
struct LogEntries {
  std::vector<std::string> bytes;
  std::vector<signing::LogLeaf> leaves;
};
absl::StatusOr<LogEntries> ReadLogEntries(const FetchLogBundle& fetch);

// Proofs out of the entries themselves: no other source is needed.
class EntriesFetcher final : public signing::Fetcher {
 public:
  static absl::StatusOr<EntriesFetcher> Make(const LogEntries& entries);
  absl::StatusOr<std::string> FetchMetadata(std::string_view,
                                            std::optional<uint64_t>,
                                            uint64_t) override;
  absl::StatusOr<std::string> FetchTarget(const signing::TargetFile&) override;
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

 private:
  std::map<std::string, std::string> tiles_;
};

// What of the metadata in force is not in the log: "policy 3", …; the entries
// are those that the head covers.
std::vector<std::string> MissingFromLog(const signing::Updater& updater,
                                        const LogEntries& entries);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_LOG_WALK_H_
