// What was seen in one context, in one byte: how often 0 and 1 came, with more
// weight on the recent past (an observation halves a larger count of its
// opposite), and which came last. After the nonstationary states of PAQ
// (M. Mahoney), with bounds of our own.
#ifndef SHOAL_DELTA_ENTROPY_BIT_HISTORY_H_
#define SHOAL_DELTA_ENTROPY_BIT_HISTORY_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace shoal::delta::mix {

// State 0 is "nothing seen".
using BitHistory = uint8_t;

namespace history_internal {

// The largest count beside a smaller one of 0, 1, 2 … 5.
inline constexpr std::array<int, 6> kMost = {30, 16, 10, 7, 6, 5};

struct Counts {
  int zeros = 0, ones = 0, last = 0;
};

constexpr bool Allowed(int zeros, int ones) {
  const int less = zeros < ones ? zeros : ones;
  const int more = zeros < ones ? ones : zeros;
  return less < 6 && more <= kMost[static_cast<size_t>(less)];
}

struct Tables {
  int states = 0;
  std::array<Counts, 256> counts{};
  std::array<std::array<uint8_t, 256>, 2> next{};
};

constexpr Tables MakeTables() {
  Tables t;
  // Numbered by sum, then zeros, then the last bit where both were seen.
  std::array<std::array<std::array<int, 2>, 31>, 31> number{};
  for (int sum = 0; sum <= 30; ++sum) {
    for (int zeros = 0; zeros <= sum; ++zeros) {
      const int ones = sum - zeros;
      if (!Allowed(zeros, ones)) continue;
      for (int last = 0; last < 2; ++last) {
        auto& slot =
            number[static_cast<size_t>(zeros)][static_cast<size_t>(ones)];
        if (last == 1 && (zeros == 0 || ones == 0)) {
          slot[1] = slot[0];
          continue;
        }
        slot[static_cast<size_t>(last)] = t.states;
        t.counts[static_cast<size_t>(t.states)] = {zeros, ones, last};
        ++t.states;
      }
    }
  }
  for (int s = 0; s < t.states; ++s) {
    for (int bit = 0; bit < 2; ++bit) {
      const Counts& c = t.counts[static_cast<size_t>(s)];
      int same = (bit ? c.ones : c.zeros) + 1;
      int other = bit ? c.zeros : c.ones;
      if (other > 2) other = other / 2 + 1;
      while (!Allowed(same, other)) {
        if (same > 1 && !(same < other))
          --same;
        else
          --other;
      }
      t.next[static_cast<size_t>(bit)][static_cast<size_t>(s)] =
          static_cast<uint8_t>(number[static_cast<size_t>(bit ? other : same)]
                                     [static_cast<size_t>(bit ? same : other)]
                                     [static_cast<size_t>(bit)]);
    }
  }
  return t;
}
inline constexpr Tables kTables = MakeTables();
static_assert(kTables.states <= 256);

}  // namespace history_internal

inline BitHistory Next(BitHistory state, bool bit) {
  return history_internal::kTables.next[bit ? 1 : 0][state];
}

// How much was seen; what a full table forgets last.
inline int Weight(BitHistory state) {
  const auto& c = history_internal::kTables.counts[state];
  return c.zeros + c.ones;
}

// The probability of a 1 in 1/65536 before anything was learned about states.
constexpr uint32_t FirstGuess(size_t state) {
  const auto& c = history_internal::kTables.counts[state];
  return static_cast<uint32_t>(65536 * (2 * c.ones + 1) /
                               (2 * (c.zeros + c.ones) + 2));
}

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_BIT_HISTORY_H_
