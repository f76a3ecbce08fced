#include "delta/image/lz4_pieces.h"

#include <lz4.h>
#include <lz4hc.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "common/status.h"
#include "delta/image/lz4_sequences.h"

namespace shoal::delta {
namespace {

// From this level on the compressor has a table of prices on its stack.
constexpr int kOptimalLevel = 10;
constexpr uint64_t kOptimalTable = 68u << 10;

absl::Status NoSuchPiece() {
  return DataLoss("image_block", "no lz4 sequence ends where a piece should");
}

size_t BufferSize(uint32_t longest) {
  return kLz4History + std::max<size_t>(longest, kLz4History) + kLz4Lookahead;
}

size_t OutSize(uint32_t longest) {
  return static_cast<size_t>(
      LZ4_compressBound(static_cast<int>(longest + kLz4Lookahead)));
}

// A length's bytes behind its nibble of the token.
void AppendLength(std::string& out, size_t length) {
  if (length < 15) return;
  out.append((length - 15) / 255, '\xff');
  out.push_back(static_cast<char>((length - 15) % 255));
}

size_t Nibble(size_t length) { return std::min<size_t>(length, 15); }

}  // namespace

uint64_t Lz4HcState(int level) {
  return static_cast<uint64_t>(LZ4_sizeofStateHC()) +
         (level >= kOptimalLevel ? kOptimalTable : 0);
}

uint64_t Lz4PiecesMemory(int level, uint32_t longest) {
  // A sequence's lengths: 8 MiB at 255 a byte, in a string that grows.
  constexpr uint64_t kLengths = 2 * kMaxLz4Block / 255 + 256;
  return Lz4HcState(level) + BufferSize(longest) + OutSize(longest) + kLengths;
}

uint32_t LongestPiece(std::span<const Piece> pieces) {
  uint32_t longest = 0;
  for (const Piece& piece : pieces)
    if (!piece.IsSequence()) longest = std::max(longest, piece.raw);
  return longest;
}

absl::StatusOr<size_t> Lz4HcCompressor::Compress(int level, const char* start,
                                                 size_t history, size_t length,
                                                 char* out, size_t room) {
  const bool first = state_.size() == 0;
  SHOAL_RETURN_IF_ERROR(state_.Reserve(LZ4_sizeofStateHC()));
  auto* const stream = reinterpret_cast<LZ4_streamHC_t*>(state_.data());
  if (first && LZ4_initStreamHC(stream, state_.size()) == nullptr)
    return Internal("image_block", "lz4 refuses its state");
  LZ4_resetStreamHC_fast(stream, level);
  // Also sets everything back that the last piece left.
  LZ4_loadDictHC(stream, start - history, static_cast<int>(history));
  const int n = LZ4_compress_HC_continue(
      stream, start, out, static_cast<int>(length), static_cast<int>(room));
  if (n <= 0) return DataLoss("image_block", "a piece got too long");
  return static_cast<size_t>(n);
}

absl::Status Lz4Pieces::Begin(int level, std::span<const Piece> pieces,
                              uint32_t raw_length) {
  const uint32_t longest = LongestPiece(pieces);
  if (raw_length > kMaxLz4Block || longest > kMaxLz4Piece || pieces.empty() ||
      pieces.back().IsSequence())
    return DataLoss("image_block", "such pieces are not made");
  level_ = level;
  pieces_ = pieces;
  left_ = raw_length;
  into_ = 0;
  at_ = end_ = 0;
  capacity_ = BufferSize(longest);
  SHOAL_RETURN_IF_ERROR(buffer_.Reserve(capacity_));
  return out_.Reserve(OutSize(longest));
}

absl::Status Lz4Pieces::Write(std::string_view raw, const Sink& sink) {
  if (raw.size() > left_ - (end_ - at_))
    return DataLoss("image_block", "a block is longer than its pieces");
  while (!raw.empty()) {
    if (end_ == capacity_) Slide();
    const size_t n = std::min(raw.size(), capacity_ - end_);
    memcpy(buffer_.data() + end_, raw.data(), n);
    end_ += n;
    raw.remove_prefix(n);
    SHOAL_RETURN_IF_ERROR(Advance(sink));
  }
  return absl::OkStatus();
}

// Makes all pieces whose bytes are there.
absl::Status Lz4Pieces::Advance(const Sink& sink) {
  bool made = true;
  while (made && !pieces_.empty()) {
    const Piece& piece = pieces_.front();
    SHOAL_ASSIGN_OR_RETURN(made, piece.IsSequence()
                                     ? WriteSequence(piece, sink)
                                     : WriteCompressed(piece, sink));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Lz4Pieces::WriteCompressed(const Piece& piece,
                                                const Sink& sink) {
  const size_t length =
      std::min<uint64_t>(left_, uint64_t{piece.raw} + kLz4Lookahead);
  if (end_ - at_ < length) return false;
  SHOAL_ASSIGN_OR_RETURN(
      const size_t made,
      compressor_.Compress(level_, buffer_.data() + at_,
                           std::min(at_, kLz4History), length, out_.data(),
                           out_.size()));
  std::string_view rest(out_.data(), made);
  if (pieces_.size() == 1) {
    if (left_ != piece.raw) return NoSuchPiece();
    SHOAL_RETURN_IF_ERROR(sink(rest));
  } else {
    Lz4Sequence sequence;
    for (size_t raw = 0; raw < piece.raw;) {
      if (!ReadLz4Sequence(rest, sequence) || sequence.match == 0)
        return NoSuchPiece();
      rest.remove_prefix(sequence.stored);
      raw += sequence.literals + sequence.match;
      if (raw > piece.raw) return NoSuchPiece();
    }
    SHOAL_RETURN_IF_ERROR(sink({out_.data(), made - rest.size()}));
  }
  Consume(piece.raw);
  pieces_ = pieces_.subspan(1);
  return true;
}

absl::StatusOr<bool> Lz4Pieces::WriteSequence(const Piece& piece,
                                              const Sink& sink) {
  if (end_ == at_) return false;
  const size_t match = piece.raw - piece.literals - kLz4MinMatch;
  if (into_ == 0) {
    std::string head(
        1, static_cast<char>(Nibble(piece.literals) << 4 | Nibble(match)));
    AppendLength(head, piece.literals);
    SHOAL_RETURN_IF_ERROR(sink(head));
  }
  if (into_ <= piece.literals) {
    const size_t n = std::min<size_t>(end_ - at_, piece.literals - into_);
    if (n > 0) SHOAL_RETURN_IF_ERROR(sink({buffer_.data() + at_, n}));
    Consume(n);
    into_ += n;
    // The match's bytes are in the image, not in the block.
    if (into_ < piece.literals || at_ == end_) return false;
    std::string tail{static_cast<char>(piece.distance & 0xff),
                     static_cast<char>(piece.distance >> 8)};
    AppendLength(tail, match);
    SHOAL_RETURN_IF_ERROR(sink(tail));
  }
  const size_t n = std::min<size_t>(end_ - at_, piece.raw - into_);
  Consume(n);
  into_ += n;
  if (into_ < piece.raw) return false;
  into_ = 0;
  pieces_ = pieces_.subspan(1);
  return true;
}

void Lz4Pieces::Consume(size_t raw) {
  at_ += raw;
  left_ -= raw;
}

// Keeps the history before `at_`, and what is not done yet.
void Lz4Pieces::Slide() {
  const size_t from = at_ - std::min(at_, kLz4History);
  memmove(buffer_.data(), buffer_.data() + from, end_ - from);
  at_ -= from;
  end_ -= from;
}

}  // namespace shoal::delta
