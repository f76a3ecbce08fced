// Progress of long work on a terminal; silent elsewhere, so that logs and
// pipes stay clean.
#ifndef SHOAL_SERVER_CLI_PROGRESS_H_
#define SHOAL_SERVER_CLI_PROGRESS_H_

#include <cstdint>
#include <ostream>
#include <string>

#include "common/clock.h"

namespace shoal::cli {

// "[#####-----]" of `width` cells between the brackets; total 0 is empty.
std::string Bar(uint64_t done, uint64_t total, int width = 24);

// One line that is written over, at most ten times a second. One thread.
class ProgressLine {
 public:
  // `out` and `clock` outlive it.
  ProgressLine(std::ostream& out, bool terminal, Clock& clock,
               std::string title, uint64_t total);
  ~ProgressLine();  // leaves the terminal at the start of a line
  void Update(uint64_t done);

 private:
  std::ostream& out_;
  const bool terminal_;
  Clock& clock_;
  const std::string title_;
  const uint64_t total_;
  const absl::Duration started_;
  absl::Duration last_;
  bool drawn_ = false;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_PROGRESS_H_
