#include "delta/image/lz4_stream.h"

#include <cstring>
#include <new>

#include "common/status.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kMinMatch = 4;

absl::Status Damaged() {
  return DataLoss("image_block", "an lz4 block is damaged");
}

}  // namespace

absl::Status Lz4Stream::Read(char* out, size_t size) {
  while (size > 0) {
    if (read_ == end_) SHOAL_RETURN_IF_ERROR(Decode());
    if (read_ == end_) return Damaged();  // the block is shorter
    const size_t n = std::min(size, end_ - read_);
    if (out != nullptr) {
      memcpy(out, window_.data() + read_, n);
      out += n;
    }
    read_ += n;
    place_ += n;
    size -= n;
  }
  return absl::OkStatus();
}

bool Lz4Stream::StepBack(uint64_t place) {
  if (place > place_ || place_ - place > read_) return false;
  read_ -= place_ - place;
  place_ = place;
  return true;
}

absl::Status Lz4Stream::CheckEnd() {
  if (raw_left_ == 0 && read_ == end_ && literals_ == 0 && match_ == 0 &&
      input_.AtEnd())
    return absl::OkStatus();
  return Damaged();
}

absl::StatusOr<std::unique_ptr<BlockStream>> Lz4Stream::Clone() const {
  std::unique_ptr<BlockStream> copy(new (std::nothrow) Lz4Stream(*this));
  if (!copy) return ResourceExhausted("image_memory", "out of memory");
  return copy;
}

absl::Status Lz4Stream::Decode() {
  if (end_ > kHistory) {  // all of it was given out: keep the last 64 KiB
    memmove(window_.data(), window_.data() + end_ - kHistory, kHistory);
    end_ = read_ = kHistory;
  }
  while (end_ < window_.size() && raw_left_ > 0) {
    if (literals_ > 0) {
      SHOAL_RETURN_IF_ERROR(Literals());
    } else if (match_ > 0) {
      Match();
    } else {
      SHOAL_RETURN_IF_ERROR(NextSequence());
    }
  }
  return absl::OkStatus();
}

// Reads a token with its literal length, or after the literals the match.
absl::Status Lz4Stream::NextSequence() {
  if (!match_due_) {
    SHOAL_ASSIGN_OR_RETURN(token_, input_.Byte());
    literals_ = token_ >> 4;
    if (literals_ == 15) SHOAL_RETURN_IF_ERROR(TakeLength(literals_));
    if (literals_ > raw_left_) return Damaged();
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
  // The window holds all of the block, or at least 64 KiB of it.
  if (distance_ == 0 || distance_ > end_ || match_ > raw_left_)
    return Damaged();
  return absl::OkStatus();
}

absl::Status Lz4Stream::TakeLength(uint64_t& length) {
  for (;;) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t more, input_.Byte());
    length += more;
    if (length > raw_left_) return Damaged();
    if (more != 255) return absl::OkStatus();
  }
}

absl::Status Lz4Stream::Literals() {
  SHOAL_RETURN_IF_ERROR(input_.Fill());
  const std::string_view bytes = input_.buffered();
  const size_t n = std::min<uint64_t>(
      literals_, std::min(bytes.size(), window_.size() - end_));
  memcpy(window_.data() + end_, bytes.data(), n);
  input_.Consume(n);
  end_ += n;
  literals_ -= n;
  raw_left_ -= n;
  return absl::OkStatus();
}

void Lz4Stream::Match() {
  const size_t n = std::min<uint64_t>(match_, window_.size() - end_);
  char* to = window_.data() + end_;
  const char* from = to - distance_;
  if (distance_ >= n) {
    memcpy(to, from, n);
  } else {  // the match repeats itself
    for (size_t i = 0; i < n; ++i) to[i] = from[i];
  }
  end_ += n;
  match_ -= n;
  raw_left_ -= n;
}

}  // namespace shoal::delta
