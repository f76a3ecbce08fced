// The context-mixing coder of deltas: an arithmetic coder whose model sees the
// base beside the bytes it codes. Each bit is predicted by bit histories in
// many contexts, mixed by an online logistic mixer (M. Mahoney, "Adaptive
// weighing of context models for lossless data compression", 2005), refined by
// an adaptive probability map and coded by a carryless binary arithmetic
// coder. On top of it, executable-aware prediction: references in code (arm64,
// x86-64, Thumb-2) and pointers in data are predicted from what is known about
// how their targets moved. Byte-exact description: docs/delta-entropy.md.
//
// Encoder and decoder are driven by the same calls in the same order with the
// same arguments; the decoder's calls return what the encoder's were given.
// Only integers of fixed width: the same bytes on every CPU and compiler.
//
// A *window* is a byte string of its own (EndWindow). The model lives on over
// windows until Reset(), which begins a *group*: a reader can start at groups
// only.
//
// Neither class is thread-safe. No call after construction allocates, except
// the encoder's output and the text of errors. Nothing throws.
#ifndef SHOAL_DELTA_ENTROPY_MIX_CODER_H_
#define SHOAL_DELTA_ENTROPY_MIX_CODER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::delta {

// The size of the model's tables. Larger is smaller patches, not slower.
//   1: 1 MiB · 2: 2.5 MiB · 3: 5 MiB (the default) · 4: 10 MiB
inline constexpr int kMinMixLevel = 1;
inline constexpr int kDefaultMixLevel = 3;
inline constexpr int kMaxMixLevel = 4;

// Bytes that an encoder or decoder of `level` allocates, at most; a patch's
// header declares it. 0 when there is no such level.
size_t MixMemory(int level);

// How many bytes of the base the model looks at on either side of the bytes
// that correspond to those being coded.
inline constexpr size_t kMixMargin = 32;
// Regions longer than one call are cut at multiples of this many bytes from
// their start; cut so, the coding does not depend on the cuts.
inline constexpr size_t kMixBlock = 4096;

// Numbers of one kind share statistics. The names are what the container uses
// them for; the coder does not care.
enum class NumberKind : uint8_t {
  kAddLength = 0,
  kInsertLength = 1,
  kCopyLength = 2,
  kOperation = 3,
  kOther0 = 4,
  kOther1 = 5,
  kOther2 = 6,
  kOther3 = 7,
};
inline constexpr int kNumberKinds = 8;

// A piece of the base. `bytes[begin]` is the byte at the place `at` of the
// base. The model looks at bytes[begin - kMixMargin] up to and including
// bytes[begin + size + kMixMargin - 1] where `size` is the number of bytes
// coded by the call; what lies outside of `bytes` counts as 0. So `bytes` must
// hold the whole margin wherever the base does, for the encoder and the
// decoder alike.
struct OldBytes {
  std::span<const uint8_t> bytes;
  size_t begin = 0;
  uint64_t at = 0;
};

class MixEncoder {
 public:
  // Reasons: "bad_argument" (no such level), "out_of_memory".
  static absl::StatusOr<std::unique_ptr<MixEncoder>> Create(int level);
  ~MixEncoder();
  MixEncoder(const MixEncoder&) = delete;
  MixEncoder& operator=(const MixEncoder&) = delete;

  // Forgets all it learned: begins a group. Between windows only.
  void Reset();

  // Any number; small and repeated ones are cheap.
  void Number(NumberKind kind, uint64_t value);
  // A place in the base for the byte `new_at` of the result; cheap when the
  // distance of the two is one of the last ones.
  void Place(uint64_t new_at, uint64_t old_at);

  // Says that `size` bytes of the base from `old_at` on are at `new_at` in the
  // result (an exact copy; or ahead of an Add that comes later). Codes
  // nothing; helps to predict references to there. Add does it by itself. Takes
  // time in proportion to `size`, which a reader bounds before.
  void Moved(uint64_t old_at, uint64_t new_at, uint64_t size);
  // `fresh`, which is to be at `new_at`, beside `old`, which is similar.
  void Add(const OldBytes& old, uint64_t new_at,
           std::span<const uint8_t> fresh);
  // `fresh`, which has no counterpart. `old` is where the last Add or copy
  // ended (the bytes there are a guess worth little, but something); may be
  // empty.
  void Insert(const OldBytes& old, uint64_t new_at,
              std::span<const uint8_t> fresh);

  // Bytes of the open window so far; EndWindow adds 4 at most.
  size_t WindowSize() const;
  // The window's bytes since the last EndWindow or construction.
  std::string EndWindow();

 private:
  struct Impl;
  explicit MixEncoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class MixDecoder {
 public:
  // Reasons: "bad_argument" (no such level), "out_of_memory".
  static absl::StatusOr<std::unique_ptr<MixDecoder>> Create(int level);
  ~MixDecoder();
  MixDecoder(const MixDecoder&) = delete;
  MixDecoder& operator=(const MixDecoder&) = delete;

  void Reset();

  // `window` is untrusted and must outlive the calls up to EndWindow. Damaged
  // bytes give an error or wrong values: the work is bounded by the sizes that
  // the caller asks for, values are any of 64 bits, and a hash around all this
  // is the caller's business.
  void BeginWindow(std::span<const uint8_t> window);

  // Reason of all errors: "delta_corrupt" (the window has ended).
  absl::StatusOr<uint64_t> Number(NumberKind kind);
  absl::StatusOr<uint64_t> Place(uint64_t new_at);
  void Moved(uint64_t old_at, uint64_t new_at, uint64_t size);
  absl::Status Add(const OldBytes& old, uint64_t new_at,
                   std::span<uint8_t> fresh);
  absl::Status Insert(const OldBytes& old, uint64_t new_at,
                      std::span<uint8_t> fresh);
  // An error when not all of the window was used.
  absl::Status EndWindow();

 private:
  struct Impl;
  explicit MixDecoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_ENTROPY_MIX_CODER_H_
