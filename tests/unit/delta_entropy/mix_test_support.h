// What the tests of the coder share: programs of calls, made from a seed, and
// running them in both directions.
#ifndef SHOAL_TESTS_UNIT_DELTA_ENTROPY_MIX_TEST_SUPPORT_H_
#define SHOAL_TESTS_UNIT_DELTA_ENTROPY_MIX_TEST_SUPPORT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "delta/entropy/mix_coder.h"

namespace shoal::delta {

// A generator whose numbers are the same everywhere (SplitMix64).
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t limit) { return Next() % limit; }

 private:
  uint64_t state_;
};

std::span<const uint8_t> Bytes(std::string_view s);

enum class Shape { kRandom, kText, kArm64, kX86, kThumb, kPointers, kZeros };
inline constexpr Shape kShapes[] = {
    Shape::kRandom, Shape::kText,     Shape::kArm64, Shape::kX86,
    Shape::kThumb,  Shape::kPointers, Shape::kZeros};
std::string MakeImage(Numbers& numbers, Shape shape, size_t size);

// One call of the coder.
struct Call {
  enum Kind { kNumber, kPlace, kMoved, kAdd, kInsert, kEndWindow, kReset };
  Kind kind = kNumber;
  NumberKind number_kind = NumberKind::kOther0;
  uint64_t value = 0;  // the number, or the place in the base
  uint64_t new_at = 0;
  uint64_t size = 0;
};
struct Script {
  std::string old_image, new_image;
  std::vector<Call> calls;  // ends with kEndWindow
};
// Inserts, deletions, moves and changed words; references follow in some.
Script MakeScript(uint64_t seed, Shape shape, size_t size);

std::vector<std::string> Encode(const Script& script, int level);

// Runs the script's calls against other windows as well; stops at the first
// error. `result` has the new image's size; `numbers` are the values decoded.
struct Decoded {
  absl::Status status;
  std::string result;
  std::vector<uint64_t> numbers;
};
Decoded Decode(const Script& script, const std::vector<std::string>& windows,
               int level);
// What Decode must give.
std::vector<uint64_t> NumbersOf(const Script& script);

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_UNIT_DELTA_ENTROPY_MIX_TEST_SUPPORT_H_
