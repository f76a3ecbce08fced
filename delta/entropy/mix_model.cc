#include "delta/entropy/mix_model.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace shoal::delta::mix {
namespace {

constexpr size_t kQuarterSize = 256;
constexpr size_t kLineSize = 32;
// Words differ by more than this only when they are no addresses.
constexpr int32_t kFarthestShift = 1 << 24;

uint32_t Load32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0] | p[1] << 8 | p[2] << 16) |
         static_cast<uint32_t>(p[3]) << 24;
}

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

const LevelSizes* SizesOf(int level) {
  static constexpr std::array<LevelSizes, kMaxMixLevel> kSizes = {{
      {7500, 16384, {8192, 4096, 8192, 2048, 512}},
      {20000, 32768, {32768, 8192, 16384, 4096, 1024}},
      {42000, 65536, {65536, 32768, 65536, 8192, 2048}},
      {110000, 131072, {131072, 32768, 65536, 8192, 2048}},
  }};
  if (level < kMinMixLevel || level > kMaxMixLevel) return nullptr;
  return &kSizes[static_cast<size_t>(level - 1)];
}

template <class Coder>
std::unique_ptr<MixModel<Coder>> MixModel<Coder>::Create(int level) {
  const LevelSizes* sizes = SizesOf(level);
  if (sizes == nullptr) return nullptr;
  std::unique_ptr<MixModel> model(new (std::nothrow) MixModel);
  if (model == nullptr || !model->bytes_.Allocate(sizes->lines) ||
      !model->flags_.Allocate(sizes->flags) ||
      !model->targets_.Allocate(sizes->targets))
    return nullptr;
  model->Reset();
  return model;
}

template <class Coder>
void MixModel<Coder>::Reset() {
  bytes_.Reset();
  flags_.Reset();
  numbers_.Reset();
  targets_.Reset();
  for (auto& row : contents_) row.fill(Adaptive());
  content_ = Content::kData;
  flag_history_.fill(0);
  flag_run_ = 0;
  history_ = differences_ = 0;
  deltas_.fill(0);
  previous_word_ = 0;
  missed_ = 0;
  last_shift_.fill(0);
  for (PageRegister& page : pages_) page = PageRegister();
}

template <class Coder>
void MixModel<Coder>::Moved(uint64_t old_at, uint64_t new_at, uint64_t size) {
  const int64_t shift = static_cast<int64_t>(new_at - old_at);
  if (shift != static_cast<int32_t>(shift)) return;
  targets_.Moved(old_at, size, static_cast<int32_t>(shift));
}

template <class Coder>
void MixModel<Coder>::LoadOld(const OldBytes& old, size_t offset, size_t size) {
  const size_t have = old.bytes.size();
  const size_t want = size + 2 * kMixMargin;
  // old_[i] is old.bytes[begin + offset - kMixMargin + i].
  if (old.begin > have || offset > have - old.begin + kMixMargin) {
    memset(old_.data(), 0, want);
    return;
  }
  const size_t begin = old.begin + offset;
  const size_t missing = begin < kMixMargin ? kMixMargin - begin : 0;
  const size_t from = begin + missing - kMixMargin;
  const size_t n = std::min(want - missing, have - from);
  memset(old_.data(), 0, missing);
  if (n > 0) memcpy(old_.data() + missing, old.bytes.data() + from, n);
  memset(old_.data() + missing + n, 0, want - missing - n);
}

template <class Coder>
void MixModel<Coder>::PushByte(uint8_t byte, uint8_t old) {
  history_ = history_ << 8 | byte;
  differences_ = differences_ << 8 | static_cast<uint8_t>(byte - old);
}

template <class Coder>
void MixModel<Coder>::CopyOld(const Block& block, size_t at, size_t end) {
  const uint8_t* old = Old(at);
  const size_t size = end - at;
  if constexpr (Coder::kDecodes) memcpy(block.fresh + at, old, size);
  for (size_t i = size < 8 ? 0 : size - 8; i < size; ++i)
    PushByte(old[i], old[i]);
  if (size >= 4) previous_word_ = Load32(old + size - 4);
  if (content_ != Content::kArm64) return;
  // Address pairs may go on behind the stretch.
  size_t i = size < kLineSize ? 0 : size - kLineSize;
  i += (4 - ((block.old_at + at + i) & 3)) & 3;
  for (; i + 4 <= size; i += 4)
    NotePage(Load32(old + i), Load32(old + i), block.old_at + at + i,
             block.new_at + at + i, pages_);
}

