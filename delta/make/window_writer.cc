#include "delta/make/window_writer.h"

#include <algorithm>
#include <new>
#include <utility>

#include "common/status.h"

namespace shoal::delta {
namespace {

// Instructions of one step, at most: a seek and an operation.
constexpr uint64_t kOpsMargin = 32;

}  // namespace

WindowWriter::WindowWriter(std::string_view old_image,
                           std::string_view new_image,
                           std::string header_checksum, uint32_t window_size,
                           int zstd_level, uint64_t new_at, std::string* out)
    : old_(old_image),
      new_(new_image),
      header_checksum_(std::move(header_checksum)),
      window_size_(window_size),
      out_(out),
      context_(ZSTD_createCCtx()),
      window_start_(new_at) {
  if (context_ == nullptr) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, zstd_level);
}

void WindowWriter::AppendOp(Op op, uint64_t argument) {
  AppendVarint(sections_[kControl], argument << 2 | static_cast<uint64_t>(op));
}

void WindowWriter::SeekTo(uint64_t old_at) {
  if (old_at == old_position_) return;
  AppendOp(Op::kSeek, Zigzag(static_cast<int64_t>(old_at - old_position_)));
  old_position_ = old_at;
}

absl::StatusOr<uint64_t> WindowWriter::Room() {
  const auto used = [this] {
    return sections_[kControl].size() + sections_[kDiff].size() +
           sections_[kExtra].size();
  };
  if (used() + 2 * kOpsMargin >= window_size_)
    SHOAL_RETURN_IF_ERROR(CloseWindow());
  return window_size_ - used() - kOpsMargin;
}

absl::Status WindowWriter::AddCopy(uint64_t old_at, uint64_t size) {
  SHOAL_RETURN_IF_ERROR(Room());
  SeekTo(old_at);
  AppendOp(Op::kCopy, size);
  old_position_ += size;
  window_new_ += size;
  return absl::OkStatus();
}

absl::Status WindowWriter::Add(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::kCopy:
      return AddCopy(operation.old_at, operation.size);
    case OperationKind::kAdd:
      return AddDiff(operation.old_at, operation.size);
    case OperationKind::kInsert:
      return AddNew(operation.size);
  }
  return Internal("bad_operation", "an operation of no kind");
}

absl::Status WindowWriter::AddDiff(uint64_t old_at, uint64_t size) {
  while (size > 0) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t room, Room());
    const uint64_t n = std::min(room, size);
    SeekTo(old_at);
    AppendOp(Op::kAdd, n);
    const char* o = old_.data() + old_at;
    const char* fresh = new_.data() + NewAt();
    std::string& diff = sections_[kDiff];
    for (uint64_t i = 0; i < n; ++i)
      diff.push_back(static_cast<char>(static_cast<uint8_t>(fresh[i]) -
                                       static_cast<uint8_t>(o[i])));
    old_position_ += n;
    window_new_ += n;
    old_at += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status WindowWriter::AddNew(uint64_t size) {
  while (size > 0) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t room, Room());
    const uint64_t n = std::min(room, size);
    AppendOp(Op::kExtra, n);
    sections_[kExtra].append(new_.substr(NewAt(), n));
    window_new_ += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::StatusOr<SectionInfo> WindowWriter::PackSection(const std::string& raw,
                                                      std::string& stored) {
  SectionInfo info;
  info.raw_size = raw.size();
  info.stored_size = raw.size();
  const size_t start = stored.size();
  stored.resize(start + ZSTD_compressBound(raw.size()));
  const size_t packed =
      ZSTD_compress2(context_.get(), stored.data() + start,
                     stored.size() - start, raw.data(), raw.size());
  if (ZSTD_isError(packed))
    return Internal("zstd_failed", ZSTD_getErrorName(packed));
  // Two bytes for the length of the compressed form.
  if (packed + 2 < raw.size()) {
    info.codec = SectionCodec::kZstd;
    info.stored_size = packed;
    stored.resize(start + packed);
  } else {
    stored.resize(start);
    stored += raw;
  }
  return info;
}

absl::Status WindowWriter::CloseWindow() {
  if (window_new_ == 0) return absl::OkStatus();
  WindowHeader window;
  window.new_size = window_new_;
  std::string stored;
  for (int i = 0; i < kSections; ++i) {
    if (sections_[i].empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(window.sections[static_cast<size_t>(i)],
                           PackSection(sections_[i], stored));
  }
  std::string record;
  AppendWindowHeader(record, window);
  *out_ += record;
  *out_ += WindowChecksum(header_checksum_, window_start_, record, stored);
  *out_ += stored;
  window_start_ += window_new_;
  window_new_ = 0;
  old_position_ = 0;
  for (std::string& section : sections_) section.clear();
  ++windows_;
  return absl::OkStatus();
}

absl::Status WindowWriter::Finish() { return CloseWindow(); }

}  // namespace shoal::delta
