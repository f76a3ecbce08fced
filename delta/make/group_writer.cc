#include "delta/make/group_writer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "common/status.h"
#include "delta/apply/model_numbers.h"
#include "delta/make/window_writer.h"

namespace shoal::delta {
namespace {

// Groups with less content than this are coded both ways, and those of which
// the model leaves more than a part: compressed content, in which zstd finds
// the repeats that it has.
constexpr uint64_t kWorthComparing = 64 << 10;
constexpr uint64_t kPoorPart = 4;

std::span<const uint8_t> Bytes(std::string_view bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace

GroupWriter::GroupWriter(std::string_view old_image, std::string_view new_image,
                         GroupWriterOptions options,
                         std::unique_ptr<MixEncoder> model)
    : old_(old_image),
      new_(new_image),
      options_(std::move(options)),
      model_(std::move(model)) {}

absl::StatusOr<std::unique_ptr<GroupWriter>> GroupWriter::Create(
    std::string_view old_image, std::string_view new_image,
    GroupWriterOptions options) {
  SHOAL_ASSIGN_OR_RETURN(auto model, MixEncoder::Create(options.model_level));
  return std::unique_ptr<GroupWriter>(new GroupWriter(
      old_image, new_image, std::move(options), std::move(model)));
}

absl::Status GroupWriter::Add(Operation operation) {
  while (operation.size > 0) {
    if (operations_.size() == size_t{1} << options_.group_log2 ||
        group_coded_ == options_.group_coded)
      SHOAL_RETURN_IF_ERROR(WriteGroup());
    Operation part = operation;
    if (operation.kind != OperationKind::kCopy) {
      part.size = std::min(operation.size, options_.group_coded - group_coded_);
      group_coded_ += part.size;
    }
    operations_.push_back(part);
    group_new_ += part.size;
    operation.old_at += part.size;
    operation.size -= part.size;
  }
  return absl::OkStatus();
}

absl::Status GroupWriter::Finish() {
  return operations_.empty() ? absl::OkStatus() : WriteGroup();
}

absl::Status GroupWriter::WriteGroup() {
  SHOAL_RETURN_IF_ERROR(WriteSmaller());
  written_ += group_new_;
  group_new_ = group_coded_ = 0;
  operations_.clear();
  return absl::OkStatus();
}

absl::Status GroupWriter::WriteSmaller() {
  // The model's windows, kept back.
  std::string modelled;
  const auto write = std::exchange(options_.write,
                                   [&](std::string_view bytes) -> absl::Status {
                                     modelled += bytes;
                                     return absl::OkStatus();
                                   });
  const uint64_t windows_before = windows_;
  const absl::Status status = WriteModelled();
  options_.write = write;
  SHOAL_RETURN_IF_ERROR(status);
  if (group_coded_ > kWorthComparing &&
      modelled.size() <= group_coded_ / kPoorPart)
    return write(modelled);
  std::string sections;
  WindowWriter writer(old_, new_, options_.header_checksum,
                      options_.window_size, options_.zstd_level, written_,
                      &sections);
  for (const Operation& operation : operations_)
    SHOAL_RETURN_IF_ERROR(writer.Add(operation));
  SHOAL_RETURN_IF_ERROR(writer.Finish());
  if (modelled.size() <= sections.size()) return write(modelled);
  windows_ = windows_before + writer.windows();
  return write(sections);
}

absl::Status GroupWriter::WriteModelled() {
  model_->Reset();
  uint64_t at = written_;
  for (const Operation& operation : operations_) {
    model_->Number(NumberKind::kOperation,
                   static_cast<uint64_t>(operation.kind));
    model_->Number(LengthKind(operation.kind), operation.size);
    if (operation.kind != OperationKind::kInsert) {
      model_->Place(at, operation.old_at);
      model_->Moved(operation.old_at, at, operation.size);
    }
    at += operation.size;
  }
  WindowHeader window;
  window.kind = WindowKind::kOperations;
  window.new_size = group_new_;
  window.operations = operations_.size();
  SHOAL_RETURN_IF_ERROR(EndWindow(window, written_));
  return WriteContent();
}

// Windows end when so much content was coded that it could fill them, would
// the model make nothing of it; a sixteenth covers what it makes worse.
absl::Status GroupWriter::WriteContent() {
  const uint64_t most = options_.window_size - options_.window_size / 16;
  WindowHeader window;
  window.kind = WindowKind::kContent;
  uint64_t at = written_, coded = 0;  // of the open window
  place_ = written_;
  old_position_ = 0;
  for (const Operation& operation : operations_) {
    if (operation.kind == OperationKind::kCopy) {
      window.new_size += operation.size;
      place_ += operation.size;
    } else {
      for (uint64_t done = 0; done < operation.size;) {
        const uint64_t n = std::min(operation.size - done, most - coded);
        CodeContent(operation, done, n);
        window.new_size += n;
        coded += n;
        done += n;
        if (coded < most) continue;
        if (options_.cancel != nullptr && options_.cancel->load())
          return MakeError(absl::StatusCode::kCancelled, "cancelled",
                           "making the delta was cancelled");
        SHOAL_RETURN_IF_ERROR(EndWindow(window, at));
        at += window.new_size;
        window.new_size = coded = 0;
      }
    }
    if (operation.kind != OperationKind::kInsert)
      old_position_ = operation.old_at + operation.size;
  }
  if (window.new_size == 0) return absl::OkStatus();
  return EndWindow(window, at);
}

// The same calls as Applier::Impl::CodedOperation makes.
void GroupWriter::CodeContent(const Operation& operation, uint64_t done,
                              uint64_t size) {
  const bool add = operation.kind == OperationKind::kAdd;
  while (size > 0) {
    const uint64_t n = std::min(size, kModelStep - done % kModelStep);
    const uint64_t at = std::min<uint64_t>(
        (add ? operation.old_at : old_position_) + done, old_.size());
    const uint64_t begin = at - std::min<uint64_t>(at, kMixMargin);
    const uint64_t end = std::min<uint64_t>(at + n + kMixMargin, old_.size());
    const OldBytes old{Bytes(old_.substr(begin, end - begin)), at - begin, at};
    const auto fresh = Bytes(new_.substr(place_, n));
    if (add)
      model_->Add(old, place_, fresh);
    else
      model_->Insert(old, place_, fresh);
    place_ += n;
    done += n;
    size -= n;
  }
}

absl::Status GroupWriter::EndWindow(WindowHeader window, uint64_t new_at) {
  const std::string coded = model_->EndWindow();
  if (coded.size() > options_.window_size)
    return Internal("delta_window", "a coded window is too large");
  window.coded_size = coded.size();
  std::string out;
  AppendWindowHeader(out, window);
  out += WindowChecksum(options_.header_checksum, new_at, out, coded);
  SHOAL_RETURN_IF_ERROR(options_.write(out));
  ++windows_;
  if (options_.release) options_.release();
  return options_.write(coded);
}

}  // namespace shoal::delta
