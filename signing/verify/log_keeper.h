// A reader's memory of the release log and the rules by which it changes
// (docs/log.md); for this folder only. Two files in the metadata directory:
// `log`, a shoal.log.v1.LogMemory, and `log_fork.jsonl`, which stays: the two
// timestamps of the last fork, one a line.
#ifndef SHOAL_SIGNING_VERIFY_LOG_KEEPER_H_
#define SHOAL_SIGNING_VERIFY_LOG_KEEPER_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/files.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/updater.h"

namespace shoal::signing {

// One thread. Reasons as in updater.h. The timestamps given to it were signed
// by the keys in force.
class LogKeeper {
 public:
  LogKeeper(FileSystem& fs, std::string directory)
      : fs_(fs), directory_(std::move(directory)) {}

  // A damaged memory is as good as none.
  void Load();
  const log::v1::LogMemory& memory() const { return memory_; }

  // A timestamp that is to be trusted next: its log must go on from the one
  // kept and hold the snapshot that it pins. Durable when it returns OK.
  absl::Status Admit(const Timestamp& timestamp, std::string_view bytes,
                     uint64_t root_version, Fetcher& source, absl::Time now);
  // One that is not taken for another reason: "log_fork" when the two heads
  // alone contradict each other.
  absl::Status Confront(const Timestamp& other, std::string_view bytes,
                        absl::Time now);
  // Updater::CompareLog.
  absl::StatusOr<LogVerdict> Compare(const Timestamp& other,
                                     std::string_view bytes, Fetcher& source,
                                     absl::Time now);
  // Updater::TakeForkProof.
  absl::Status TakeProof(const Timestamp& one, std::string_view one_bytes,
                         const Timestamp& other, std::string_view other_bytes,
                         absl::Time now);
  // Root replaced a key of the timestamp: the next head begins anew.
  absl::Status KeyReplaced(uint64_t root_version);

 private:
  absl::Status Save(const log::v1::LogMemory& next);
  absl::Status Fork(std::string_view ours, std::string_view theirs,
                    std::string explanation, absl::Time now);
  absl::Status ForkStatus() const;
  // Why this and the one kept can't both be true, by their heads alone; ""
  // otherwise.
  std::string ContradictsOurs(const Timestamp& other) const;
  LogHead Head() const;

  FileSystem& fs_;
  const std::string directory_;
  log::v1::LogMemory memory_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_LOG_KEEPER_H_
