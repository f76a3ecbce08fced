// The whole model, the same code for both directions: `Coder` says whether it
// codes the bits it is given or tells those that were coded.
#ifndef SHOAL_DELTA_ENTROPY_MIX_MODEL_H_
#define SHOAL_DELTA_ENTROPY_MIX_MODEL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "delta/entropy/arithmetic_coder.h"
#include "delta/entropy/byte_model.h"
#include "delta/entropy/flag_model.h"
#include "delta/entropy/mix_coder.h"
#include "delta/entropy/number_model.h"
#include "delta/entropy/reference.h"
#include "delta/entropy/target_map.h"

namespace shoal::delta::mix {

inline uint32_t Load32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0] | p[1] << 8 | p[2] << 16) |
         static_cast<uint32_t>(p[3]) << 24;
}

// Shifts a hit into field `i` of fields of 3 bits.
inline void NoteHit(uint32_t& fields, size_t i, bool hit) {
  const uint32_t at = 3 * static_cast<uint32_t>(i);
  const uint32_t field = fields >> at & 7;
  fields = (fields & ~(7u << at)) | ((field << 1 | (hit ? 1 : 0)) & 7) << at;
}

// Table sizes of a level.
struct LevelSizes {
  size_t lines;  // of the byte model, 64 bytes each
  size_t flags;  // of each context of the flag model, one byte each
  std::array<size_t, TargetMap::kLevels> targets;  // entries of 8 bytes
};
// Null when there is no such level.
const LevelSizes* SizesOf(int level);

template <class Coder>
class MixModel {
 public:
  // Null when there is no memory or no such level.
  static std::unique_ptr<MixModel> Create(int level);

  Coder& coder() { return coder_; }
  void Reset();
  // Encoding these return what they are given; decoding their argument (and
  // what `fresh` holds before) is not looked at.
  uint64_t Number(size_t kind, uint64_t value) {
    return numbers_.Code(coder_, kind, value);
  }
  uint64_t Place(uint64_t new_at, uint64_t old_at) {
    return numbers_.CodePlace(coder_, new_at, old_at);
  }
  void Moved(uint64_t old_at, uint64_t new_at, uint64_t size);
  // Encoding, `fresh` is not written to.
  void Add(const OldBytes& old, uint64_t new_at, uint8_t* fresh, size_t size);
  void Insert(const OldBytes& old, uint64_t new_at, uint8_t* fresh,
              size_t size);

 private:
  // What is being coded: a block of at most kMixBlock bytes.
  struct Block {
    uint64_t old_at, new_at;
    uint8_t* fresh;
    size_t size;
  };
  // Words that a unit may have become, the likeliest first.
  struct Candidates {
    static constexpr size_t kMost = 3;
    size_t count = 0;
    std::array<uint32_t, kMost> words{};
    std::array<uint8_t, kMost> sources{};  // source · 4 + hits
    void Offer(uint32_t word, size_t source, size_t hits);
  };
  static constexpr size_t kBases = 8;
  // The last two have no history of their own.
  enum FlagKind : size_t {
    kBlock = 0,
    kQuarter = 1,
    kLine = 2,
    kUnit = 3,
    kUnitByte = 4,
    kInsertedByte = 5,
  };

  void LoadOld(const OldBytes& old, size_t offset, size_t size);
  const uint8_t* Old(size_t i) const { return old_.data() + kMixMargin + i; }

  void AddBlock(const Block& block);
  Content ChooseContent(const Block& block);
  void CodeContent(const Block& block);
  size_t CodeLine(const Block& block, size_t at, size_t end);
  void CodeUnit(const Block& block, size_t at, const Unit& unit);
  void CodeUnitBytes(const Unit& unit, const Candidates& candidates,
                     uint32_t opcode, const uint8_t* old, uint8_t* fresh);
  bool StretchFlag(FlagKind kind, const Block& block, size_t at, size_t end);
  void CopyOld(const Block& block, size_t at, size_t end);
  // The likeliest words; with `most` 1 the likeliest is right, others may miss.
  Candidates Predict(const Unit& unit, size_t most);
  // Is an inserted byte the likeliest of `guesses`, which is number `best`?
  bool InsertedAsGuessed(uint8_t byte, uint8_t guess, size_t best,
                         uint64_t place);
  void JudgeBases(const Unit& unit, int32_t shift);
  void Learn(const Unit& unit, const Candidates& candidates, uint32_t new_word);
  void PushByte(uint8_t byte, uint8_t old);
  // The byte of the result `n` before the next, 1 to 16.
  uint8_t Back(uint32_t n) const {
    return static_cast<uint8_t>(n <= 8 ? history_ >> (8 * (n - 1))
                                       : older_ >> (8 * (n - 9)));
  }

  Coder coder_;
  ByteModel bytes_;
  FlagModel flags_;
  NumberModel numbers_;
  TargetMap targets_;
  std::array<std::array<Adaptive, 8>, kContents> contents_;

  Content content_ = Content::kData;
  std::array<uint32_t, 4> flag_history_{};  // by FlagKind, the latest lowest
  uint32_t flag_run_ = 0;             // units since one was not as predicted
  uint64_t history_ = 0;              // the latest 8 bytes of the result
  uint64_t older_ = 0;                // the 8 before
  uint64_t differences_ = 0;          // of them to the base
  std::array<uint32_t, 2> deltas_{};  // of the latest unpredicted words
  uint32_t previous_word_ = 0;        // the unit before, in the base
  uint32_t missed_ = 0;               // how the latest unpredicted bytes went
  std::array<int32_t, kReferenceKinds> last_shift_{};
  std::array<uint32_t, kBases> base_scores_{};
  size_t base_ = 0;     // of kPointerBases: the best
  uint32_t above_ = 0;  // how guesses of inserted bytes went
  PageRegisters pages_{};
  std::array<uint8_t, kMixBlock + 2 * kMixMargin> old_{};
};

extern template class MixModel<BinaryEncoder>;
extern template class MixModel<BinaryDecoder>;

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_MIX_MODEL_H_
