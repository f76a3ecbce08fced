#include "delta/image/analyze/lz4_plan.h"

#include <lz4.h>

#include <algorithm>
#include <string>

#include "common/status.h"
#include "delta/image/lz4_pieces.h"
#include "delta/image/lz4_sequences.h"

namespace shoal::delta {
namespace {

// Longer ones cost a device memory, shorter ones the time to take up the
// history of each anew.
constexpr size_t kTarget = 64u << 10;

// Runs from here on are written as the map says.
constexpr size_t kLongSequence = 16u << 10;
static_assert(kTarget + kLongSequence <= kMaxLz4Piece);
// How many sequence ends are tried as the end of a piece, and how much of what
// follows must come out right there.
constexpr size_t kMostEnds = 48;
constexpr size_t kProbe = 512;
// A block is given up after so many short sequences in a row, or, beyond some
// for each piece, calls of liblz4.
constexpr int kMostSequences = 64;
constexpr size_t kPatience = 200;

struct Sequence : Lz4Sequence {
  size_t raw_end = 0, stored_end = 0;  // of the block
};

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + n, b.begin()).first - a.begin();
}

class Plan {
 public:
  Plan(int level, std::string_view raw, std::string_view stored)
      : level_(level), raw_(raw), stored_(stored) {
    out_.resize(LZ4_compressBound(kMaxLz4Piece + kLz4Lookahead));
    patience_ = kPatience + 4 * raw.size() / kTarget;
  }

  absl::StatusOr<std::vector<Piece>> Run() {
    for (int in_a_row = 0; in_a_row < kMostSequences && patience_ > 0 &&
                           pieces_.size() + 1 < kMaxPieces;) {
      if (!Look()) return None();
      if (at_end_) {
        SHOAL_ASSIGN_OR_RETURN(const bool made, MakeLast());
        if (made) return std::move(pieces_);
      }
      if (!ahead_.empty()) {
        SHOAL_ASSIGN_OR_RETURN(const bool made, MakePiece());
        if (!made) TakeSequence(ahead_[0]);
        in_a_row = made ? 0 : in_a_row + 1;
      } else if (!at_end_) {
        TakeSequence(long_);
      } else {
        return None();
      }
    }
    return None();
  }

 private:
  static std::vector<Piece> None() { return {}; }

  // Reads the sequences of a piece from the place at hand on, up to a long one,
  // which is not of them, or to the block's end. False: `stored_` is broken.
  bool Look() {
    ahead_.clear();
    at_end_ = false;
    Sequence next;
    next.raw_end = raw_at_;
    next.stored_end = stored_at_;
    while (next.raw_end - raw_at_ < kTarget) {
      if (!ReadLz4Sequence(stored_.substr(next.stored_end), next)) return false;
      if (next.match == 0) {
        at_end_ = true;
        return true;
      }
      next.raw_end += next.literals + next.match;
      next.stored_end += next.stored;
      if (next.literals + next.match >= kLongSequence) {
        long_ = next;
        return true;
      }
      ahead_.push_back(next);
    }
    return true;
  }

  // Compresses `length` bytes from `at` on; how many stored bytes from
  // `stored_at` on come out right.
  absl::StatusOr<size_t> Right(size_t at, size_t stored_at, size_t length) {
    patience_ -= patience_ > 0;
    length = std::min(length, raw_.size() - at);
    SHOAL_ASSIGN_OR_RETURN(
        const size_t n, compressor_.Compress(level_, raw_.data() + at,
                                             std::min(at, kLz4History), length,
                                             out_.data(), out_.size()));
    return CommonPrefix({out_.data(), n}, stored_.substr(stored_at));
  }

  absl::StatusOr<bool> MakeLast() {
    const size_t length = raw_.size() - raw_at_;
    if (length == 0 || length > kMaxLz4Piece) return false;
    SHOAL_ASSIGN_OR_RETURN(const size_t right,
                           Right(raw_at_, stored_at_, length));
    if (right != stored_.size() - stored_at_) return false;
    pieces_.push_back({.raw = static_cast<uint32_t>(length)});
    return true;
  }