template <class Coder>
bool MixModel<Coder>::StretchFlag(FlagKind kind, const Block& block, size_t at,
                                  size_t end) {
  const uint8_t* old = Old(at);
  bool equal = false;
  if constexpr (!Coder::kDecodes)
    equal = memcmp(block.fresh + at, old, end - at) == 0;
  const uint32_t h = flag_history_[kind];
  const uint32_t above = kind == kBlock ? 0 : flag_history_[kind - 1];
  const uint64_t k = kind | static_cast<uint64_t>(content_) << 8;
  const uint32_t run = static_cast<uint32_t>(std::bit_width(flag_run_));
  const FlagModel::Contexts contexts = {
      Hash(k, 1, h & 0xff),
      Hash(k, 2, h & 7, above & 7),
      Hash(k, 3, run),
      Hash(k, 4, Load32(old), Load32(old + 4)),
      Hash(k, 5, at & (kMixBlock - 1), h & 3),
      Hash(k, 6, previous_word_),
      Hash(k, 7, h & 0xffff),
      Hash(k, 8, Load32(old + 4), h & 3),
  };
  equal =
      flags_.Code(coder_, contexts, kind * 4 + static_cast<size_t>(content_),
                  kind << 4 | (h & 15), equal);
  flag_history_[kind] = h << 1 | (equal ? 1 : 0);
  return equal;
}

template <class Coder>
void MixModel<Coder>::Add(const OldBytes& old, uint64_t new_at, uint8_t* fresh,
                          size_t size) {
  for (size_t at = 0; at < size; at += kMixBlock) {
    const Block block = {old.at + at, new_at + at, fresh + at,
                         std::min(kMixBlock, size - at)};
    LoadOld(old, at, block.size);
    Moved(block.old_at, block.new_at, block.size);
    AddBlock(block);
  }
}

template <class Coder>
void MixModel<Coder>::CodeContent(const Block& block) {
  size_t content = 0;
  if constexpr (!Coder::kDecodes)
    content =
        static_cast<size_t>(GuessContent(Old(0), block.size, block.old_at));
  auto& row = contents_[static_cast<size_t>(content_)];
  size_t node = 1;
  for (int i = 1; i >= 0; --i) {
    const bool bit = coder_.Code((content >> i & 1) != 0, row[node].CodingP());
    row[node].Update(bit, 60);
    node = node << 1 | (bit ? 1 : 0);
  }
  content_ = static_cast<Content>(node & 3);
}

template <class Coder>
void MixModel<Coder>::AddBlock(const Block& block) {
  if (StretchFlag(kBlock, block, 0, block.size)) {
    CopyOld(block, 0, block.size);
    return;
  }
  CodeContent(block);
  size_t quarter_end = 0;
  for (size_t at = 0; at < block.size;) {
    if (at >= quarter_end) {
      quarter_end =
          std::min((at / kQuarterSize + 1) * kQuarterSize, block.size);
      if (StretchFlag(kQuarter, block, at, quarter_end)) {
        CopyOld(block, at, quarter_end);
        at = quarter_end;
        continue;
      }
    }
    at = CodeLine(block, at,
                  std::min((at / kLineSize + 1) * kLineSize, quarter_end));
  }
}

