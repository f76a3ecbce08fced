// The mixer's inner loops: two dot products over the same inputs, and a step of
// learning. Exact integers, so that every implementation gives the same: plain
// C++ everywhere, and on x86-64 that has it AVX2, chosen while it runs (the
// compiler turns the plain loops into NEON on arm64 by itself).
#ifndef SHOAL_DELTA_ENTROPY_MIXER_ARITHMETIC_H_
#define SHOAL_DELTA_ENTROPY_MIXER_ARITHMETIC_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace shoal::delta::mix {

inline constexpr int32_t kMostWeight = (1 << 19) - 1;  // 8 in 1/65536

struct TwoSums {
  int32_t a = 0, b = 0;
};

namespace plain {

// Weights are below 2^19, inputs below 2^12: no product leaves 32 bits.
template <size_t kInputs>
TwoSums Dot(const int32_t* x, const int32_t* a, const int32_t* b) {
  TwoSums sums;
  for (size_t i = 0; i < kInputs; ++i) {
    sums.a += (a[i] * x[i]) >> 8;
    sums.b += (b[i] * x[i]) >> 8;
  }
  return sums;
}

// Errors are below 2^19.
template <size_t kInputs>
void Train(const int32_t* x, int32_t* w, int32_t error) {
  for (size_t i = 0; i < kInputs; ++i)
    w[i] = std::clamp(w[i] + ((x[i] * error + (1 << 17)) >> 18), -kMostWeight,
                      kMostWeight);
}

}  // namespace plain

#if defined(__x86_64__)
namespace avx2 {

#define SHOAL_AVX2 __attribute__((target("avx2")))

SHOAL_AVX2 inline __m256i Load(const int32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
SHOAL_AVX2 inline __m128i LoadHalf(const int32_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
SHOAL_AVX2 inline __m256i Products(const int32_t* x, const int32_t* w) {
  return _mm256_srai_epi32(_mm256_mullo_epi32(Load(x), Load(w)), 8);
}
SHOAL_AVX2 inline __m128i HalfProducts(const int32_t* x, const int32_t* w) {
  return _mm_srai_epi32(_mm_mullo_epi32(LoadHalf(x), LoadHalf(w)), 8);
}

template <size_t kInputs>
SHOAL_AVX2 TwoSums Dot(const int32_t* x, const int32_t* a, const int32_t* b) {
  static_assert(kInputs % 4 == 0 && kInputs >= 8);
  __m256i sum_a = Products(x, a), sum_b = Products(x, b);
  for (size_t i = 8; i + 8 <= kInputs; i += 8) {
    sum_a = _mm256_add_epi32(sum_a, Products(x + i, a + i));
    sum_b = _mm256_add_epi32(sum_b, Products(x + i, b + i));
  }
  // Lanes of both sums side by side, then pairs.
  const __m256i pairs = _mm256_hadd_epi32(sum_a, sum_b);
  __m128i four = _mm_add_epi32(_mm256_castsi256_si128(pairs),
                               _mm256_extracti128_si256(pairs, 1));
  if constexpr (kInputs % 8 != 0) {
    constexpr size_t kLast = kInputs - 4;
    four =
        _mm_add_epi32(four, _mm_hadd_epi32(HalfProducts(x + kLast, a + kLast),
                                           HalfProducts(x + kLast, b + kLast)));
  }
  const __m128i two = _mm_hadd_epi32(four, four);
  return {_mm_extract_epi32(two, 0), _mm_extract_epi32(two, 1)};
}

template <size_t kInputs>
SHOAL_AVX2 void Train(const int32_t* x, int32_t* w, int32_t error) {
  const __m256i errors = _mm256_set1_epi32(error);
  const __m256i half = _mm256_set1_epi32(1 << 17);
  const __m256i most = _mm256_set1_epi32(kMostWeight);
  const __m256i least = _mm256_set1_epi32(-kMostWeight);
  for (size_t i = 0; i + 8 <= kInputs; i += 8) {
    const __m256i step = _mm256_srai_epi32(
        _mm256_add_epi32(_mm256_mullo_epi32(Load(x + i), errors), half), 18);
    const __m256i moved = _mm256_add_epi32(Load(w + i), step);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(w + i),
                        _mm256_min_epi32(_mm256_max_epi32(moved, least), most));
  }
  if constexpr (kInputs % 8 != 0) {
    constexpr size_t kLast = kInputs - 4;
    const __m128i step = _mm_srai_epi32(
        _mm_add_epi32(_mm_mullo_epi32(LoadHalf(x + kLast),
                                      _mm256_castsi256_si128(errors)),
                      _mm256_castsi256_si128(half)),
        18);
    const __m128i moved = _mm_add_epi32(LoadHalf(w + kLast), step);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(w + kLast),
        _mm_min_epi32(_mm_max_epi32(moved, _mm256_castsi256_si128(least)),
                      _mm256_castsi256_si128(most)));
  }
}

#undef SHOAL_AVX2

}  // namespace avx2

inline bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_MIXER_ARITHMETIC_H_
