// Codes single decisions ("is this stretch unchanged", "is this word, this byte
// what was predicted") given hashes of their contexts.
#ifndef SHOAL_DELTA_ENTROPY_FLAG_MODEL_H_
#define SHOAL_DELTA_ENTROPY_FLAG_MODEL_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "delta/entropy/mixer.h"
#include "delta/entropy/table.h"

namespace shoal::delta::mix {

class FlagModel {
 public:
  static constexpr size_t kContexts = 8;
  static constexpr size_t kMixSets = 96;
  using Contexts = std::array<uint32_t, kContexts>;

  // Entries of one byte for each context.
  bool Allocate(size_t entries) {
    for (auto& table : states_)
      if (!table.Allocate(entries)) return false;
    return true;
  }
  void Reset() {
    for (auto& table : states_) table.Clear();
    for (HistoryMap& h : histories_) h.Reset();
    mixer_.Reset();
  }

  template <class Coder>
  bool Code(Coder& coder, const Contexts& contexts, size_t set_a, size_t set_b,
            bool flag) {
    std::array<BitHistory*, kContexts> states;
    auto& x = mixer_.inputs();
    for (size_t i = 0; i < kContexts; ++i) {
      states[i] = &states_[i].At(contexts[i]);
      x[i] = histories_[i].At(*states[i]).Logistic();
    }
    const int32_t logistic = mixer_.Mix(set_a, set_b);
    const uint32_t p = std::clamp<uint32_t>(Squash(logistic), 2, 65534);
    const bool bit = coder.Code(flag, p);
    for (size_t i = 0; i < kContexts; ++i) {
      histories_[i].Update(*states[i], bit);
      *states[i] = Next(*states[i], bit);
    }
    mixer_.Update(bit, kRate);
    return bit;
  }

 private:
  static constexpr int32_t kRate = 3;
  std::array<Table<BitHistory>, kContexts> states_;
  std::array<HistoryMap, kContexts> histories_;
  Mixer<kContexts, kMixSets, kMixSets> mixer_;
};

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_FLAG_MODEL_H_
