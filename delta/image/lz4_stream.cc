#include "delta/image/lz4_stream.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "common/status.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kMinMatch = 4;
constexpr uint64_t kStep = 32u << 10;  // decoded before it is given out

absl::Status Damaged() {
  return DataLoss("image_block", "an lz4 block is damaged");
}

}  // namespace

absl::Status Lz4Stream::Read(char* out, size_t size) {
  while (size > 0) {
    if (place_ == made_) {
      const uint64_t most = std::min<uint64_t>(size, kStep);
      if (raw_left() == 0) return Damaged();  // the block is shorter
      SHOAL_RETURN_IF_ERROR(DecodeTo(made_ + std::min(most, raw_left())));
    }
    const size_t there = made_ - place_;  // ≤ kHistory
    const size_t from = next_ >= there ? next_ - there : next_ + kRing - there;
    const size_t n = std::min({size, there, kRing - from});
    if (out != nullptr) {
      memcpy(out, ring_.data() + from, n);
      out += n;
    }
    place_ += n;
    size -= n;
  }
  return absl::OkStatus();
}

bool Lz4Stream::StepBack(uint64_t place) {
  if (place > place_ || made_ - place > kHistory) return false;
  place_ = place;
  return true;
}

absl::Status Lz4Stream::CheckEnd() {
  if (raw_left() == 0 && place_ == made_ && literals_ == 0 && match_ == 0 &&
      input_.AtEnd())
    return absl::OkStatus();
  return Damaged();
}

absl::StatusOr<std::unique_ptr<BlockStream>> Lz4Stream::Clone() const {
  std::unique_ptr<BlockStream> copy(new (std::nothrow) Lz4Stream(*this));
  if (!copy) return ResourceExhausted("image_memory", "out of memory");
  return copy;
}

absl::Status Lz4Stream::DecodeTo(uint64_t target) {
  while (made_ < target) {
    if (literals_ > 0) {
      SHOAL_RETURN_IF_ERROR(Literals(target));
    } else if (match_ > 0) {
      Match(target);
    } else {
      if (!match_due_) ShortSequences(target);
      if (made_ < target) SHOAL_RETURN_IF_ERROR(NextSequence());
    }
  }
  return absl::OkStatus();
}

// Most sequences are short, and most stand in the middle of everything: those
// are decoded here, without a look at every byte. Stops before any other.
void Lz4Stream::ShortSequences(uint64_t target) {
  constexpr size_t kMost = 64;  // more than what one reads or writes
  const std::string_view in = input_.buffered();
  size_t used = 0;
  while (in.size() - used >= kMost && target - made_ >= kMost &&
         next_ + kMost <= kRing) {
    const auto* const from = reinterpret_cast<const uint8_t*>(in.data()) + used;
    const size_t literals = *from >> 4;
    const size_t match = (*from & 15) + kMinMatch;
    if (literals == 15 || match == 15 + kMinMatch) break;
    const size_t distance = from[1 + literals] | size_t{from[2 + literals]}
                                                     << 8;
    if (distance == 0 || distance > made_ + literals) break;
    char* to = ring_.data() + next_;
    const size_t at = next_ + literals;
    const size_t back = at >= distance ? at - distance : at + kRing - distance;
    if (back + kMost > kRing) break;
    memcpy(to, from + 1, 16);
    to += literals;
    const char* const there = ring_.data() + back;
    if (distance >= 8) {
      memcpy(to, there, 8);
      memcpy(to + 8, there + 8, 8);
      memcpy(to + 16, there + 16, 2);
    } else {  // the match repeats itself
      for (size_t i = 0; i < match; ++i) to[i] = there[i];
    }
    used += 1 + literals + 2;
    next_ += literals + match;
    made_ += literals + match;
  }
  input_.Consume(used);
}

// Reads a token with its literal length, or after the literals the match.
absl::Status Lz4Stream::NextSequence() {
  if (!match_due_) {
    SHOAL_ASSIGN_OR_RETURN(token_, input_.Byte());
    literals_ = token_ >> 4;
    if (literals_ == 15) SHOAL_RETURN_IF_ERROR(TakeLength(literals_));
    if (literals_ > raw_left()) return Damaged();
    match_due_ = true;
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const uint8_t low, input_.Byte());
  SHOAL_ASSIGN_OR_RETURN(const uint8_t high, input_.Byte());
  distance_ = low | high << 8;
  match_ = token_ & 15;
  if (match_ == 15) SHOAL_RETURN_IF_ERROR(TakeLength(match_));
  match_ += kMinMatch;
  match_due_ = false;
  if (distance_ == 0 || distance_ > made_ || match_ > raw_left())
    return Damaged();
  return absl::OkStatus();
}

absl::Status Lz4Stream::TakeLength(uint64_t& length) {
  for (;;) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t more, input_.Byte());
    length += more;
    if (length > raw_left()) return Damaged();
    if (more != 255) return absl::OkStatus();
  }
}

absl::Status Lz4Stream::Literals(uint64_t target) {
  SHOAL_RETURN_IF_ERROR(input_.Fill());
  const std::string_view bytes = input_.buffered();
  const size_t n = std::min({literals_, uint64_t{bytes.size()}, target - made_,
                             uint64_t{kRing - next_}});
  memcpy(ring_.data() + next_, bytes.data(), n);
  input_.Consume(n);
  literals_ -= n;
  Advance(n);
  return absl::OkStatus();
}

void Lz4Stream::Match(uint64_t target) {
  const size_t back =
      next_ >= distance_ ? next_ - distance_ : next_ + kRing - distance_;
  const size_t n = std::min({match_, target - made_, uint64_t{kRing - next_},
                             uint64_t{kRing - back}});
  char* const to = ring_.data() + next_;
  const char* const from = ring_.data() + back;
  if (distance_ >= n) {
    memmove(to, from, n);  // across the ring's end they may touch
  } else if (distance_ == 1) {
    memset(to, *from, n);
  } else {  // the match repeats itself
    for (size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  match_ -= n;
  Advance(n);
}

void Lz4Stream::Advance(size_t n) {
  made_ += n;
  next_ += n;
  if (next_ == kRing) next_ = 0;
}

}  // namespace shoal::delta
