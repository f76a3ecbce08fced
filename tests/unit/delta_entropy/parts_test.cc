// The arithmetic: logistic tables, bit histories, the arithmetic coder.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "delta/entropy/arithmetic_coder.h"
#include "delta/entropy/bit_history.h"
#include "delta/entropy/logistic.h"
#include "delta/entropy/mixer.h"
#include "tests/unit/delta_entropy/mix_test_support.h"

namespace shoal::delta::mix {
namespace {

TEST(Logistic, SquashIsTheLogisticFunction) {
  for (int x = -kLogisticLimit; x <= kLogisticLimit; ++x) {
    const double p = 65536 / (1 + std::exp(-x / 256.0));
    EXPECT_NEAR(Squash(x), p, 3) << x;
    EXPECT_GE(Squash(x), 1u);
    EXPECT_LE(Squash(x), 65535u);
    EXPECT_GE(Squash(x), Squash(x - 1));
  }
  EXPECT_EQ(Squash(1 << 20), Squash(kLogisticLimit));
  EXPECT_EQ(Squash(-(1 << 20)), Squash(-kLogisticLimit));
}

TEST(Logistic, StretchIsItsInverse) {
  for (uint32_t p = 0; p < 65536; ++p) {
    // The smallest value whose probability reaches the middle of p's cell.
    const uint32_t middle = p / 16 * 16 + 8;
    EXPECT_GE(Squash(Stretch(p)), middle);
    EXPECT_LT(Squash(Stretch(p) - 1), middle);
  }
}

TEST(BitHistory, EveryStateLeadsToAState) {
  const auto& t = history_internal::kTables;
  EXPECT_EQ(t.states, 187);
  for (int s = 0; s < t.states; ++s) {
    for (const bool bit : {false, true}) {
      const auto& from = t.counts[static_cast<size_t>(s)];
      const BitHistory next = Next(static_cast<BitHistory>(s), bit);
      ASSERT_LT(next, t.states);
      const auto& to = t.counts[next];
      EXPECT_TRUE(history_internal::Allowed(to.zeros, to.ones));
      // What was seen counts at least as much as before, its opposite at most.
      EXPECT_GE(bit ? to.ones : to.zeros, 1);
      EXPECT_LE(bit ? to.zeros : to.ones, bit ? from.zeros : from.ones);
      EXPECT_TRUE(to.zeros == 0 || to.ones == 0 || to.last == (bit ? 1 : 0));
    }
    EXPECT_GT(FirstGuess(static_cast<size_t>(s)), 0u);
    EXPECT_LT(FirstGuess(static_cast<size_t>(s)), 65536u);
  }
}

TEST(BitHistory, LongRunsStay) {
  BitHistory s = 0;
  for (int i = 0; i < 100; ++i) s = Next(s, true);
  EXPECT_EQ(s, Next(s, true));
  EXPECT_EQ(Weight(s), 30);
}

TEST(Adaptive, LearnsAProbability) {
  delta::Numbers numbers(1);
  Adaptive a;
  for (int i = 0; i < 20000; ++i) a.Update(numbers.Below(10) == 0, 1000);
  EXPECT_NEAR(a.P(), 6553, 1200);
  for (int i = 0; i < 20000; ++i) a.Update(true, 1000);
  EXPECT_GT(a.P(), 65500u);
  EXPECT_LE(a.CodingP(), 65535u);
  for (int i = 0; i < 100000; ++i) a.Update(false, 1000);
  EXPECT_LT(a.P(), 20u);
  EXPECT_GE(a.CodingP(), 1u);
}

#if defined(__x86_64__)
// What decides about the bytes may not depend on the processor.
TEST(MixerArithmetic, VectorsGiveWhatPlainCodeGives) {
  if (!HasAvx2()) GTEST_SKIP() << "no AVX2 here";
  std::mt19937 random(5);
  constexpr size_t kMost = 20;
  const auto check = [&]<size_t kInputs>() {
    for (int round = 0; round < 20000; ++round) {
      std::array<int32_t, kMost> x, a, b;
      const auto draw = [&](int32_t most) {
        const auto wide = static_cast<uint32_t>(2 * most + 1);
        if (random() % 8 == 0) return random() % 2 ? most : -most;
        return static_cast<int32_t>(random() % wide) - most;
      };
      for (size_t i = 0; i < kInputs; ++i) {
        x[i] = draw(kLogisticLimit);
        a[i] = draw(kMostWeight);
        b[i] = draw(kMostWeight);
      }
      const TwoSums plain = plain::Dot<kInputs>(x.data(), a.data(), b.data());
      const TwoSums vector = avx2::Dot<kInputs>(x.data(), a.data(), b.data());
      ASSERT_EQ(plain.a, vector.a);
      ASSERT_EQ(plain.b, vector.b);
      const int32_t error = draw(65535 * 6);
      std::array<int32_t, kMost> trained = a;
      plain::Train<kInputs>(x.data(), a.data(), error);
      avx2::Train<kInputs>(x.data(), trained.data(), error);
      for (size_t i = 0; i < kInputs; ++i) ASSERT_EQ(a[i], trained[i]);
    }
  };
  check.operator()<8>();
  check.operator()<12>();
  check.operator()<20>();
}
#endif

TEST(ArithmeticCoder, BitsOfAnyProbabilityComeBack) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    delta::Numbers numbers(seed);
    std::vector<std::pair<bool, uint32_t>> bits;
    const size_t count = numbers.Below(2000);
    for (size_t i = 0; i < count; ++i) {
      // Extreme probabilities, and mostly the likely bit or mostly not.
      uint32_t p = 1 + static_cast<uint32_t>(numbers.Below(65535));
      if (numbers.Below(2)) p = numbers.Below(2) ? 1 : 65535;
      const bool likely = p > 32768;
      bits.emplace_back(numbers.Below(1 + seed % 50) == 0 ? !likely : likely,
                        p);
    }
    BinaryEncoder e;
    for (const auto& [bit, p] : bits) e.Code(bit, p);
    const std::string out = e.TakeOutput();
    BinaryDecoder d;
    d.Begin(delta::Bytes(out));
    for (const auto& [bit, p] : bits) ASSERT_EQ(d.Code(false, p), bit);
    EXPECT_TRUE(d.Finished());
    EXPECT_FALSE(d.Overrun());
  }
}

TEST(ArithmeticCoder, LikelyBitsCostNothing) {
  BinaryEncoder e;
  for (int i = 0; i < 10000; ++i) e.Code(true, 65535);
  EXPECT_LE(e.TakeOutput().size(), 2u);
}

}  // namespace
}  // namespace shoal::delta::mix
