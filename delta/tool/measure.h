// What a program takes: CPU time and memory.
#ifndef SHOAL_DELTA_TOOL_MEASURE_H_
#define SHOAL_DELTA_TOOL_MEASURE_H_

#include <string>
#include <vector>

namespace shoal::delta {

struct Cost {
  bool ok = false;         // ended by itself, with exit code 0
  bool timed_out = false;  // took its CPU seconds
  double cpu_seconds = 0;  // user and system, its children's too
  double megabytes = 0;    // peak resident size, shared pages included
  // Peak of private pages that no file backs, looked at every few
  // milliseconds: what a device must have, whatever it maps.
  double anonymous_megabytes = 0;
};

// Runs a program alone (arguments[0] is looked for in PATH), without input and
// output, until it ends or has used `time_limit` seconds of CPU.
Cost Measure(const std::vector<std::string>& arguments, int time_limit);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_TOOL_MEASURE_H_
