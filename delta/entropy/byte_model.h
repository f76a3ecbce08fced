// Codes one byte, bit by bit, given hashes of its contexts and guesses of the
// whole byte.
#ifndef SHOAL_DELTA_ENTROPY_BYTE_MODEL_H_
#define SHOAL_DELTA_ENTROPY_BYTE_MODEL_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "delta/entropy/mixer.h"
#include "delta/entropy/table.h"

namespace shoal::delta::mix {

class ByteModel {
 public:
  static constexpr size_t kContexts = 8;
  static constexpr size_t kGuesses = 4;
  static constexpr size_t kModes = 2;  // beside the base, without it
  static constexpr size_t kGuessContexts = 256;
  static constexpr size_t kMixSets = 64;

  struct Guess {
    uint8_t byte = 0;
    bool valid = false;
    uint32_t context = 0;  // below kGuessContexts: what its worth depends on
  };
  struct Input {
    std::array<uint32_t, kContexts> contexts{};  // hashes
    std::array<Guess, kGuesses> guesses{};
    size_t mode = 0;
    size_t mix_set = 0;
  };

  // 64 bytes each.
  bool Allocate(size_t lines) { return lines_.Allocate(lines); }
  void Reset() {
    lines_.Clear();
    for (auto& mode : histories_)
      for (HistoryMap& h : mode) h.Reset();
    for (auto& g : guesses_) g = Adaptive();
    mixer_.Reset();
    final_.Reset();
  }

  template <class Coder>
  uint8_t Code(Coder& coder, const Input& in, uint8_t byte) {
    auto& histories = histories_[in.mode];
    auto& x = mixer_.inputs();
    std::array<uint8_t*, kContexts> buckets;
    std::array<Adaptive*, kGuesses> used;
    uint32_t node = 1;  // a 1 and the bits so far
    for (int bit_at = 0; bit_at < 8; ++bit_at) {
      if (bit_at == 0) {
        for (const uint32_t hash : in.contexts) lines_.Prefetch(hash);
        for (size_t i = 0; i < kContexts; ++i)
          buckets[i] = Find(in.contexts[i]);
        // Where the likeliest byte goes on, ahead of its need.
        const uint8_t likely = Coder::kDecodes ? in.guesses[0].byte : byte;
        for (const uint32_t hash : in.contexts)
          lines_.Prefetch(SecondHash(hash, 16u | likely >> 4));
      } else if (bit_at == 4) {
        std::array<uint32_t, kContexts> hashes;
        for (size_t i = 0; i < kContexts; ++i) {
          hashes[i] = SecondHash(in.contexts[i], node);
          lines_.Prefetch(hashes[i]);  // the lines come side by side
        }
        for (size_t i = 0; i < kContexts; ++i) buckets[i] = Find(hashes[i]);
      }
      const uint32_t slot = SlotOf(node, bit_at & 3);
      for (size_t i = 0; i < kContexts; ++i)
        x[i] = histories[i].At(buckets[i][slot]).Logistic();
      uint32_t agreeing = 0;
      for (size_t g = 0; g < kGuesses; ++g) {
        const Guess& guess = in.guesses[g];
        used[g] = nullptr;
        x[kContexts + g] = 0;
        if (!guess.valid || (guess.byte | 256u) >> (8 - bit_at) != node)
          continue;
        const uint32_t expected = guess.byte >> (7 - bit_at) & 1;
        used[g] = &guesses_[((g * kGuessContexts + guess.context) * 8 +
                             static_cast<size_t>(bit_at)) *
                                2 +
                            expected];
        x[kContexts + g] = used[g]->Logistic();
        agreeing |= (1 + expected) << (2 * g);
      }
      const int32_t logistic = mixer_.Mix(in.mix_set, in.mode << 8 | node);
      const uint32_t refined =
          final_.Refine(logistic, in.mode << 10 | (agreeing & 3) << 8 | node);
      const uint32_t p = std::clamp<uint32_t>(
          (Squash(logistic) + 3 * refined + 2) >> 2, 16, 65520);
      const bool bit = coder.Code((byte >> (7 - bit_at) & 1) != 0, p);
      for (size_t i = 0; i < kContexts; ++i) {
        uint8_t& state = buckets[i][slot];
        histories[i].Update(state, bit);
        state = Next(state, bit);
      }
      for (Adaptive* a : used)
        if (a != nullptr) a->Update(bit, 255);
      mixer_.Update(bit, kRate);
      final_.Update(bit);
      node = node << 1 | (bit ? 1 : 0);
    }
    return static_cast<uint8_t>(node);
  }

 private:
  // A check byte, and the states of the 15 nodes of four bits.
  static constexpr size_t kBucket = 16;
  struct Line {
    uint8_t bytes[4 * kBucket];
  };

  // The node of the last `bits` bits within its bucket.
  static uint32_t SlotOf(uint32_t node, int bits) {
    return 1u << bits | (node & ((1u << bits) - 1));
  }

  // Of a context with the first four bits behind a 1.
  static uint32_t SecondHash(uint32_t hash, uint32_t node) {
    const uint32_t h = (hash + node) * 0x9e3779b1u;
    return h ^ h >> 15;
  }

  // Without a branch that depends on where the context is: it is anywhere.
  uint8_t* Find(uint32_t hash) {
    uint8_t* line = lines_.At(hash).bytes;
    const uint8_t check = static_cast<uint8_t>(hash);
    const uint32_t found = (line[0] == check ? 1u : 0u) |
                           (line[kBucket] == check ? 2u : 0u) |
                           (line[2 * kBucket] == check ? 4u : 0u) |
                           (line[3 * kBucket] == check ? 8u : 0u);
    if (found != 0)
      return line + static_cast<size_t>(std::countr_zero(found)) * kBucket;
    uint8_t* least = line;
    for (size_t i = 1; i < 4; ++i) {
      uint8_t* bucket = line + i * kBucket;
      least = Weight(bucket[1]) < Weight(least[1]) ? bucket : least;
    }
    memset(least, 0, kBucket);
    least[0] = check;
    return least;
  }

  static constexpr int32_t kRate = 6;

  Table<Line> lines_;
  std::array<std::array<HistoryMap, kContexts>, kModes> histories_;
  std::array<Adaptive, kGuesses * kGuessContexts * 16> guesses_;
  Mixer<kContexts + kGuesses, kMixSets, 256 * kModes> mixer_;
  FinalMap<1024 * kModes> final_;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_BYTE_MODEL_H_
