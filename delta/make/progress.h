// Progress of making over its parts, of which some are done again or not at
// all: it never goes back.
#ifndef SHOAL_DELTA_MAKE_PROGRESS_H_
#define SHOAL_DELTA_MAKE_PROGRESS_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

namespace shoal::delta {

// One thread at a time.
class Progress {
 public:
  // `report` may be null.
  Progress(std::function<void(uint64_t done, uint64_t total)> report,
           uint64_t total)
      : report_(std::move(report)), total_(total) {}

  // What comes now ends at `percent` of all; it begins where the part before
  // was to end.
  void BeginPart(uint64_t percent) {
    begin_ = std::exchange(end_, total_ / 100 * percent);
    Report(begin_);
  }
  // `done` of `all` of the part.
  void Part(uint64_t done, uint64_t all) {
    const double share =
        all == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(all);
    Report(begin_ +
           static_cast<uint64_t>(share * static_cast<double>(end_ - begin_)));
  }
  void Finish() {
    if (report_ && !finished_) report_(total_, total_);
    finished_ = true;
  }

 private:
  void Report(uint64_t done) {
    done = std::min(done, total_);
    // All of it is reported once, at the end.
    if (!report_ || done <= reported_ || done >= total_) return;
    reported_ = done;
    report_(done, total_);
  }

  const std::function<void(uint64_t, uint64_t)> report_;
  const uint64_t total_;
  uint64_t begin_ = 0, end_ = 0, reported_ = 0;
  bool finished_ = false;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_PROGRESS_H_