// Codes units from `at` on up to the first that ends at or behind `end`.
template <class Coder>
size_t MixModel<Coder>::CodeLine(const Block& block, size_t at, size_t end) {
  // Where all is predicted to stay as it is, one flag may say that it does.
  const auto unit_at = [&](size_t i) {
    return UnitAt(content_, Old(i), block.size - i, block.old_at + i,
                  block.new_at + i, pages_);
  };
  bool stays = true;
  size_t stop = at;
  while (stop < end && stays) {
    const Unit unit = unit_at(stop);
    stays = Predict(unit).words[0] == unit.word;
    stop += unit.size;
  }
  if (stays && StretchFlag(kLine, block, at, stop)) {
    CopyOld(block, at, stop);
    return stop;
  }
  while (at < end) {
    const Unit unit = unit_at(at);
    CodeUnit(block, at, unit);
    at += unit.size;
  }
  return at;
}

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
typename MixModel<Coder>::Candidates MixModel<Coder>::Predict(
    const Unit& unit) {
  constexpr size_t kFromLast = TargetMap::kLevels, kFromOld = kFromLast + 1;
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
    // Pointers stay more often than they follow a far neighbour.
    if (level == 3 && space == AddressSpace::kPointers)
      result.Offer(unit.word, kFromOld, 0);
    const TargetMap::Entry* e = targets_.Find(level, space, key);
    if (e != nullptr) offer_shift(e->shift, level, e->hits);
  }
  if (space != AddressSpace::kWords)
    offer_shift(last_shift_[static_cast<size_t>(unit.kind)], kFromLast, 0);
  result.Offer(unit.word, kFromOld, 0);
  return result;
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
  const Candidates candidates = Predict(unit);
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
    const uint32_t difference = so_far - (unit.word & ((1u << (8 * i)) - 1));
    ByteModel::Input in;
    in.contexts = {
        Hash(1, place, o),
        Hash(2, o, h & 0xff, o1),
        Hash(3, place, unit.word, so_far),
        Hash(4, o | o1 << 8 | o2 << 16, d & 0xff),
        Hash(5, h & 0xffff, o),
        Hash(6, h & 0xffffffff),
        Hash(7, d & 0xffffffff, place),
        Hash(8, place, candidates.words[0] >> (8 * i) & 0xff, agreeing & 1),
        Hash(9, deltas_[0], difference, place),
        Hash(10, opcode, so_far, place),
        Hash(11, previous_word_, unit.word, so_far | place << 32),
        Hash(12, uint64_t{deltas_[0]} << 32 | deltas_[1], difference, i),
        Hash(13, h & 0xffff, place),
        Hash(14, h & 0xffffff, o),
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
    const uint8_t byte = bytes_.Code(coder_, in, fresh[i]);
    if constexpr (Coder::kDecodes) fresh[i] = byte;
    for (uint32_t g = 0; g < 3; ++g)
      if (static_cast<uint8_t>(guessed_words[g] >> (8 * i)) != byte)
        agreeing &= ~(1u << g);
    so_far |= uint32_t{byte} << (8 * i);
    PushByte(byte, static_cast<uint8_t>(o));
  }
  for (uint32_t g = 0; g < 3; ++g) {
    const uint32_t m = missed_ >> (3 * g) & 7;
    missed_ = (missed_ & ~(7u << (3 * g))) |
              ((m << 1 | (agreeing >> g & 1)) & 7) << (3 * g);
  }
}

template <class Coder>
void MixModel<Coder>::Insert(const OldBytes& old, uint64_t new_at,
                             uint8_t* fresh, size_t size) {
  for (size_t start = 0; start < size; start += kMixBlock) {
    const size_t n = std::min(kMixBlock, size - start);
    LoadOld(old, start, n);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t h = history_;
      const uint32_t o = *Old(i);
      const uint64_t place = (new_at + start + i) & 3;
      ByteModel::Input in;
      in.mode = 1;
      in.contexts = {
          Hash(21, h & 0xff),
          Hash(22, h & 0xffff),
          Hash(23, h & 0xffffff),
          Hash(24, h & 0xffffffff),
          Hash(25, h & 0xffffffffff),
          Hash(26, h & 0xffffffffffff),
          Hash(27, h & 0xffffffffffffff, place),
          Hash(28, place),
          Hash(29, h >> 24 & 0xff, h >> 56, place),
          Hash(30, h & 0xff00ff00, place),
          Hash(31, h & 0xffff00),
          Hash(32, h >> 24 & 0xffff, place),
          Hash(33, o, h & 0xff),
          Hash(34, h & 0xff, h >> 24 & 0xff, place),
      };
      auto& same = in.guesses[3];
      same.byte = static_cast<uint8_t>(o);
      same.valid = true;
      same.context =
          64 + std::min<uint32_t>(static_cast<uint32_t>(missed_ >> 16), 15);
      in.mix_set = 32 + place;
      const uint8_t byte = bytes_.Code(coder_, in, fresh[start + i]);
      if constexpr (Coder::kDecodes) fresh[start + i] = byte;
      history_ = history_ << 8 | byte;
      differences_ <<= 8;
    }
  }
}

template class MixModel<BinaryEncoder>;
template class MixModel<BinaryDecoder>;

}  // namespace shoal::delta::mix
