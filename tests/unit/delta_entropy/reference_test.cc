// Instructions: encodings checked against words from an assembler.
#include "delta/entropy/reference.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "tests/unit/delta_entropy/mix_test_support.h"

namespace shoal::delta::mix {
namespace {

// The unit at an address, whose bytes are these words.
Unit At(Content content, std::vector<uint32_t> words, uint64_t old_at,
        uint64_t new_at, const PageRegisters& pages = {}) {
  std::array<uint8_t, 128> bytes{};
  for (size_t i = 0; i < words.size(); ++i)
    for (size_t k = 0; k < 4; ++k)
      bytes[32 + 4 * i + k] = static_cast<uint8_t>(words[i] >> (8 * k));
  return UnitAt(content, bytes.data() + 32, 4 * words.size(), old_at, new_at,
                pages);
}

TEST(Reference, Arm64Branches) {
  // bl 0x1000 → 0x2000; moves by 8, its target by 0x40.
  const Unit bl = At(Content::kArm64, {0x94000400}, 0x1000, 0x1008);
  EXPECT_EQ(bl.kind, ReferenceKind::kArmBranch);
  EXPECT_EQ(bl.target, 0x2000u);
  EXPECT_EQ(Redirect(bl, 0x40), 0x9400040eu);
  EXPECT_EQ(ShiftOf(bl, 0x9400040e), 0x40u);
  EXPECT_EQ(Redirect(bl, 2), std::nullopt);
  EXPECT_EQ(ShiftOf(bl, 0x1400040e), std::nullopt);  // b, not bl
  // b.eq backwards by 16: 0x54ffff80
  const Unit beq = At(Content::kArm64, {0x54ffff80}, 0x1000, 0x1000);
  EXPECT_EQ(beq.target, 0xff0u);
  EXPECT_EQ(Redirect(beq, uint64_t{0} - 4), 0x54ffff60u);
  // tbz w0, #3, +8
  const Unit tbz = At(Content::kArm64, {0x36180040}, 0x1000, 0x1000);
  EXPECT_EQ(tbz.kind, ReferenceKind::kArmTest);
  EXPECT_EQ(tbz.target, 0x1008u);
  EXPECT_EQ(Redirect(tbz, 4), 0x36180060u);
}

TEST(Reference, Arm64AddressPairs) {
  // adrp x1, 0x13000 at 0x1010; add x1, x1, #0x123.
  const Unit adrp =
      At(Content::kArm64, {0xd0000081, 0x91048c21}, 0x1010, 0x2020);
  EXPECT_EQ(adrp.kind, ReferenceKind::kArmPage);
  EXPECT_EQ(adrp.target, 0x13123u);
  // The target moves to 0x14023: page 0x14, from page 2: 18.
  EXPECT_EQ(Redirect(adrp, 0xf00), 0xd0000081u);
  EXPECT_EQ(Redirect(adrp, 0x1f00), 0xf0000081u);
  PageRegisters pages{};
  NotePage(0xd0000081, 0xd0000081, 0x1010, 0x2020, pages);
  EXPECT_TRUE(pages[1].known);
  EXPECT_EQ(pages[1].old_page, 0x13000u);
  EXPECT_EQ(pages[1].new_page, 0x14000u);
  const Unit add = At(Content::kArm64, {0x91048c21}, 0x1014, 0x2024, pages);
  EXPECT_EQ(add.kind, ReferenceKind::kArmLow);
  EXPECT_EQ(add.target, 0x13123u);
  EXPECT_EQ(Redirect(add, 0xf00), 0x91008c21u);  // add x1, x1, #0x23
  EXPECT_EQ(ShiftOf(add, 0x91008c21), 0xf00u);
  // ldr x0, [x1, #8]: scaled by 8.
  const Unit ldr = At(Content::kArm64, {0xf9400420}, 0x1014, 0x2024, pages);
  EXPECT_EQ(ldr.target, 0x13008u);
  EXPECT_EQ(Redirect(ldr, 0x10), 0xf9400c20u);
  EXPECT_EQ(Redirect(ldr, 0x11), std::nullopt);
  // Without the page nothing is known.
  EXPECT_EQ(At(Content::kArm64, {0xf9400440}, 0x1014, 0x2024, pages).kind,
            ReferenceKind::kNone);
}

TEST(Reference, ThumbBranches) {
  // bl +0x1000 at 0x08000100: f001 f800 → target 0x08001104.
  const Unit bl = At(Content::kThumb, {0xf800f001}, 0x100, 0x100);
  EXPECT_EQ(bl.kind, ReferenceKind::kThumb);
  EXPECT_EQ(bl.target, 0x1104u);
  EXPECT_EQ(Redirect(bl, 2), 0xf801f001u);
  EXPECT_EQ(ShiftOf(bl, 0xf801f001), 2u);
  // bl -4 (to itself): f7ff fffe.
  const Unit back = At(Content::kThumb, {0xfffef7ff}, 0x100, 0x100);
  EXPECT_EQ(back.target, 0x100u);
}

TEST(Reference, X86Displacements) {
  std::array<uint8_t, 128> bytes{};
  uint8_t* p = bytes.data() + 40;
  p[-1] = 0xe8;  // call +0x10
  p[0] = 0x10;
  const Unit call = UnitAt(Content::kX86, p, 20, 0x1000, 0x1100, {});
  EXPECT_EQ(call.kind, ReferenceKind::kX86);
  EXPECT_EQ(call.target, 0x1014u);
  EXPECT_EQ(Redirect(call, 0x100), 0x10u);
  EXPECT_EQ(Redirect(call, 0), 0xffffff10u);
  EXPECT_EQ(ShiftOf(call, 0x20), 0x110u);
  // The bytes before it end where it begins.
  const Unit before = UnitAt(Content::kX86, p - 2, 20, 0xffe, 0xffe, {});
  EXPECT_EQ(before.kind, ReferenceKind::kNone);
  EXPECT_EQ(before.size, 2);
}

// Whatever the word: a word that Redirect gives means the shift it was given,
// as far as the field reaches, and no shift at a move of both gives the word.
TEST(Reference, RedirectAndShiftAreInverse) {
  delta::Numbers numbers(41);
  for (int i = 0; i < 200000; ++i) {
    const Content content = static_cast<Content>(numbers.Below(4));
    PageRegisters pages{};
    for (PageRegister& page : pages)
      page = {true, numbers.Below(1 << 20) << 12, numbers.Below(1 << 20) << 12};
    const uint64_t old_at = numbers.Below(1 << 26) * 4;
    const uint64_t new_at = old_at + numbers.Below(1 << 10) * 4;
    const Unit unit =
        At(content,
           {static_cast<uint32_t>(numbers.Next()),
            static_cast<uint32_t>(numbers.Next()), 0, 0, 0, 0, 0, 0, 0},
           old_at, new_at, pages);
    ASSERT_GE(unit.size, 1);
    if (unit.kind == ReferenceKind::kNone) continue;
    const uint64_t shift = numbers.Below(1 << 8) * 16;
    const auto word = Redirect(unit, shift);
    if (!word || unit.kind == ReferenceKind::kArmPage) continue;
    const auto back = ShiftOf(unit, *word);
    ASSERT_TRUE(back) << i;
    const auto again = Redirect(unit, *back);
    ASSERT_EQ(again, word) << i;
  }
}

TEST(Reference, ContentIsGuessed) {
  delta::Numbers numbers(43);
  const auto guess = [&](delta::Shape shape) {
    const std::string image = delta::MakeImage(numbers, shape, 4096);
    return GuessContent(reinterpret_cast<const uint8_t*>(image.data()),
                        image.size() - 32, 0);
  };
  EXPECT_EQ(guess(delta::Shape::kArm64), Content::kArm64);
  EXPECT_EQ(guess(delta::Shape::kX86), Content::kX86);
  EXPECT_EQ(guess(delta::Shape::kThumb), Content::kThumb);
  EXPECT_EQ(guess(delta::Shape::kText), Content::kData);
  EXPECT_EQ(guess(delta::Shape::kZeros), Content::kData);
}

}  // namespace
}  // namespace shoal::delta::mix
