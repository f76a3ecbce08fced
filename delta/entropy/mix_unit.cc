// Units: what a piece of the base may have become, and what it did become.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "delta/entropy/mix_model.h"

namespace shoal::delta::mix {
namespace {

// Words differ by more than this only when they are no addresses.
constexpr int32_t kFarthestShift = 1 << 24;
// What pointers may be away from places in the image (modulo 2^32): nothing,
// flash of microcontrollers and arm64 kernels, x86-64 programs and kernels,
// segments of ELF files.
constexpr std::array<uint32_t, 8> kPointerBases = {
    0, 0x08000000, 0x00400000, 0x81000000, 0x1000, 0x2000, 0x3000, 0x08008000};

AddressSpace SpaceOf(const Unit& unit) {
  if (unit.kind == ReferenceKind::kPointer) return AddressSpace::kPointers;
  return unit.kind == ReferenceKind::kNone ? AddressSpace::kWords
                                           : AddressSpace::kPlaces;
}
uint64_t KeyOf(const Unit& unit) {
  return unit.kind == ReferenceKind::kNone
             ? unit.word | uint64_t{unit.size} << 32
             : unit.target;
}

}  // namespace

template <class Coder>
void MixModel<Coder>::Candidates::Offer(uint32_t word, size_t source,
                                        size_t hits) {
  for (size_t i = 0; i < count; ++i)
    if (words[i] == word) return;
  if (count == kMost) return;
  words[count] = word;
  sources[count] = static_cast<uint8_t>(source * 4 + hits);
  ++count;
}

template <class Coder>
typename MixModel<Coder>::Candidates MixModel<Coder>::Predict(const Unit& unit,
                                                              size_t most) {
  constexpr size_t kFromLast = TargetMap::kLevels, kFromOld = kFromLast + 1,
                   kFromPlaces = kFromOld + 1;
  Candidates result;
  const uint32_t mask =
      unit.size == 4 ? ~uint32_t{0} : (1u << (8 * unit.size)) - 1;
  const auto offer_shift = [&](int32_t shift, size_t source, size_t hits) {
    const auto word =
        Redirect(unit, static_cast<uint64_t>(static_cast<int64_t>(shift)));
    if (word) result.Offer(*word & mask, source, hits);
  };
  const AddressSpace space = SpaceOf(unit);
  const uint64_t key = KeyOf(unit);
  const size_t levels = space == AddressSpace::kWords ? 1 : TargetMap::kLevels;
  for (size_t level = 0; level < levels; ++level) {
    if (result.count >= most) return result;
    // Pointers stay more often than they follow a far neighbour.
    if (level == 3 && space == AddressSpace::kPointers)
      result.Offer(unit.word, kFromOld, 0);
    if (level == 1 && space == AddressSpace::kPointers &&
        base_scores_[base_] > 0) {
      const TargetMap::Entry* e = targets_.Find(
          2, AddressSpace::kPlaces, unit.word - kPointerBases[base_]);
      if (e != nullptr)
        offer_shift(e->shift, kFromPlaces,
                    std::min<size_t>(base_scores_[base_] / 8, 3));
    }
    const TargetMap::Entry* e = targets_.Find(level, space, key);
    if (e != nullptr) offer_shift(e->shift, level, e->hits);
  }
  if (result.count >= most) return result;
  if (space != AddressSpace::kWords)
    offer_shift(last_shift_[static_cast<size_t>(unit.kind)], kFromLast, 0);
  result.Offer(unit.word, kFromOld, 0);
  return result;
}

// Which base agrees with what is known of places?
template <class Coder>
void MixModel<Coder>::JudgeBases(const Unit& unit, int32_t shift) {
  for (size_t i = 0; i < kBases; ++i) {
    const TargetMap::Entry* e =
        targets_.Find(2, AddressSpace::kPlaces, unit.word - kPointerBases[i]);
    if (e == nullptr) continue;
    uint32_t& score = base_scores_[i];
    if (e->shift == shift)
      score = std::min<uint32_t>(score + 2, 63);
    else if (score > 0)
      --score;
    if (score > base_scores_[base_]) base_ = i;
  }
}

template <class Coder>
void MixModel<Coder>::Learn(const Unit& unit, const Candidates& candidates,
                            uint32_t new_word) {
  const auto shift = ShiftOf(unit, new_word);
  if (!shift) return;
  const int64_t wide = static_cast<int64_t>(*shift);
  if (wide != static_cast<int32_t>(wide)) return;
  const int32_t narrow = static_cast<int32_t>(wide);
  const AddressSpace space = SpaceOf(unit);
  // What is no address for sure is worth a place only when it changed.
  if (space != AddressSpace::kPlaces && new_word == unit.word &&
      candidates.words[0] == unit.word)
    return;
  const bool near = narrow > -kFarthestShift && narrow < kFarthestShift;
  if (space == AddressSpace::kPointers && narrow != 0 && near)
    JudgeBases(unit, narrow);
  targets_.Learn(space, KeyOf(unit), narrow,
                 space != AddressSpace::kWords && near);
  last_shift_[static_cast<size_t>(unit.kind)] = narrow;
}

template <class Coder>
void MixModel<Coder>::CodeUnit(const Block& block, size_t at,
                               const Unit& unit) {
  const uint8_t* old = Old(at);
  uint8_t* fresh = block.fresh + at;
  uint32_t new_word = 0;
  if constexpr (!Coder::kDecodes)
    for (size_t i = 0; i < unit.size; ++i)
      new_word |= uint32_t{fresh[i]} << (8 * i);
  const Candidates candidates = Predict(unit, Candidates::kMost);
  const uint32_t opcode = OpcodeClass(content_, unit, old);
  const uint32_t before = Load32(old - 4), after = Load32(old + unit.size);
  const uint32_t run = static_cast<uint32_t>(std::bit_width(flag_run_));
  bool hit = false;
  size_t k = 0;
  for (; k < candidates.count && !hit; ++k) {
    const uint32_t h = flag_history_[kUnit];
    const uint64_t what = static_cast<uint64_t>(content_) |
                          static_cast<uint64_t>(unit.kind) << 2 |
                          uint64_t{unit.size} << 6 | k << 10 |
                          (candidates.words[k] == unit.word ? 1u : 0u) << 12 |
                          kUnit << 14;
    const uint64_t worth =
        candidates.sources[k] |
        (k + 1 < candidates.count ? candidates.sources[k + 1] + 1u : 0u) << 8;
    const FlagModel::Contexts contexts = {
        Hash(what, 11, worth, h & 3),
        Hash(what, 12, unit.word),
        Hash(what, 13, opcode, h & 15),
        Hash(what, 14, KeyOf(unit), previous_word_),
        Hash(what, 15, run, candidates.sources[k]),
        Hash(what, 16, h & 0xfff),
        Hash(what, 17, after, opcode),
        Hash(what, 18, before, opcode),
    };
    hit = flags_.Code(
        coder_, contexts, 16 + k * 16 + static_cast<size_t>(unit.kind),
        (k == 0 ? 0u : 32u) + std::min<size_t>(candidates.sources[k], 31),
        new_word == candidates.words[k]);
    flag_history_[kUnit] = h << 1 | (hit ? 1 : 0);
    if (hit) new_word = candidates.words[k];
  }
  if (hit) {
    for (size_t i = 0; i < unit.size; ++i) {
      const uint8_t byte = static_cast<uint8_t>(new_word >> (8 * i));
      if constexpr (Coder::kDecodes) fresh[i] = byte;
      PushByte(byte, old[i]);
    }
    if (k == 1) ++flag_run_;
  } else {
    CodeUnitBytes(unit, candidates, opcode, old, fresh);
    new_word = 0;
    for (size_t i = 0; i < unit.size; ++i)
      new_word |= uint32_t{fresh[i]} << (8 * i);
    deltas_[1] = deltas_[0];
    deltas_[0] = new_word - unit.word;
  }
  if (!(hit && k == 1)) flag_run_ = 0;
  Learn(unit, candidates, new_word);
  if (content_ == Content::kArm64 && unit.size == 4)
    NotePage(unit.word, new_word, unit.old_at, unit.new_at, pages_);
  previous_word_ = unit.word;
}

template <class Coder>
void MixModel<Coder>::CodeUnitBytes(const Unit& unit,
                                    const Candidates& candidates,
                                    uint32_t opcode, const uint8_t* old,
                                    uint8_t* fresh) {
  const uint32_t kind = static_cast<uint32_t>(unit.kind);
  const std::array<uint32_t, 3> guessed_words = {
      candidates.words[0], unit.word + deltas_[0], unit.word + deltas_[1]};
  uint32_t so_far = 0;  // bytes of the new word
  uint32_t agreeing = 7;
  for (size_t i = 0; i < unit.size; ++i) {
    const uint64_t place = i | uint64_t{unit.size} << 2 | uint64_t{kind} << 5 |
                           static_cast<uint64_t>(content_) << 9;
    const uint64_t h = history_;
    const uint64_t d = differences_;
    const uint32_t o = old[i], o1 = old[static_cast<ptrdiff_t>(i) - 1],
                   o2 = old[i + 1];
    ByteModel::Input in;
    in.contexts = {
        Hash(1, place, o),
        Hash(2, o, h & 0xff, o1),
        Hash(4, o | o1 << 8 | o2 << 16, d & 0xff),
        Hash(6, h & 0xffffffff),
        Hash(7, d & 0xffffffff, place),
        Hash(8, place, candidates.words[0] >> (8 * i) & 0xff, agreeing & 1),
        Hash(10, opcode, so_far, place),
        Hash(13, h & 0xffff, place),
    };
    for (size_t g = 0; g < 3; ++g) {
      auto& guess = in.guesses[g];
      guess.byte = static_cast<uint8_t>(guessed_words[g] >> (8 * i));
      guess.valid = true;
      guess.context = static_cast<uint32_t>(i) | (agreeing >> g & 1) << 2 |
                      (kind == 0 ? 0u : 1u) << 3 |
                      (missed_ >> (3 * g) & 7) << 4 |
                      (unit.size == 4 ? 1u : 0u) << 7;
    }
    auto& same = in.guesses[3];
    same.byte = static_cast<uint8_t>(o);
    same.valid = true;
    same.context = static_cast<uint32_t>(i) | static_cast<uint32_t>(unit.kind)
                                                  << 2;
    in.mix_set = i | (unit.kind == ReferenceKind::kNone ? 0u : 4u) |
                 static_cast<size_t>(content_) << 3;
    const uint8_t guess = in.guesses[0].byte;
    const uint64_t what = kUnitByte | uint64_t{guess} << 8 | place << 16;
    const FlagModel::Contexts contexts = {
        Hash(what, 1, o),
        Hash(what, 2, o | (h & 0xff) << 8 | o1 << 16),
        Hash(what, 3, o | o1 << 8 | o2 << 16, d & 0xff),
        Hash(what, 4, h & 0xffffffff),
        Hash(kUnitByte | place << 16, 5, d & 0xffffffff),
        Hash(kUnitByte | place << 16, 6, agreeing, missed_),
        Hash(what, 7, opcode, so_far),
        Hash(what, 8, h & 0xffff),
    };
    // One decision where the likeliest word is half right, and not eight.
    const bool hit = flags_.Code(
        coder_, contexts, 64 + (i | (kind == 0 ? 0u : 4u)),
        64 + (agreeing | (guess == o ? 8u : 0u)), fresh[i] == guess);
    const uint8_t byte = hit ? guess : bytes_.Code(coder_, in, fresh[i]);
    if constexpr (Coder::kDecodes) fresh[i] = byte;
    for (uint32_t g = 0; g < 3; ++g)
      if (static_cast<uint8_t>(guessed_words[g] >> (8 * i)) != byte)
        agreeing &= ~(1u << g);
    so_far |= uint32_t{byte} << (8 * i);
    PushByte(byte, static_cast<uint8_t>(o));
  }
  for (uint32_t g = 0; g < 3; ++g) NoteHit(missed_, g, agreeing >> g & 1);
}

// The rest of the class is in mix_model.cc.
#define SHOAL_INSTANTIATE(Coder)                                              \
  template void MixModel<Coder>::Candidates::Offer(uint32_t, size_t, size_t); \
  template MixModel<Coder>::Candidates MixModel<Coder>::Predict(const Unit&,  \
                                                                size_t);      \
  template void MixModel<Coder>::JudgeBases(const Unit&, int32_t);            \
  template void MixModel<Coder>::Learn(const Unit&, const Candidates&,        \
                                       uint32_t);                             \
  template void MixModel<Coder>::CodeUnit(const Block&, size_t, const Unit&); \
  template void MixModel<Coder>::CodeUnitBytes(                               \
      const Unit&, const Candidates&, uint32_t, const uint8_t*, uint8_t*)
SHOAL_INSTANTIATE(BinaryEncoder);
SHOAL_INSTANTIATE(BinaryDecoder);
#undef SHOAL_INSTANTIATE

}  // namespace shoal::delta::mix
