// Compresses a long LZ4 block piece by piece, to the bytes that compressing it
// as a whole gives. LZ4's "high compression" looks 64 KiB back and not far
// ahead, and between two sequences its compressor often knows nothing but the
// bytes: then it can be started there anew, with the 64 KiB before as its
// dictionary. Where that holds, and where a piece therefore ends, was proven
// by the maker with this very code; the image map says it.
//
// A piece that liblz4 compresses is given to it with kLz4Lookahead bytes of
// what follows (fewer at the block's end), and the sequences that make the
// piece's own bytes are kept. A piece that is a single sequence is written as
// the map says: long runs, whose end lies beyond any lookahead, and the few
// places at which the compressor knew more than the bytes.
#ifndef SHOAL_DELTA_IMAGE_LZ4_PIECES_H_
#define SHOAL_DELTA_IMAGE_LZ4_PIECES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "delta/image/buffer.h"
#include "delta/image/image_map.h"

namespace shoal::delta {

// Part of what decides about the stored bytes.
inline constexpr size_t kLz4History = 64u << 10;
inline constexpr size_t kLz4Lookahead = 4u << 10;
// The longest piece that liblz4 compresses.
inline constexpr uint32_t kMaxLz4Piece = 128u << 10;

// Bytes that liblz4's compressor takes, stack included.
uint64_t Lz4HcState(int level);
// Bytes that Lz4Pieces takes, of whose pieces the longest has `longest` bytes.
uint64_t Lz4PiecesMemory(int level, uint32_t longest);
// The longest of them that liblz4 compresses; 0: none.
uint32_t LongestPiece(std::span<const Piece> pieces);

// liblz4's compressor with a dictionary before the input.
class Lz4HcCompressor {
 public:
  // Compresses the `length` bytes at `start`, before which `history` ≤
  // kLz4History bytes stand that matches may refer to. Writes at most `room`
  // bytes; the length. "image_block" when they do not fit.
  absl::StatusOr<size_t> Compress(int level, const char* start, size_t history,
                                  size_t length, char* out, size_t room);

 private:
  Buffer state_;
};

// Takes the raw bytes of one block after another, gives the stored ones in
// order. Keeps its buffers. Errors: "image_block" (no sequence ends where a
// piece should), "image_memory", those of the sink. Thread-compatible.
class Lz4Pieces {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;

  // `pieces` must outlive the block; as ParseImageMap leaves them they add up
  // to `raw_length`, and the last one is not a sequence.
  absl::Status Begin(int level, std::span<const Piece> pieces,
                     uint32_t raw_length);
  // Not more bytes in total than the block has. All pieces are made when all
  // its bytes are there.
  absl::Status Write(std::string_view raw, const Sink& sink);

 private:
  absl::Status Advance(const Sink& sink);
  absl::StatusOr<bool> WriteCompressed(const Piece& piece, const Sink& sink);
  absl::StatusOr<bool> WriteSequence(const Piece& piece, const Sink& sink);
  void Consume(size_t raw);
  void Slide();

  int level_ = 0;
  std::span<const Piece> pieces_;
  uint64_t left_ = 0;    // raw bytes of the block from `at_` on
  uint32_t into_ = 0;    // raw bytes of a sequence that are done
  size_t at_ = 0;        // in buffer_: what is not done yet begins here
  size_t end_ = 0;       // in buffer_: the bytes that are there end here
  size_t capacity_ = 0;  // of buffer_ for this block
  Buffer buffer_, out_;
  Lz4HcCompressor compressor_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_IMAGE_LZ4_PIECES_H_
