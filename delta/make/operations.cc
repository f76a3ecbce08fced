#include "delta/make/operations.h"

#include <cstring>

namespace shoal::delta {
namespace {

uint64_t EqualRun(const char* a, const char* b, uint64_t limit) {
  uint64_t n = 0;
  while (n + 32 <= limit && memcmp(a + n, b + n, 32) == 0) n += 32;
  while (n < limit && a[n] == b[n]) ++n;
  return n;
}

}  // namespace

OperationList::OperationList(std::string_view old_image,
                             std::string_view new_image, uint64_t new_at,
                             uint64_t copy_run)
    : old_(old_image), new_(new_image), new_at_(new_at), copy_run_(copy_run) {}

void OperationList::Append(OperationKind kind, uint64_t old_at, uint64_t size) {
  if (size == 0) return;
  new_at_ += size;
  if (!operations_.empty()) {
    Operation& last = operations_.back();
    if (last.kind == kind &&
        (kind == OperationKind::kInsert || last.old_at + last.size == old_at)) {
      last.size += size;
      return;
    }
  }
  operations_.push_back({kind, size, old_at});
}

void OperationList::AddCopy(uint64_t old_at, uint64_t size) {
  Append(OperationKind::kCopy, old_at, size);
}

void OperationList::AddNew(uint64_t size) {
  Append(OperationKind::kInsert, 0, size);
}

void OperationList::AddAligned(uint64_t old_at, uint64_t size) {
  const char* o = old_.data() + old_at;
  const char* n = new_.data() + new_at_;
  uint64_t diff_from = 0, at = 0;
  while (at < size) {
    const uint64_t run = EqualRun(o + at, n + at, size - at);
    if (run < copy_run_) {
      at += run + 1;
      continue;
    }
    Append(OperationKind::kAdd, old_at + diff_from, at - diff_from);
    Append(OperationKind::kCopy, old_at + at, run);
    at += run;
    diff_from = at;
  }
  Append(OperationKind::kAdd, old_at + diff_from, size - diff_from);
}

}  // namespace shoal::delta
