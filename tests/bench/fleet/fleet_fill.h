// A large fleet for the bench, written into a plane's store as shoald itself
// would write it, while shoald is not running.
#ifndef SHOAL_TESTS_BENCH_FLEET_FLEET_FILL_H_
#define SHOAL_TESTS_BENCH_FLEET_FLEET_FILL_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::bench {

struct FillResult {
  double devices_per_second = 0;        // 500 a transaction, 23 groups
  double batched_moves_per_second = 0;  // label changes that move a device
                                        // between groups, 256 a transaction
  double single_moves_per_second = 0;   // one a transaction, each on disk
  double reports_per_second = 0;        // last seen and one inventory value
  uint64_t disk_bytes = 0;
  // What devices run and can do with deltas: by reading each of them, as it was
  // done before, and by the counts beside them.
  double running_by_scan_ms = 0;
  double running_by_counts_ms = 0;
};

// `directory`: shoald's data directory, after import.
absl::StatusOr<FillResult> FillFleet(const std::string& directory,
                                     uint32_t devices);

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_FLEET_FLEET_FILL_H_