  // How much of what lies ahead comes out right when the piece ends behind
  // `ends` sequences: so many sequences.
  absl::StatusOr<size_t> RightSequences(size_t ends) {
    SHOAL_ASSIGN_OR_RETURN(
        const size_t right,
        Right(raw_at_, stored_at_,
              ahead_[ends - 1].raw_end - raw_at_ + kLz4Lookahead));
    const auto wrong = std::partition_point(
        ahead_.begin(), ahead_.end(),
        [&](const Sequence& s) { return s.stored_end <= stored_at_ + right; });
    return wrong - ahead_.begin();
  }

  // A piece from here to the farthest sequence end that is proven, where the
  // next one can begin.
  absl::StatusOr<bool> MakePiece() {
    const size_t all = ahead_.size();
    SHOAL_ASSIGN_OR_RETURN(const size_t right, RightSequences(all));
    // So near the beginning it is not a matter of the end.
    if (right == 0 || right * 8 < all) return false;
    size_t proven = right == all ? all : 0;
    for (size_t ends = right; ends > 0 && right - ends < kMostEnds; --ends) {
      SHOAL_ASSIGN_OR_RETURN(const bool begins, BeginsBehind(ahead_[ends - 1]));
      // Where none can begin, single sequences will have to follow.
      if (!begins && proven > 0) continue;
      if (ends < all) {
        SHOAL_ASSIGN_OR_RETURN(const size_t again, RightSequences(ends));
        if (again < ends) continue;
      }
      if (proven == 0 || begins) proven = ends;
      if (begins) break;
    }
    if (proven == 0) return false;
    TakePiece(ahead_[proven - 1]);
    return true;
  }

  // Whether a piece can begin behind `last`: the next kProbe raw bytes come out
  // right, or those before a long sequence or the block's end.
  absl::StatusOr<bool> BeginsBehind(const Sequence& last) {
    size_t raw = 0, stored = 0;
    Lz4Sequence next;
    while (raw < kProbe &&
           ReadLz4Sequence(stored_.substr(last.stored_end + stored), next) &&
           next.match != 0 && next.literals + next.match < kLongSequence) {
      raw += next.literals + next.match;
      stored += next.stored;
    }
    if (stored == 0) return true;
    SHOAL_ASSIGN_OR_RETURN(
        const size_t right,
        Right(last.raw_end, last.stored_end, raw + kLz4Lookahead));
    return right >= stored;
  }

  void TakePiece(const Sequence& last) {
    pieces_.push_back({.raw = static_cast<uint32_t>(last.raw_end - raw_at_)});
    GoTo(last);
  }

  void TakeSequence(const Sequence& sequence) {
    pieces_.push_back({.raw = static_cast<uint32_t>(sequence.raw_end - raw_at_),
                       .literals = static_cast<uint32_t>(sequence.literals),
                       .distance = static_cast<uint16_t>(sequence.distance)});
    GoTo(sequence);
  }

  void GoTo(Sequence last) {  // a copy: it may be one of ahead_
    raw_at_ = last.raw_end;
    stored_at_ = last.stored_end;
  }

  const int level_;
  const std::string_view raw_, stored_;
  std::vector<Piece> pieces_;
  std::vector<Sequence> ahead_;
  size_t raw_at_ = 0, stored_at_ = 0;
  size_t patience_;
  Sequence long_;  // stands behind ahead_, when the end does not
  bool at_end_ = false;
  std::string out_;
  Lz4HcCompressor compressor_;
};

}  // namespace

absl::StatusOr<std::vector<Piece>> PlanLz4Pieces(int level,
                                                 std::string_view raw,
                                                 std::string_view stored) {
  return Plan(level, raw, stored).Run();
}

}  // namespace shoal::delta
