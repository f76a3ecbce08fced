#include "delta/entropy/mix_model.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace shoal::delta::mix {
namespace {

constexpr size_t kQuarterSize = 256;
constexpr size_t kLineSize = 32;

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
  older_ = 0;
  base_scores_.fill(0);
  base_ = 0;
  above_ = 0;
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
  older_ = older_ << 8 | history_ >> 56;
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
  equal = flags_.Code(coder_, contexts,
                      kind * kContents + static_cast<size_t>(content_),
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

// Encoding: where words are data, what they are is tried out.
template <class Coder>
Content MixModel<Coder>::ChooseContent(const Block& block) {
  const Content guess = GuessContent(Old(0), block.size, block.old_at);
  if (guess != Content::kData) return guess;
  int offsets = 0;  // words that these explain, less those that pointers do
  for (size_t i = (4 - (block.old_at & 3)) & 3; i + 4 <= block.size; i += 4) {
    if (memcmp(block.fresh + i, Old(i), 4) == 0) continue;
    const uint32_t fresh = Load32(block.fresh + i);
    const auto explains = [&](Content content) {
      const Unit unit = UnitAt(content, Old(i), 4, block.old_at + i,
                               block.new_at + i, pages_);
      return Predict(unit, 1).words[0] == fresh ? 1 : 0;
    };
    offsets += explains(Content::kOffsets) - explains(Content::kData);
  }
  return offsets > 0 ? Content::kOffsets : Content::kData;
}

template <class Coder>
void MixModel<Coder>::CodeContent(const Block& block) {
  size_t content = 0;
  if constexpr (!Coder::kDecodes)
    content = static_cast<size_t>(ChooseContent(block));
  auto& row = contents_[static_cast<size_t>(content_)];
  size_t node = 1;
  for (int i = 2; i >= 0; --i) {
    const bool bit = coder_.Code((content >> i & 1) != 0, row[node].CodingP());
    row[node].Update(bit, 60);
    node = node << 1 | (bit ? 1 : 0);
  }
  // Damaged input may say what does not exist.
  content_ = static_cast<Content>(std::min<size_t>(node & 7, kContents - 1));
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
    stays = Predict(unit, 1).words[0] == unit.word;
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
bool MixModel<Coder>::InsertedAsGuessed(uint8_t byte, uint8_t guess,
                                        size_t best, uint64_t place) {
  const uint64_t h = history_;
  const uint32_t lately = above_ >> (3 * best) & 7;
  const uint64_t what = kInsertedByte | uint64_t{guess} << 8;
  const FlagModel::Contexts contexts = {
      Hash(kInsertedByte | best << 4, 1, above_),
      Hash(what, 2, h & 0xff),
      Hash(what, 3, h & 0xffff),
      Hash(what, 4, h & 0xffffff),
      Hash(what, 5, h & 0xffffffff),
      Hash(what, 6, place, Back(12) | Back(16) << 8),
      Hash(what, 7, place, lately),
      Hash(what, 8, h & 0xff00ff00, place),
  };
  return flags_.Code(coder_, contexts, 80 + best * 4 + place, 80 + lately,
                     byte == guess);
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
          Hash(26, h & 0xffffffffffff),
          Hash(28, place, Back(12), Back(16)),
          Hash(30, h & 0xff00ff00, place),
          Hash(31, Back(12), h & 0xff, place),
      };
      // Records repeat at 4, 8 and 12 bytes.
      const std::array<uint8_t, 4> guesses = {Back(12), Back(8), Back(4),
                                              static_cast<uint8_t>(o)};
      for (size_t g = 0; g < guesses.size(); ++g)
        in.guesses[g] = {
            guesses[g], true,
            static_cast<uint32_t>(place) | (above_ >> (3 * g) & 7) << 2 | 128};
      in.mix_set = 40 + place;
      size_t best = 0;
      for (size_t g = 1; g < guesses.size(); ++g)
        if (std::popcount(above_ >> (3 * g) & 7) >
            std::popcount(above_ >> (3 * best) & 7))
          best = g;
      const uint8_t byte =
          InsertedAsGuessed(fresh[start + i], guesses[best], best, place)
              ? guesses[best]
              : bytes_.Code(coder_, in, fresh[start + i]);
      if constexpr (Coder::kDecodes) fresh[start + i] = byte;
      for (size_t g = 0; g < guesses.size(); ++g)
        NoteHit(above_, g, guesses[g] == byte);
      PushByte(byte, byte);
    }
  }
}

template class MixModel<BinaryEncoder>;
template class MixModel<BinaryDecoder>;

}  // namespace shoal::delta::mix
