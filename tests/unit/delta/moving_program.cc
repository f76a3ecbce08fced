#include "tests/unit/delta/moving_program.h"

#include <array>
#include <cstdint>
#include <random>
#include <vector>

namespace shoal::delta {
namespace {

// One piece of a program: bytes that stay, or a reference to a function.
struct Piece {
  std::string bytes;     // of a reference: what stands before it
  int target = -1;       // number of a function; -1: no reference
  uint32_t variant = 0;  // which instruction
};
using Function = std::vector<Piece>;

std::string Word(uint64_t value, size_t size = 4) {
  std::string out;
  for (size_t i = 0; i < size; ++i)
    out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

std::string Filler(Machine machine, std::mt19937& random) {
  static constexpr std::array<uint32_t, 6> kArm = {
      0xf9400000, 0xaa0003e0, 0x91000400, 0xa9be7bfd, 0x52800000, 0xd65f03c0};
  static constexpr std::array<uint32_t, 6> kThumb = {0xb5f0, 0x4770, 0x6801,
                                                     0x4618, 0x2000, 0xbdf0};
  switch (machine) {
    case Machine::kArm64:
      return Word(kArm[random() % kArm.size()] | (random() % 4 << 5));
    case Machine::kThumb:
      return Word(kThumb[random() % kThumb.size()] | (random() % 8), 2) +
             Word(kThumb[random() % kThumb.size()] | (random() % 8), 2);
    case Machine::kX86:
      return std::string("\x48\x89", 2) + Word(0xc0 + random() % 32, 1) +
             Word(0x90, 1);
    default:
      return Word(random() % 64);
  }
}

std::string Arm64(uint32_t variant, uint64_t place, uint64_t target) {
  const uint64_t words = (target - place) / 4;
  const uint32_t pages = static_cast<uint32_t>((target >> 12) - (place >> 12));
  const std::string adrp =
      Word(0x90000001u | (pages & 3) << 29 | (pages >> 2 & 0x7ffff) << 5);
  const uint32_t low = target & 4095;
  switch (variant % 6) {
    case 0:
      return Word(0x14000000u | (words & 0x3ffffff));
    case 1:
      return Word(0x54000000u | (words & 0x7ffff) << 5);
    case 2:
      return Word(0x36000000u | (words & 0x3fff) << 5);
    case 3:
      return adrp + Word(0x91000021u | low << 10);
    case 4:
      return adrp + Word(0xb9400022u | (low >> 2) << 10);
    default:
      return Word(0x94000000u | (words & 0x3ffffff));
  }
}

std::string Thumb(uint64_t place, uint64_t target) {
  const uint32_t o = static_cast<uint32_t>(target - place - 4);
  const uint32_t s = o >> 24 & 1;
  const uint32_t j1 = (o >> 23 & 1) ^ 1 ^ s, j2 = (o >> 22 & 1) ^ 1 ^ s;
  return Word(0xf000u | s << 10 | (o >> 12 & 0x3ff), 2) +
         Word(0xd000u | j1 << 13 | j2 << 11 | (o >> 1 & 0x7ff), 2);
}

std::string Reference(Machine machine, uint32_t variant, uint64_t place,
                      uint64_t target) {
  const auto x86 = [&](const std::string& opcode) {
    return opcode + Word(target - place - opcode.size() - 4);
  };
  switch (machine) {
    case Machine::kArm64:
      return Arm64(variant, place, target);
    case Machine::kX86:
      return variant % 3 == 0   ? x86("\xe8")
             : variant % 3 == 1 ? x86("\x0f\x84")
                                : x86("\x48\x8d\x05");
    case Machine::kThumb:
      return variant % 4 == 0 ? Word(0x08000000 + target)
                              : Thumb(place, target);
    case Machine::kPointers:
      return Word(0x00400000 + target);
    case Machine::kOffsets:
      return Word(target - place);
  }
  return {};
}

size_t ReferenceSize(Machine machine, const Piece& piece) {
  return Reference(machine, piece.variant, 0, 0).size();
}

std::string Link(Machine machine, const std::vector<Function>& program) {
  std::vector<uint64_t> starts;
  uint64_t at = 0;
  for (const Function& function : program) {
    starts.push_back(at);
    for (const Piece& piece : function)
      at += piece.bytes.size() +
            (piece.target < 0 ? 0 : ReferenceSize(machine, piece));
    at = (at + 15) / 16 * 16;
  }
  std::string image;
  for (size_t i = 0; i < program.size(); ++i) {
    image.resize(starts[i]);
    for (const Piece& piece : program[i]) {
      image += piece.bytes;
      if (piece.target < 0) continue;
      image += Reference(machine, piece.variant, image.size(),
                         starts[static_cast<size_t>(piece.target)]);
    }
  }
  return image;
}

}  // namespace

std::pair<std::string, std::string> MovingProgram(Machine machine,
                                                  size_t size) {
  std::mt19937 random(static_cast<uint32_t>(machine) + 1);
  std::vector<Function> program(size / 160);
  for (Function& function : program) {
    for (int i = 0; i < 24; ++i) {
      Piece piece{Filler(machine, random)};
      if (i % 3 == 0) {
        piece.target = static_cast<int>(random() % program.size());
        piece.variant = random();
      }
      function.push_back(piece);
    }
  }
  std::string old_image = Link(machine, program);
  for (const size_t grown : {program.size() / 5, program.size() / 2})
    for (int i = 0; i < 12; ++i)
      program[grown].insert(program[grown].begin() + 3,
                            {Filler(machine, random)});
  return {std::move(old_image), Link(machine, program)};
}

}  // namespace shoal::delta
