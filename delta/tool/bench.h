// The table of shoal-delta against whichever other delta programs are there.
#ifndef SHOAL_DELTA_TOOL_BENCH_H_
#define SHOAL_DELTA_TOOL_BENCH_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace shoal::delta {

struct BenchOptions {
  std::string corpus;              // a folder of pairs: <pair>/old, <pair>/new
  std::vector<std::string> pairs;  // empty: all
  bool peers = true;
  int time_limit = 600;  // seconds that one program may take for one patch
};

// Prints a Markdown table: patch bytes, CPU seconds and peak resident size of
// making and applying, one program at a time; every result is compared with
// the new image. An error when a program of ours failed.
absl::Status RunBench(const BenchOptions& options);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_BENCH_H_
