// bsdiff's way from one alignment to the next (C. Percival, "Naive differences
// of executable code", 2003): a gap of the new image beside a part of the base.
#ifndef SHOAL_DELTA_MAKE_ALIGNER_H_
#define SHOAL_DELTA_MAKE_ALIGNER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "delta/make/suffix_index.h"

namespace shoal::delta {

// For one gap. Not thread-safe.
class Aligner {
 public:
  // What is around the gap: where in `base` its neighbours go on or come from.
  struct Around {
    std::optional<int64_t> before, after;
  };
  // `size` bytes of the gap at `gap_at` are like those at `base_at`.
  using Take =
      std::function<void(int64_t gap_at, int64_t base_at, int64_t size)>;

  // All must outlive it. `index` is of `base`, or empty: then the neighbours'
  // alignments are only extended.
  Aligner(std::string_view base, const SuffixIndex& index, std::string_view gap,
          const Around& around);

  // Alignments in the gap's order, disjoint. False when cancelled (`cancel`
  // may be null); some have been taken by then.
  bool Run(const std::atomic<bool>* cancel, const Take& take);

 private:
  using Found = SuffixIndex::Found;
  enum class Next { kAnother, kGoesOn, kEnd, kCancelled };
  bool Same(int64_t at) const;
  Next FindNext(const std::atomic<bool>* cancel);
  int64_t Forward() const;
  int64_t Backward(int64_t next) const;
  int64_t Cut(int64_t overlap, int64_t forward, int64_t backward,
              int64_t next) const;

  const uint8_t* old_;
  int64_t old_size_;
  const SuffixIndex& index_;
  const uint8_t* new_;
  int64_t size_;
  Around around_;

  int64_t at_ = 0;  // how far the search is
  Found found_;     // what goes on or begins there
  // The alignment that is being extended: in the gap, in the base, and the
  // distance of the two.
  int64_t last_at_ = 0, last_old_, shift_;
  bool have_last_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_ALIGNER_H_
