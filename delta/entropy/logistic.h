// The logistic domain: probabilities as ln(p / (1 - p)), in which the mixer
// adds evidence. All tables come from 64-bit integer arithmetic at compile
// time.
#ifndef SHOAL_DELTA_ENTROPY_LOGISTIC_H_
#define SHOAL_DELTA_ENTROPY_LOGISTIC_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace shoal::delta::mix {

// Logistic values are in 1/256, from -kLogisticLimit to kLogisticLimit: ±12.
inline constexpr int kLogisticLimit = 3071;

namespace logistic_internal {

constexpr auto MakeSquash() {
  std::array<uint16_t, 2 * kLogisticLimit + 1> table{};
  constexpr uint64_t kOne = 1 << 20;
  // (e^(1/256) - 1) · 2^32, rounded.
  constexpr uint64_t kGrowth = 16810027;
  uint64_t exponential = kOne;
  for (int x = 0; x <= kLogisticLimit; ++x) {
    uint64_t p = (exponential << 16) / (exponential + kOne);
    if (p > 65535) p = 65535;
    table[static_cast<size_t>(kLogisticLimit + x)] = static_cast<uint16_t>(p);
    table[static_cast<size_t>(kLogisticLimit - x)] =
        static_cast<uint16_t>(65536 - p);
    exponential += (exponential * kGrowth) >> 32;
  }
  return table;
}
inline constexpr auto kSquash = MakeSquash();

constexpr auto MakeStretch() {
  std::array<int16_t, 4096> table{};
  int x = -kLogisticLimit;
  for (uint32_t p = 0; p < 4096; ++p) {
    // The smallest x whose probability is not below the middle of the cell.
    while (x < kLogisticLimit &&
           kSquash[static_cast<size_t>(x + kLogisticLimit)] < p * 16 + 8)
      ++x;
    table[p] = static_cast<int16_t>(x);
  }
  return table;
}
inline constexpr auto kStretch = MakeStretch();

}  // namespace logistic_internal

// 1 to 65535: the probability in 1/65536 of a logistic value, which is limited
// first.
inline uint32_t Squash(int32_t x) {
  if (x > kLogisticLimit) x = kLogisticLimit;
  if (x < -kLogisticLimit) x = -kLogisticLimit;
  return logistic_internal::kSquash[static_cast<size_t>(x + kLogisticLimit)];
}

// The inverse, of a probability in 1/65536 (0 to 65535).
inline int32_t Stretch(uint32_t p) {
  return logistic_internal::kStretch[p >> 4];
}

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_LOGISTIC_H_
