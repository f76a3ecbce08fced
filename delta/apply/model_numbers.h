// How a group's operations are written with the model's numbers; maker and
// applier share it.
#ifndef SHOAL_DELTA_APPLY_MODEL_NUMBERS_H_
#define SHOAL_DELTA_APPLY_MODEL_NUMBERS_H_

#include "delta/entropy/mix_coder.h"
#include "delta/format/format.h"

namespace shoal::delta {

constexpr NumberKind LengthKind(OperationKind kind) {
  switch (kind) {
    case OperationKind::kCopy:
      return NumberKind::kCopyLength;
    case OperationKind::kAdd:
      return NumberKind::kAddLength;
    case OperationKind::kInsert:
      break;
  }
  return NumberKind::kInsertLength;
}

// What one call of the model codes, at most; add and insert operations are cut
// at multiples of it from their beginning. A multiple of kMixBlock.
inline constexpr uint64_t kModelStep = 32 << 10;
static_assert(kModelStep % kMixBlock == 0);

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_APPLY_MODEL_NUMBERS_H_
