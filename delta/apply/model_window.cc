// A group of the model: the list of its operations, then windows of content
// that carry them out in order. The list comes first so that the model knows
// where everything moved, also what is still to come.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "delta/apply/apply_impl.h"
#include "delta/apply/model_numbers.h"

namespace shoal::delta {
namespace {

// What a call of the model reads of the base fits into the buffer.
static_assert(kModelStep + 2 * kMixMargin <= kApplyIoSize);

std::span<const uint8_t> Bytes(const char* data, size_t size) {
  return {reinterpret_cast<const uint8_t*>(data), size};
}

}  // namespace

absl::Status Applier::Impl::ReadOperations(const WindowHeader& window) {
  model_->Reset();
  model_->BeginWindow(Bytes(stored_.data(), window.coded_size));
  uint64_t made = made_;
  const uint64_t end = made_ + window.new_size;
  operation_count_ = 0;
  for (uint64_t i = 0; i < window.operations; ++i) {
    Operation operation;
    SHOAL_ASSIGN_OR_RETURN(const uint64_t kind,
                           model_->Number(NumberKind::kOperation));
    if (kind > static_cast<uint64_t>(OperationKind::kInsert))
      return DeltaCorrupt("an operation is unknown");
    operation.kind = static_cast<OperationKind>(kind);
    SHOAL_ASSIGN_OR_RETURN(operation.size,
                           model_->Number(LengthKind(operation.kind)));
    if (operation.size == 0) return DeltaCorrupt("an operation does nothing");
    if (operation.size > end - made) return DeltaTooLarge();
    if (operation.kind != OperationKind::kInsert) {
      SHOAL_ASSIGN_OR_RETURN(operation.old_at, model_->Place(made));
      if (operation.old_at > old_made_size_ ||
          operation.size > old_made_size_ - operation.old_at)
        return DeltaCorrupt("an operation reads outside the base");
      model_->Moved(operation.old_at, made, operation.size);
    }
    made += operation.size;
    operations_[operation_count_++] = operation;
  }
  SHOAL_RETURN_IF_ERROR(model_->EndWindow());
  if (made != end)
    return DeltaCorrupt("a group's operations and length do not agree");
  operation_ = 0;
  operation_done_ = 0;
  old_position_ = 0;
  group_left_ = window.new_size;
  return absl::OkStatus();
}

absl::Status Applier::Impl::RunContent(const WindowHeader& window) {
  model_->BeginWindow(Bytes(stored_.data(), window.coded_size));
  uint64_t left = window.new_size;
  group_left_ -= left;
  while (left > 0) {
    // The operations sum up to the group's length, and the window's is not
    // beyond it: there is one.
    const Operation& operation = operations_[operation_];
    const uint64_t n = std::min(left, operation.size - operation_done_);
    if (operation.kind == OperationKind::kCopy) {
      SHOAL_RETURN_IF_ERROR(
          CopyOperation(operation.old_at + operation_done_, n));
    } else {
      SHOAL_RETURN_IF_ERROR(CodedOperation(operation, operation_done_, n));
    }
    operation_done_ += n;
    left -= n;
    if (operation_done_ == operation.size) {
      if (operation.kind != OperationKind::kInsert)
        old_position_ = operation.old_at + operation.size;
      ++operation_;
      operation_done_ = 0;
    }
  }
  return model_->EndWindow();
}

absl::Status Applier::Impl::CopyOperation(uint64_t old_at, uint64_t size) {
  old_position_ = old_at;
  return FromBase(size, nullptr);
}

// `size` bytes of an add or insert, `done` bytes after its beginning. The
// model is called for blocks that begin at multiples of kModelStep from there,
// wherever windows are cut.
absl::Status Applier::Impl::CodedOperation(const Operation& operation,
                                           uint64_t done, uint64_t size) {
  const bool add = operation.kind == OperationKind::kAdd;
  while (size > 0) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const uint64_t n = std::min(size, kModelStep - done % kModelStep);
    // An insert sees what follows the last place that was used.
    const uint64_t at = std::min(
        add ? operation.old_at + done : old_position_ + done, old_made_size_);
    const uint64_t begin = at - std::min<uint64_t>(at, kMixMargin);
    const uint64_t end = std::min(at + n + kMixMargin, old_made_size_);
    SHOAL_RETURN_IF_ERROR(ReadOld(begin, old_io_.data(), end - begin));
    const OldBytes old{Bytes(old_io_.data(), end - begin), at - begin, at};
    const std::span<uint8_t> fresh(reinterpret_cast<uint8_t*>(raw_.data()), n);
    SHOAL_RETURN_IF_ERROR(add ? model_->Add(old, made_, fresh)
                              : model_->Insert(old, made_, fresh));
    SHOAL_RETURN_IF_ERROR(Emit({raw_.data(), n}));
    done += n;
    size -= n;
  }
  return absl::OkStatus();
}

}  // namespace shoal::delta
