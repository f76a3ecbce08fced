#include "server/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"

namespace shoal::cli {

std::string Bar(uint64_t done, uint64_t total, int width) {
  const double share = total == 0
                           ? 0.0
                           : std::min(1.0, static_cast<double>(done) /
                                               static_cast<double>(total));
  const auto filled = static_cast<size_t>(share * width);
  return "[" + std::string(filled, '#') +
         std::string(static_cast<size_t>(width) - filled, '-') + "]";
}

ProgressLine::ProgressLine(std::ostream& out, bool terminal, Clock& clock,
                           std::string title, uint64_t total)
    : out_(out),
      terminal_(terminal),
      clock_(clock),
      title_(std::move(title)),
      total_(total),
      started_(clock.MonotonicNow()),
      last_(started_ - absl::Seconds(1)) {}

ProgressLine::~ProgressLine() {
  if (drawn_) out_ << "\n" << std::flush;
}

void ProgressLine::Update(uint64_t done) {
  if (!terminal_) return;
  const absl::Duration now = clock_.MonotonicNow();
  if (done < total_ && now - last_ < absl::Milliseconds(100)) return;
  last_ = now;
  drawn_ = true;
  const double seconds = std::max(0.001, absl::ToDoubleSeconds(now - started_));
  out_ << fmt::format("\r\x1b[K{} {} {} of {}, {}/s", title_, Bar(done, total_),
                      HumanBytes(done), HumanBytes(total_),
                      HumanBytes(static_cast<uint64_t>(
                          static_cast<double>(done) / seconds)))
       << std::flush;
}

}  // namespace shoal::cli
