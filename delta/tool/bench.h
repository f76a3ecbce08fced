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
  int time_limit = 600;  // CPU seconds that one program may take for one step
  // Where finished rows are kept, one a line; those that are there are not
  // measured again, so that hours of measuring survive an interruption. Empty:
  // nowhere.
  std::string results;
};

// Prints a Markdown table, one pair after the other: patch bytes and their
// ratio to the smallest of the peers, CPU seconds and memory of making and
// applying, one program at a time; every result is compared with the new
// image. What is being measured is told on standard error. An error when a
// program of ours failed.
absl::Status RunBench(const BenchOptions& options);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_BENCH_H_
