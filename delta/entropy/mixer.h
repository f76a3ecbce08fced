// The learning parts: adaptive probabilities, the mixer, the final map.
#ifndef SHOAL_DELTA_ENTROPY_MIXER_H_
#define SHOAL_DELTA_ENTROPY_MIXER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "delta/entropy/bit_history.h"
#include "delta/entropy/logistic.h"
#include "delta/entropy/mixer_arithmetic.h"

namespace shoal::delta::mix {

// 65536 / (count + 1.5).
constexpr auto MakeRates() {
  std::array<uint16_t, 1024> rates{};
  for (int i = 0; i < 1024; ++i)
    rates[static_cast<size_t>(i)] = static_cast<uint16_t>(131072 / (2 * i + 3));
  return rates;
}
inline constexpr auto kRates = MakeRates();

// A probability of 22 bits with a count of 10 bits: it moves towards each bit
// by 1/(count + 1.5), so fast at first and slowly later.
class Adaptive {
 public:
  constexpr Adaptive() = default;
  constexpr explicit Adaptive(uint32_t p16) : bits_(p16 << 16) {}
  uint32_t P() const { return bits_ >> 16; }  // in 1/65536, 0 to 65535
  int32_t Logistic() const { return Stretch(P()); }
  // For coding with it directly: 1 to 65535.
  uint32_t CodingP() const { return std::clamp<uint32_t>(P(), 16, 65520); }
  void Update(bool bit, uint32_t limit) {
    const uint32_t count = bits_ & 1023;
    // As a distance to the goal, so that one formula serves both bits: the
    // distance to 2^22 - 1 is the complement.
    const uint32_t flip = bit ? (1u << 22) - 1 : 0;
    uint32_t distance = bits_ >> 10 ^ flip;
    distance -= static_cast<uint32_t>(uint64_t{distance} * kRates[count] >> 16);
    bits_ = (distance ^ flip) << 10 | (count < limit ? count + 1 : limit);
  }

 private:
  uint32_t bits_ = 0x80000000u;
};

// What each state of a bit history has meant so far, for one context.
class HistoryMap {
 public:
  HistoryMap() { Reset(); }
  void Reset() {
    for (size_t i = 0; i < map_.size(); ++i) map_[i] = Adaptive(FirstGuess(i));
  }
  const Adaptive& At(BitHistory state) const { return map_[state]; }
  void Update(BitHistory state, bool bit) { map_[state].Update(bit, 255); }

 private:
  std::array<Adaptive, 256> map_;
};

// Two weight vectors, each chosen by a context of its own from its set; their
// dot products with the inputs are averaged. Each learns from its own error.
template <size_t kInputs, size_t kSetsA, size_t kSetsB>
class Mixer {
 public:
  Mixer() { Reset(); }
  void Reset() {
    constexpr int32_t kStart = static_cast<int32_t>(65536 * 3 / 2 / kInputs);
    for (auto& w : a_) w.fill(kStart);
    for (auto& w : b_) w.fill(kStart);
  }
  std::array<int32_t, kInputs>& inputs() { return inputs_; }
  // The logistic value; `set_a` and `set_b` choose the weights.
  int32_t Mix(size_t set_a, size_t set_b) {
    used_a_ = &a_[set_a];
    used_b_ = &b_[set_b];
    const TwoSums sums = Dot(inputs_.data(), used_a_->data(), used_b_->data());
    sum_a_ = Limit(sums.a >> 8);
    sum_b_ = Limit(sums.b >> 8);
    return (sum_a_ + sum_b_) >> 1;
  }
  void Update(bool bit, int32_t rate) {
    Train(*used_a_, sum_a_, bit, rate);
    Train(*used_b_, sum_b_, bit, rate);
  }

 private:
  using Weights = std::array<int32_t, kInputs>;
  static int32_t Limit(int32_t x) {
    return std::clamp(x, -kLogisticLimit, kLogisticLimit);
  }
  static TwoSums Dot(const int32_t* x, const int32_t* a, const int32_t* b) {
#if defined(__x86_64__)
    if (HasAvx2()) return avx2::Dot<kInputs>(x, a, b);
#endif
    return plain::Dot<kInputs>(x, a, b);
  }
  void Train(Weights& w, int32_t sum, bool bit, int32_t rate) {
    const int32_t error =
        ((bit ? 65535 : 0) - static_cast<int32_t>(Squash(sum))) * rate;
#if defined(__x86_64__)
    if (HasAvx2()) return avx2::Train<kInputs>(inputs_.data(), w.data(), error);
#endif
    plain::Train<kInputs>(inputs_.data(), w.data(), error);
  }

  std::array<int32_t, kInputs> inputs_{};
  std::array<Weights, kSetsA> a_;
  std::array<Weights, kSetsB> b_;
  Weights* used_a_ = a_.data();
  Weights* used_b_ = b_.data();
  int32_t sum_a_ = 0, sum_b_ = 0;
};

// Refines a probability by what it has meant in a context (APM or SSE): 24
// cells over the logistic range, interpolated.
template <size_t kContexts>
class FinalMap {
 public:
  FinalMap() { Reset(); }
  void Reset() {
    for (auto& row : cells_)
      for (size_t i = 0; i < kCells; ++i)
        row[i] =
            static_cast<uint16_t>(Squash((static_cast<int32_t>(i) - 12) * 256));
  }
  uint32_t Refine(int32_t logistic, size_t context) {
    const uint32_t x = static_cast<uint32_t>(logistic + 12 * 256);
    const uint32_t part = x & 255;
    low_ = &cells_[context][x >> 8];
    near_ = part >= 128 ? 1 : 0;
    return (low_[0] * (256 - part) + low_[1] * part) >> 8;
  }
  void Update(bool bit) {
    uint16_t& cell = low_[near_];
    if (bit)
      cell = static_cast<uint16_t>(cell + ((65535 - cell) >> 6));
    else
      cell = static_cast<uint16_t>(cell - (cell >> 6));
  }

 private:
  static constexpr size_t kCells = 25;
  std::array<std::array<uint16_t, kCells>, kContexts> cells_;
  uint16_t* low_ = cells_[0].data();
  size_t near_ = 0;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_MIXER_H_
