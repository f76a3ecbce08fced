// Two builds of one program: a function grew, so that what lies behind it moved
// and every reference to it changed.
#ifndef SHOAL_TESTS_UNIT_DELTA_MOVING_PROGRAM_H_
#define SHOAL_TESTS_UNIT_DELTA_MOVING_PROGRAM_H_

#include <cstddef>
#include <string>
#include <utility>

namespace shoal::delta {

enum class Machine {
  kArm64,     // B, BL, B.cond, TBZ, ADRP with ADD or LDR
  kX86,       // CALL, Jcc, LEA [rip + …]
  kThumb,     // BL, addresses in literal pools
  kPointers,  // tables of absolute addresses
  kOffsets,   // tables of distances
};

// About `size` bytes each.
std::pair<std::string, std::string> MovingProgram(Machine machine, size_t size);

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_UNIT_DELTA_MOVING_PROGRAM_H_
