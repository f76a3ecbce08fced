// The operations that make a stretch of the new image from the base: what the
// matching found, before it is coded. Contents are taken from the images when
// they are written.
#ifndef SHOAL_DELTA_MAKE_OPERATIONS_H_
#define SHOAL_DELTA_MAKE_OPERATIONS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "delta/format/format.h"

namespace shoal::delta {

// Collects operations in the order of the new image. Not thread-safe.
class OperationList {
 public:
  // The images must outlive it. `new_at`: where the first operation begins in
  // the new image. Runs of at least `copy_run` equal bytes within an alignment
  // become copies of their own.
  OperationList(std::string_view old_image, std::string_view new_image,
                uint64_t new_at, uint64_t copy_run);

  // Each continues at the place where the one before ended. Nothing is added
  // for a size of 0; what continues the last operation is joined with it.
  void AddCopy(uint64_t old_at, uint64_t size);
  void AddAligned(uint64_t old_at, uint64_t size);
  void AddNew(uint64_t size);

  const std::vector<Operation>& operations() const { return operations_; }
  uint64_t new_at() const { return new_at_; }  // where the next one begins

 private:
  void Append(OperationKind kind, uint64_t old_at, uint64_t size);

  std::string_view old_, new_;
  uint64_t new_at_;
  uint64_t copy_run_;
  std::vector<Operation> operations_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_OPERATIONS_H_
