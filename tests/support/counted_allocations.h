// Every allocation of the program is counted: for tests that hold memory
// against what was stated. Link counted_allocations.cc into a program of its
// own. A sanitizer has an allocator of its own: nothing is counted there.
#ifndef SHOAL_TESTS_SUPPORT_COUNTED_ALLOCATIONS_H_
#define SHOAL_TESTS_SUPPORT_COUNTED_ALLOCATIONS_H_

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHOAL_COUNTED false
#else
#define SHOAL_COUNTED true
#endif

namespace shoal::testing {

size_t AllocatedBytes();   // now
size_t AllocationCalls();  // so far

// The most bytes that were allocated at a time since construction, beyond those
// at construction. One at a time.
class AllocationPeak {
 public:
  AllocationPeak();
  size_t bytes() const;

 private:
  const size_t before_;
};

// The n-th call of operator new from now on finds no memory, once; 0: none.
void FailAllocation(size_t n);

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_COUNTED_ALLOCATIONS_H_
