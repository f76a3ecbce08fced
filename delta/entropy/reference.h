// References to other places in an image: branches, address pairs and pointers
// in machine code and data. A reference in the base has a target; when it is
// known by how much the target moved, the word in the result follows.
// Encodings: Arm ARM DDI 0487 (A64) and DDI 0403 (Thumb-2), Intel SDM vol. 2.
#ifndef SHOAL_DELTA_ENTROPY_REFERENCE_H_
#define SHOAL_DELTA_ENTROPY_REFERENCE_H_

#include <cstddef>
#include <cstdint>
#include <optional>

namespace shoal::delta::mix {

// What a block of the base holds; decides how it is cut into units.
enum class Content : uint8_t {
  kData = 0,  // words that may be pointers
  kArm64 = 1,
  kX86 = 2,
  kThumb = 3,
  kOffsets = 4,  // words that may be distances to what they point to
};
inline constexpr size_t kContents = 5;

enum class ReferenceKind : uint8_t {
  kNone = 0,       // any bytes
  kPointer = 1,    // 32 bits of an absolute address
  kArmBranch = 2,  // B, BL: 26 bits
  kArmNear = 3,    // B.cond, CBZ, LDR (literal): 19 bits
  kArmTest = 4,    // TBZ, TBNZ: 14 bits
  kArmPage = 5,    // ADRP
  kArmLow = 6,     // ADD, LDR, STR with the low 12 bits of an address
  kX86 = 7,        // 32 bits relative to their end
  kThumb = 8,      // BL, B.W
  kOffset = 9,     // 32 bits relative to their beginning
};
inline constexpr size_t kReferenceKinds = 10;

// A piece of the base of 1 to 4 bytes that is coded as one.
struct Unit {
  uint8_t size = 0;
  ReferenceKind kind = ReferenceKind::kNone;
  uint32_t word = 0;    // its bytes, least significant first
  uint64_t old_at = 0;  // in the base
  uint64_t new_at = 0;  // in the result
  uint64_t target = 0;  // in the base, for all kinds that have one
  // kArmLow: the address of the page in the result that the ADRP named.
  uint64_t new_page = 0;
};

// What an ADRP left in each register.
struct PageRegister {
  bool known = false;
  uint64_t old_page = 0, new_page = 0;  // addresses, multiples of 4096
};
using PageRegisters = PageRegister[32];

// The unit that begins at p[0]. p[-8] up to p[35] must be readable; `room` ≥ 1
// bytes may belong to the unit.
Unit UnitAt(Content content, const uint8_t* p, size_t room, uint64_t old_at,
            uint64_t new_at, const PageRegisters& pages);

// Notes what an A64 instruction means for the page registers.
void NotePage(uint32_t old_word, uint32_t new_word, uint64_t old_at,
              uint64_t new_at, PageRegisters& pages);

// The word in the result when the target moved by `shift`; nullopt when the
// encoding cannot say so. For kinds with a target.
std::optional<uint32_t> Redirect(const Unit& unit, uint64_t shift);

// By how much the target moved, told from the word in the result; nullopt when
// that is another kind of instruction.
std::optional<uint64_t> ShiftOf(const Unit& unit, uint32_t new_word);

// What kind of instruction a word is, for statistics: A64 the opcode's bits,
// others their bytes.
uint32_t OpcodeClass(Content content, const Unit& unit, const uint8_t* p);

// A guess by what is common in code; never kOffsets. Only encoders call it:
// the answer is coded.
Content GuessContent(const uint8_t* p, size_t size, uint64_t old_at);

}  // namespace shoal::delta::mix

#endif  // SHOAL_DELTA_ENTROPY_REFERENCE_H_
