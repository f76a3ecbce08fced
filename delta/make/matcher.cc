#include "delta/make/matcher.h"

#include <algorithm>

#include "delta/make/aligner.h"

namespace shoal::delta {

Matcher::Matcher(std::string_view old_image, const std::vector<Range>& ranges,
                 bool with_suffix_array)
    : ranges_(ranges) {
  size_t total = 0;
  for (const Range& r : ranges_) total += r.end - r.begin;
  bytes_.reserve(total);
  for (const Range& r : ranges_) {
    starts_.push_back(static_cast<int64_t>(bytes_.size()));
    bytes_.append(old_image.substr(r.begin, r.end - r.begin));
  }
  if (with_suffix_array) index_ = SuffixIndex(bytes_);
}

std::optional<int64_t> Matcher::ToLocal(uint64_t old_at) const {
  for (size_t i = 0; i < ranges_.size(); ++i)
    if (old_at >= ranges_[i].begin && old_at <= ranges_[i].end)
      return starts_[i] + static_cast<int64_t>(old_at - ranges_[i].begin);
  return std::nullopt;
}

void Matcher::AppendGlobal(uint64_t new_at, int64_t local, int64_t size,
                           std::vector<Match>& out) const {
  size_t i = static_cast<size_t>(
      std::upper_bound(starts_.begin(), starts_.end(), local) -
      starts_.begin() - 1);
  while (size > 0) {
    const uint64_t old_at =
        ranges_[i].begin + static_cast<uint64_t>(local - starts_[i]);
    const int64_t n =
        std::min<int64_t>(size, static_cast<int64_t>(ranges_[i].end - old_at));
    if (n > 0) out.push_back({new_at, old_at, static_cast<uint64_t>(n)});
    new_at += static_cast<uint64_t>(n);
    local += n;
    size -= n;
    ++i;
  }
}

std::vector<Match> Matcher::FindAlignments(
    std::string_view new_image, const Gap& gap,
    const std::atomic<bool>* cancel) const {
  std::vector<Match> out;
  if (bytes_.empty()) return out;
  const auto local = [this](const std::optional<uint64_t>& old_at) {
    return old_at ? ToLocal(*old_at) : std::nullopt;
  };
  Aligner aligner(bytes_, index_,
                  new_image.substr(gap.begin, gap.end - gap.begin),
                  {local(gap.old_before), local(gap.old_after)});
  const bool whole = aligner.Run(cancel, [&](int64_t gap_at, int64_t base_at,
                                             int64_t size) {
    AppendGlobal(gap.begin + static_cast<uint64_t>(gap_at), base_at, size, out);
  });
  if (!whole) out.clear();
  return out;
}

}  // namespace shoal::delta
