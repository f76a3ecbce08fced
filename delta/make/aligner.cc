#include "delta/make/aligner.h"

#include <algorithm>

namespace shoal::delta {
namespace {

// An alignment that goes on this long needs no search for a better one.
constexpr int64_t kGoesOn = 24;
constexpr int64_t kLongestRun = 16384;
// bsdiff's: another alignment must explain this many bytes more.
constexpr int64_t kBetterBy = 8;
// So that no match is missed that is too short for the index's filter.
static_assert(kGram <= kBetterBy);
// Bytes between two looks at whether it is cancelled, a power of two.
constexpr int64_t kLook = 4096;

// Where the alignment that is being extended next misses as often as another
// must be better: a match that ends before explains too little to be taken.
class Misses {
 public:
  // `same(at)` says whether the alignment explains the byte.
  template <class Same>
  Misses(int64_t at, int64_t size, const Same& same) : end_(at), size_(size) {
    Extend(same);
  }
  // Behind the last of these misses; none when the bytes end before.
  std::optional<int64_t> end() const {
    return count_ > kBetterBy ? std::optional<int64_t>(end_) : std::nullopt;
  }
  template <class Same>
  void Leave(int64_t at, const Same& same) {
    if (!same(at)) --count_;
    Extend(same);
  }

 private:
  template <class Same>
  void Extend(const Same& same) {
    for (; count_ <= kBetterBy && end_ < size_; ++end_)
      if (!same(end_)) ++count_;
  }
  int64_t end_, size_, count_ = 0;
};

const uint8_t* Bytes(std::string_view s) {
  return reinterpret_cast<const uint8_t*>(s.data());
}

}  // namespace

Aligner::Aligner(std::string_view base, const SuffixIndex& index,
                 std::string_view gap, const Around& around)
    : old_(Bytes(base)),
      old_size_(static_cast<int64_t>(base.size())),
      index_(index),
      new_(Bytes(gap)),
      size_(static_cast<int64_t>(gap.size())),
      around_(around),
      last_old_(around.before.value_or(0)),
      shift_(last_old_),
      have_last_(around.before.has_value() || !index.empty()) {}

// Does the alignment that is being extended explain this byte?
bool Aligner::Same(int64_t at) const {
  const int64_t there = at + shift_;
  return there >= 0 && there < old_size_ && old_[there] == new_[at];
}

// From at_ to where another alignment explains enough more than this one, or
// where this one goes on for sure.
Aligner::Next Aligner::FindNext(const std::atomic<bool>* cancel) {
  const auto same = [this](int64_t at) { return Same(at); };
  Misses misses(at_, size_, same);
  int64_t score = 0;  // bytes from at_ to `scored` that this one explains
  for (int64_t scored = at_; at_ < size_; ++at_) {
    if ((at_ & (kLook - 1)) == 0 && cancel != nullptr && cancel->load())
      return Next::kCancelled;
    if (Same(at_)) {
      const int64_t there = at_ + shift_;
      const int64_t run =
          EqualBytes(old_ + there, new_ + at_,
                     std::min({size_ - at_, old_size_ - there, kLongestRun}));
      if (run >= kGoesOn) {
        found_ = {there, run};
        return Next::kGoesOn;
      }
    }
    const std::optional<int64_t> enough = misses.end();
    if (!enough) break;  // no match can be better any more
    found_ = index_.MayOccur(new_ + at_, *enough - at_)
                 ? index_.Longest(new_ + at_, size_ - at_)
                 : Found{};
    for (; scored < at_ + std::max<int64_t>(found_.size, 1); ++scored)
      if (Same(scored)) ++score;
    if (found_.size == score && found_.size != 0) return Next::kGoesOn;
    if (found_.size > score + kBetterBy) {
      if (found_.size < kGoesOn)
        found_ = index_.MostAlike(found_, new_, at_, size_, at_ + shift_);
      return Next::kAnother;
    }
    if (Same(at_)) --score;
    misses.Leave(at_, same);
  }
  return Next::kEnd;
}

// How far the last alignment reaches: most equal bytes to differing ones.
int64_t Aligner::Forward() const {
  int64_t forward = 0, sum = 0, best = 0;
  for (int64_t i = 0; last_at_ + i < at_ && last_old_ + i < old_size_;) {
    if (old_[last_old_ + i] == new_[last_at_ + i]) ++sum;
    ++i;
    if (sum * 2 - i > best * 2 - forward) {
      best = sum;
      forward = i;
    }
  }
  return forward;
}

// How far the one that begins at at_ with old_[next] reaches back.
int64_t Aligner::Backward(int64_t next) const {
  int64_t backward = 0, sum = 0, best = 0;
  for (int64_t i = 1; at_ >= last_at_ + i && next >= i; ++i) {
    if (old_[next - i] == new_[at_ - i]) ++sum;
    if (sum * 2 - i > best * 2 - backward) {
      best = sum;
      backward = i;
    }
  }
  return backward;
}

// Where both claim bytes: how many of them the last one keeps, so that the sum
// of equal bytes is largest.
int64_t Aligner::Cut(int64_t overlap, int64_t forward, int64_t backward,
                     int64_t next) const {
  int64_t sum = 0, best = 0, cut = 0;
  for (int64_t i = 0; i < overlap; ++i) {
    const int64_t from = forward - overlap + i;
    if (new_[last_at_ + from] == old_[last_old_ + from]) ++sum;
    if (new_[at_ - backward + i] == old_[next - backward + i]) --sum;
    if (sum > best) {
      best = sum;
      cut = i + 1;
    }
  }
  return cut;
}

bool Aligner::Run(const std::atomic<bool>* cancel, const Take& take) {
  for (;;) {
    Next next = Next::kEnd;
    if (at_ < size_ && !index_.empty()) next = FindNext(cancel);
    if (next == Next::kCancelled) return false;
    if (next == Next::kGoesOn) {
      at_ += found_.size;
      continue;
    }
    const bool end = next == Next::kEnd;
    if (end) at_ = size_;
    const bool have_next = !end || around_.after.has_value();
    const int64_t next_old = end ? around_.after.value_or(0) : found_.at;
    int64_t forward = have_last_ ? Forward() : 0;
    int64_t backward = have_next ? Backward(next_old) : 0;
    const int64_t overlap = (last_at_ + forward) - (at_ - backward);
    if (overlap > 0) {
      const int64_t kept = Cut(overlap, forward, backward, next_old);
      forward -= overlap - kept;
      backward -= kept;
    }
    if (forward > 0) take(last_at_, last_old_, forward);
    if (end) {
      if (backward > 0) take(at_ - backward, next_old - backward, backward);
      return true;
    }
    last_at_ = at_ - backward;
    last_old_ = next_old - backward;
    shift_ = next_old - at_;
    have_last_ = true;
    at_ += found_.size;
  }
}

}  // namespace shoal::delta
