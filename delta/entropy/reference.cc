#include "delta/entropy/reference.h"

#include <algorithm>

namespace shoal::delta::mix {
namespace {

uint32_t Load16(const uint8_t* p) {
  return static_cast<uint32_t>(p[0] | p[1] << 8);
}
uint32_t Load32(const uint8_t* p) { return Load16(p) | Load16(p + 2) << 16; }

// Two's complement of `bits` bits, as a 64-bit addend.
uint64_t SignExtend(uint64_t value, int bits) {
  const uint64_t sign = uint64_t{1} << (bits - 1);
  return ((value & (2 * sign - 1)) ^ sign) - sign;
}

// --- A64

bool IsAdrp(uint32_t w) { return (w & 0x9f000000) == 0x90000000; }

uint64_t AdrpPages(uint32_t w) {
  return SignExtend((w >> 5 & 0x7ffff) << 2 | (w >> 29 & 3), 21) << 12;
}

// The shift of the 12-bit immediate of ADD (64 bits) or of a load or store
// with an unsigned offset; -1 for others.
int LowScale(uint32_t w) {
  if ((w & 0xffc00000) == 0x91000000) return 0;
  if ((w & 0x3b000000) != 0x39000000) return -1;
  const int size = static_cast<int>(w >> 30);
  const bool vector128 = (w & 0x04800000) == 0x04800000 && size == 0;
  return vector128 ? 4 : size;
}

struct Immediate {
  int at, bits;
};
Immediate BranchField(ReferenceKind kind) {
  switch (kind) {
    case ReferenceKind::kArmBranch:
      return {0, 26};
    case ReferenceKind::kArmNear:
      return {5, 19};
    default:
      return {5, 14};
  }
}
uint32_t Mask(const Immediate& f) { return ((1u << f.bits) - 1) << f.at; }

ReferenceKind ArmKind(uint32_t w) {
  if ((w & 0x7c000000) == 0x14000000) return ReferenceKind::kArmBranch;
  if ((w & 0xff000010) == 0x54000000 || (w & 0x7e000000) == 0x34000000 ||
      (w & 0x3b000000) == 0x18000000)
    return ReferenceKind::kArmNear;
  if ((w & 0x7e000000) == 0x36000000) return ReferenceKind::kArmTest;
  if (IsAdrp(w)) return ReferenceKind::kArmPage;
  if (LowScale(w) >= 0) return ReferenceKind::kArmLow;
  return ReferenceKind::kNone;
}

constexpr uint32_t kLowMask = 0xfffu << 10;

void ArmUnit(const uint8_t* p, const PageRegisters& pages, Unit& unit) {
  const uint32_t w = unit.word;
  unit.kind = ArmKind(w);
  switch (unit.kind) {
    case ReferenceKind::kArmBranch:
    case ReferenceKind::kArmNear:
    case ReferenceKind::kArmTest: {
      const Immediate f = BranchField(unit.kind);
      unit.target = unit.old_at + (SignExtend(w >> f.at, f.bits) << 2);
      break;
    }
    case ReferenceKind::kArmPage: {
      unit.target = (unit.old_at & ~uint64_t{4095}) + AdrpPages(w);
      // The low bits come with an instruction soon after.
      for (int i = 1; i <= 8; ++i) {
        const uint32_t next = Load32(p + 4 * i);
        if (IsAdrp(next) && (next & 31) == (w & 31)) break;
        const int scale = LowScale(next);
        if (scale < 0 || (next >> 5 & 31) != (w & 31)) continue;
        unit.target += uint64_t{next >> 10 & 0xfff} << scale;
        break;
      }
      break;
    }
    case ReferenceKind::kArmLow: {
      const PageRegister& page = pages[w >> 5 & 31];
      if (!page.known) {
        unit.kind = ReferenceKind::kNone;
        break;
      }
      unit.target = page.old_page + (uint64_t{w >> 10 & 0xfff} << LowScale(w));
      unit.new_page = page.new_page;
      break;
    }
    default:
      break;
  }
}

// --- x86-64

// True when p[0] … p[3] are a displacement, told from the bytes before.
bool IsX86Field(const uint8_t* p) {
  if (p[3] != 0 && p[3] != 0xff) {
    // Larger images have a few more bits.
    if (p[3] > 3 && p[3] < 0xfc) return false;
  }
  if ((p[-1] & 0xfe) == 0xe8) return true;                   // CALL, JMP
  if (p[-2] == 0x0f && (p[-1] & 0xf0) == 0x80) return true;  // Jcc
  if ((p[-1] & 0xc7) != 0x05) return false;                  // [rip + …]
  switch (p[-2]) {
    case 0x01:
    case 0x03:
    case 0x23:
    case 0x29:
    case 0x2b:
    case 0x33:
    case 0x39:
    case 0x3b:
    case 0x63:
    case 0x80:
    case 0x81:
    case 0x83:
    case 0x85:
    case 0x84:
    case 0x87:
    case 0x88:
    case 0x89:
    case 0x8a:
    case 0x8b:
    case 0x8d:
    case 0xc6:
    case 0xc7:
    case 0xff:
    case 0x38:
    case 0x3a:
    case 0xf6:
    case 0xf7:
      return true;
    default:
      return p[-3] == 0x0f;
  }
}

// --- Thumb-2

bool IsThumbBranch(uint32_t w) {
  return (w & 0xf800) == 0xf000 && (w & 0x90000000) == 0x90000000;
}
uint64_t ThumbOffset(uint32_t w) {
  const uint32_t s = w >> 10 & 1;
  const uint32_t i1 = ((w >> 29 & 1) ^ s) ^ 1;
  const uint32_t i2 = ((w >> 27 & 1) ^ s) ^ 1;
  return SignExtend(uint64_t{s} << 24 | i1 << 23 | i2 << 22 |
                        (w & 0x3ff) << 12 | (w >> 16 & 0x7ff) << 1,
                    25);
}
constexpr uint32_t kThumbMask = 0x2fff07ff;  // S, imm10, J1, J2, imm11

uint32_t ThumbWord(uint32_t w, uint64_t offset) {
  const uint32_t o = static_cast<uint32_t>(offset);
  const uint32_t s = o >> 24 & 1;
  const uint32_t j1 = (o >> 23 & 1) ^ 1 ^ s;
  const uint32_t j2 = (o >> 22 & 1) ^ 1 ^ s;
  return (w & ~kThumbMask) | s << 10 | (o >> 12 & 0x3ff) | j1 << 29 | j2 << 27 |
         (o >> 1 & 0x7ff) << 16;
}

// Flash, RAM and the like of microcontrollers.
bool IsMcuAddress(uint32_t v) {
  const uint32_t top = v >> 24;
  return (top == 0x08 || top == 0x20 || top == 0x10 || top == 0x00) &&
         (v & 0xffffff) >= 0x100;
}

// Neither a flag or count nor farther than an image is large.
bool IsOffset(uint32_t v) {
  const uint32_t top = v >> 24;
  return (top <= 3 || top >= 0xfc) && v >= 64;
}

}  // namespace

Unit UnitAt(Content content, const uint8_t* p, size_t room, uint64_t old_at,
            uint64_t new_at, const PageRegisters& pages) {
  Unit unit;
  unit.old_at = old_at;
  unit.new_at = new_at;
  size_t size = 4;
  const size_t odd = old_at & 3;
  switch (content) {
    case Content::kData:
    case Content::kArm64:
    case Content::kOffsets:
      size = 4 - odd;
      break;
    case Content::kX86:
      if (IsX86Field(p) && room >= 4) {
        unit.kind = ReferenceKind::kX86;
        break;
      }
      size = 1;
      while (size < 4 && !IsX86Field(p + size)) ++size;
      break;
    case Content::kThumb:
      if (odd & 1) {
        size = 1;
      } else if (IsThumbBranch(Load32(p)) && room >= 4) {
        unit.kind = ReferenceKind::kThumb;
      } else if (odd == 0 && IsMcuAddress(Load32(p)) && room >= 4) {
        unit.kind = ReferenceKind::kPointer;
      } else {
        size = 2;
      }
      break;
  }
  size = std::min(size, room);
  unit.size = static_cast<uint8_t>(size);
  for (size_t i = 0; i < size; ++i) unit.word |= uint32_t{p[i]} << (8 * i);
  if (content == Content::kArm64 && size == 4)
    ArmUnit(p, pages, unit);
  else if (content == Content::kData && size == 4 && unit.word >= 4096)
    unit.kind = ReferenceKind::kPointer;
  else if (content == Content::kOffsets && size == 4 && IsOffset(unit.word))
    unit.kind = ReferenceKind::kOffset;
  if (unit.kind == ReferenceKind::kPointer)
    unit.target = unit.word;
  else if (unit.kind == ReferenceKind::kOffset)
    unit.target = old_at + SignExtend(unit.word, 32);
  else if (unit.kind == ReferenceKind::kX86)
    unit.target = old_at + 4 + SignExtend(unit.word, 32);
  else if (unit.kind == ReferenceKind::kThumb)
    unit.target = old_at + 4 + ThumbOffset(unit.word);
  return unit;
}

void NotePage(uint32_t old_word, uint32_t new_word, uint64_t old_at,
              uint64_t new_at, PageRegisters& pages) {
  if (!IsAdrp(old_word)) return;
  PageRegister& page = pages[old_word & 31];
  page.known = IsAdrp(new_word) && (new_word & 31) == (old_word & 31);
  page.old_page = (old_at & ~uint64_t{4095}) + AdrpPages(old_word);
  page.new_page = (new_at & ~uint64_t{4095}) + AdrpPages(new_word);
}

std::optional<uint32_t> Redirect(const Unit& unit, uint64_t shift) {
  const uint64_t target = unit.target + shift;
  const uint32_t w = unit.word;
  switch (unit.kind) {
    case ReferenceKind::kNone:
      return w + static_cast<uint32_t>(shift);
    case ReferenceKind::kPointer:
      return static_cast<uint32_t>(target);
    case ReferenceKind::kArmBranch:
    case ReferenceKind::kArmNear:
    case ReferenceKind::kArmTest: {
      const uint64_t distance = target - unit.new_at;
      if (distance & 3) return std::nullopt;
      const Immediate f = BranchField(unit.kind);
      return (w & ~Mask(f)) |
             (static_cast<uint32_t>(distance >> 2) << f.at & Mask(f));
    }
    case ReferenceKind::kArmPage: {
      const uint32_t pages =
          static_cast<uint32_t>((target >> 12) - (unit.new_at >> 12));
      return (w & 0x9f00001f) | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5;
    }
    case ReferenceKind::kArmLow: {
      const int scale = LowScale(w);
      const uint32_t low = static_cast<uint32_t>(target & 4095);
      if (low & ((1u << scale) - 1)) return std::nullopt;
      return (w & ~kLowMask) | (low >> scale) << 10;
    }
    case ReferenceKind::kX86:
      return static_cast<uint32_t>(target - unit.new_at - 4);
    case ReferenceKind::kOffset:
      return static_cast<uint32_t>(target - unit.new_at);
    case ReferenceKind::kThumb: {
      const uint64_t distance = target - unit.new_at - 4;
      if (distance & 1) return std::nullopt;
      return ThumbWord(w, distance);
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> ShiftOf(const Unit& unit, uint32_t new_word) {
  const uint32_t changed = unit.word ^ new_word;
  switch (unit.kind) {
    case ReferenceKind::kNone:
    case ReferenceKind::kPointer:
      return SignExtend(new_word - unit.word, 32);
    case ReferenceKind::kArmBranch:
    case ReferenceKind::kArmNear:
    case ReferenceKind::kArmTest: {
      const Immediate f = BranchField(unit.kind);
      if (changed & ~Mask(f)) return std::nullopt;
      return unit.new_at + (SignExtend(new_word >> f.at, f.bits) << 2) -
             unit.target;
    }
    case ReferenceKind::kArmPage:
      return std::nullopt;  // only with the low bits, which come later
    case ReferenceKind::kArmLow:
      if (changed & ~kLowMask) return std::nullopt;
      return unit.new_page +
             (uint64_t{new_word >> 10 & 0xfff} << LowScale(new_word)) -
             unit.target;
    case ReferenceKind::kX86:
      return unit.new_at + 4 + SignExtend(new_word, 32) - unit.target;
    case ReferenceKind::kOffset:
      return unit.new_at + SignExtend(new_word, 32) - unit.target;
    case ReferenceKind::kThumb:
      if (changed & ~kThumbMask) return std::nullopt;
      return unit.new_at + 4 + ThumbOffset(new_word) - unit.target;
  }
  return std::nullopt;
}

uint32_t OpcodeClass(Content content, const Unit& unit, const uint8_t* p) {
  switch (content) {
    case Content::kData:
    case Content::kOffsets:
      return static_cast<uint32_t>(unit.old_at & 7) << 8 | p[3];
    case Content::kArm64:
      return unit.kind == ReferenceKind::kArmBranch ? unit.word >> 26
                                                    : unit.word >> 21;
    case Content::kX86:
      return static_cast<uint32_t>(p[-1] | p[-2] << 8 | p[0] << 16);
    case Content::kThumb:
      return p[1];
  }
  return 0;
}

Content GuessContent(const uint8_t* p, size_t size, uint64_t old_at) {
  size_t arm = 0, thumb = 0, x86 = 0, words = 0, printable = 0;
  for (size_t i = (4 - (old_at & 3)) & 3; i + 4 <= size; i += 4) {
    const uint32_t w = Load32(p + i);
    ++words;
    const uint32_t top = w >> 24;
    // Loads and stores of 64 bits, moves, adds, calls, compares, returns.
    if (top == 0xf9 || top == 0xaa || top == 0x91 || top == 0x94 ||
        top == 0x97 || top == 0xa9 || top == 0xb9 || top == 0x52 ||
        top == 0xd5 || top == 0x54 || top == 0xeb || top == 0xd1 ||
        top == 0x71 || top == 0xf0 || top == 0xd0 || top == 0xb0 ||
        top == 0x90 || top == 0xb4 || top == 0x34 || top == 0x35 ||
        top == 0x2a || top == 0x14 || top == 0x17)
      ++arm;
  }
  for (size_t i = 0; i + 4 <= size; ++i) {
    if (p[i] >= 0x20 && p[i] < 0x7f) ++printable;
    if (i >= 2 && IsX86Field(p + i)) ++x86;
    if (((old_at + i) & 1) == 0) {
      const uint32_t h = Load16(p + i);
      // PUSH, POP, BX LR, BL's halves, LDR/STR with offset, MOV, CMP.
      if ((h & 0xfe00) == 0xb400 || (h & 0xfe00) == 0xbc00 || h == 0x4770 ||
          (h & 0xf800) == 0xf000 || (h & 0xf000) == 0x6000 ||
          (h & 0xff00) == 0x4600 || (h & 0xf000) == 0x2000)
        ++thumb;
    }
  }
  if (words == 0 || printable * 5 > size * 4) return Content::kData;
  if (arm * 2 > words) return Content::kArm64;
  if (thumb * 4 > words * 2) return Content::kThumb;
  if (x86 * 24 > words) return Content::kX86;
  return Content::kData;
}

}  // namespace shoal::delta::mix
