#include "tests/support/counted_allocations.h"

#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> allocated = 0, peak = 0, calls = 0, to_fail = 0;

}  // namespace

#if SHOAL_COUNTED
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* block);

static void* Count(void* block) {
  if (block == nullptr) return nullptr;
  ++calls;
  const size_t now = allocated += malloc_usable_size(block);
  size_t most = peak;
  while (now > most && !peak.compare_exchange_weak(most, now)) {
  }
  return block;
}
static void Uncount(void* block) {
  if (block != nullptr) allocated -= malloc_usable_size(block);
}

void* malloc(size_t size) { return Count(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) {
  return Count(__libc_calloc(count, size));
}
void* realloc(void* block, size_t size) {
  Uncount(block);
  void* const moved = __libc_realloc(block, size);
  if (moved == nullptr && size != 0) return Count(block), nullptr;
  return Count(moved);
}
void* memalign(size_t alignment, size_t size) {
  return Count(__libc_memalign(alignment, size));
}
void* aligned_alloc(size_t alignment, size_t size) {
  return Count(__libc_memalign(alignment, size));
}
int posix_memalign(void** block, size_t alignment, size_t size) {
  *block = Count(__libc_memalign(alignment, size));
  return *block == nullptr ? ENOMEM : 0;
}
void free(void* block) {
  Uncount(block);
  __libc_free(block);
}
}

static void* New(size_t alignment, size_t size) {
  if (to_fail != 0 && --to_fail == 0) return nullptr;
  return alignment == 0 ? malloc(size) : memalign(alignment, size);
}
static void* NewOrThrow(size_t alignment, size_t size) {
  void* const block = New(alignment, size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void* operator new(size_t size) { return NewOrThrow(0, size); }
void* operator new[](size_t size) { return NewOrThrow(0, size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return New(0, size);
}
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return New(0, size);
}
void* operator new(size_t size, std::align_val_t alignment) {
  return NewOrThrow(static_cast<size_t>(alignment), size);
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return NewOrThrow(static_cast<size_t>(alignment), size);
}
void* operator new(size_t size, std::align_val_t alignment,
                   const std::nothrow_t&) noexcept {
  return New(static_cast<size_t>(alignment), size);
}
void* operator new[](size_t size, std::align_val_t alignment,
                     const std::nothrow_t&) noexcept {
  return New(static_cast<size_t>(alignment), size);
}
void operator delete(void* block) noexcept { free(block); }
void operator delete[](void* block) noexcept { free(block); }
void operator delete(void* block, size_t) noexcept { free(block); }
void operator delete[](void* block, size_t) noexcept { free(block); }
void operator delete(void* block, std::align_val_t) noexcept { free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept {
  free(block);
}
void operator delete[](void* block, size_t, std::align_val_t) noexcept {
  free(block);
}
#endif

namespace shoal::testing {

size_t AllocatedBytes() { return allocated; }
size_t AllocationCalls() { return calls; }

AllocationPeak::AllocationPeak() : before_(allocated) { peak = before_; }
size_t AllocationPeak::bytes() const { return peak - before_; }

void FailAllocation(size_t n) { to_fail = n; }

}  // namespace shoal::testing
