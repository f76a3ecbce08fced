// One window: read and checked; windows of sections: decompressed and carried
// out.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

absl::Status Unsupported(std::string_view what) {
  return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta", what);
}

}  // namespace

absl::StatusOr<uint8_t> Applier::Impl::ReadByte(Record& record) {
  if (record.size == record.bytes.size())
    return DeltaCorrupt("a window's header is too long");
  char& byte = record.bytes[record.size];
  SHOAL_RETURN_IF_ERROR(ReadExactly(&byte, 1));
  ++record.size;
  return static_cast<uint8_t>(byte);
}

absl::StatusOr<uint64_t> Applier::Impl::ReadVarint(Record& record) {
  const size_t start = record.size;
  for (int i = 0; i < 10; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t byte, ReadByte(record));
    if (byte & 0x80) continue;
    std::string_view text = record.View().substr(start);
    const auto value = TakeVarint(text);
    if (value) return *value;
    break;
  }
  return DeltaCorrupt("a number in a window's header is malformed");
}

absl::StatusOr<WindowHeader> Applier::Impl::ReadWindowHeader(Record& record) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t kind, ReadByte(record));
  const bool model = header_.coding == Coding::kModel;
  if (kind > static_cast<uint8_t>(model ? WindowKind::kContent
                                        : WindowKind::kSections))
    return Unsupported(fmt::format("windows {} are not known here", kind));
  WindowHeader window;
  window.kind = static_cast<WindowKind>(kind);
  SHOAL_ASSIGN_OR_RETURN(window.new_size, ReadVarint(record));
  if (window.new_size == 0) return DeltaCorrupt("a window makes nothing");
  // Within a group there is content, and outside there is none.
  const bool content = window.kind == WindowKind::kContent;
  if (content != (group_left_ > 0))
    return DeltaCorrupt("a window of this kind may not stand here");
  if (window.new_size > (content ? group_left_ : made_size_ - made_))
    return DeltaTooLarge();
  if (window.kind == WindowKind::kSections) {
    SHOAL_RETURN_IF_ERROR(ReadSectionInfos(record, window));
    return window;
  }
  if (!content) {
    SHOAL_ASSIGN_OR_RETURN(window.operations, ReadVarint(record));
    if (window.operations == 0 || window.operations > operations_.size())
      return DeltaCorrupt("a group has more operations than declared");
  }
  SHOAL_ASSIGN_OR_RETURN(window.coded_size, ReadVarint(record));
  if (window.coded_size > header_.window_size)
    return DeltaCorrupt("a window is larger than declared");
  return window;
}

absl::Status Applier::Impl::ReadSectionInfos(Record& record,
                                             WindowHeader& window) {
  uint64_t room = header_.window_size;
  for (SectionInfo& s : window.sections) {
    SHOAL_ASSIGN_OR_RETURN(s.raw_size, ReadVarint(record));
    // Before anything is read or made from it: the bound of all buffers.
    if (s.raw_size > room)
      return DeltaCorrupt("a window is larger than declared");
    room -= s.raw_size;
    if (s.raw_size == 0) continue;
    SHOAL_ASSIGN_OR_RETURN(const uint8_t codec, ReadByte(record));
    if (codec > static_cast<uint8_t>(SectionCodec::kZstd))
      return Unsupported(fmt::format("section codec {} is not known", codec));
    s.codec = static_cast<SectionCodec>(codec);
    s.stored_size = s.raw_size;
    if (s.codec == SectionCodec::kStored) continue;
    SHOAL_ASSIGN_OR_RETURN(s.stored_size, ReadVarint(record));
    if (s.stored_size >= s.raw_size)
      return DeltaCorrupt(
          "a compressed section is not smaller than its content");
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::ReadWindow() {
  SHOAL_RETURN_IF_ERROR(CheckCancelled());
  if (group_left_ == 0) NoteRestart();
  Record record;
  SHOAL_ASSIGN_OR_RETURN(const WindowHeader window, ReadWindowHeader(record));
  char checksum[kChecksumSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(checksum, sizeof checksum));
  const size_t stored = window.StoredSize();
  SHOAL_RETURN_IF_ERROR(ReadExactly(stored_.data(), stored));
  if (WindowChecksum(header_checksum_, made_, record.View(),
                     {stored_.data(), stored}) !=
      std::string_view(checksum, sizeof checksum))
    return DeltaCorrupt(
        fmt::format("the window at byte {} of the result is damaged", made_));
  switch (window.kind) {
    case WindowKind::kSections:
      SHOAL_RETURN_IF_ERROR(Decompress(window));
      return RunSections(window);
    case WindowKind::kOperations:
      return ReadOperations(window);
    case WindowKind::kContent:
      return RunContent(window);
  }
  return Internal("bad_window", "a window of no kind");
}

absl::Status Applier::Impl::Decompress(const WindowHeader& window) {
  const char* from = stored_.data();
  char* to = raw_.data();
  for (const SectionInfo& s : window.sections) {
    if (s.codec == SectionCodec::kStored) {
      if (s.raw_size > 0) memcpy(to, from, s.raw_size);
    } else {
      // One call into a buffer of the whole section: zstd needs no window of
      // its own and cannot write beyond raw_size.
      const size_t made = ZSTD_decompressDCtx(context_.get(), to, s.raw_size,
                                              from, s.stored_size);
      if (ZSTD_isError(made) || made != s.raw_size)
        return DeltaCorrupt(fmt::format(
            "a section does not decompress to its length: {}",
            ZSTD_isError(made) ? ZSTD_getErrorName(made) : "other length"));
    }
    from += s.stored_size;
    to += s.raw_size;
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::RunSections(const WindowHeader& window) {
  const auto& sections = window.sections;
  std::string_view control(raw_.data(), sections[kControl].raw_size);
  std::string_view diff(raw_.data() + control.size(), sections[kDiff].raw_size);
  std::string_view extra(raw_.data() + control.size() + diff.size(),
                         sections[kExtra].raw_size);
  const uint64_t end = made_ + window.new_size;
  old_position_ = 0;
  while (!control.empty()) {
    const auto word = TakeVarint(control);
    if (!word) return DeltaCorrupt("an instruction is malformed");
    const Op op = static_cast<Op>(*word & 3);
    const uint64_t argument = *word >> 2;
    if (op == Op::kSeek) {
      // Both lie below 2^62: no overflow.
      const int64_t to =
          static_cast<int64_t>(old_position_) + Unzigzag(argument);
      if (to < 0 || static_cast<uint64_t>(to) > old_made_size_)
        return DeltaCorrupt("an instruction seeks outside the base");
      old_position_ = static_cast<uint64_t>(to);
      continue;
    }
    if (argument == 0) return DeltaCorrupt("an instruction does nothing");
    if (argument > end - made_) return DeltaTooLarge();
    if (op == Op::kExtra) {
      if (argument > extra.size())
        return DeltaCorrupt(
            "an instruction takes more extra bytes than there are");
      SHOAL_RETURN_IF_ERROR(Emit(extra.substr(0, argument)));
      extra.remove_prefix(argument);
      continue;
    }
    if (argument > old_made_size_ - old_position_)
      return DeltaCorrupt("an instruction reads outside the base");
    if (op == Op::kAdd && argument > diff.size())
      return DeltaCorrupt(
          "an instruction takes more diff bytes than there are");
    SHOAL_RETURN_IF_ERROR(FromBase(argument, op == Op::kAdd ? &diff : nullptr));
  }
  if (made_ != end || !diff.empty() || !extra.empty())
    return DeltaCorrupt("a window's instructions and lengths do not agree");
  return absl::OkStatus();
}

// `length` bytes of the base at old_position_, plus those of `diff` if given.
absl::Status Applier::Impl::FromBase(uint64_t length, std::string_view* diff) {
  while (length > 0) {
    const size_t n = std::min<uint64_t>(kApplyIoSize, length);
    char* bytes = old_io_.data();
    if (WrittenBefore(n)) {
      if (diff != nullptr) diff->remove_prefix(n);
      made_ += n;
      old_position_ += n;
      length -= n;
      continue;
    }
    SHOAL_RETURN_IF_ERROR(ReadOld(old_position_, bytes, n));
    if (diff != nullptr) {
      for (size_t i = 0; i < n; ++i)
        bytes[i] = static_cast<char>(static_cast<uint8_t>(bytes[i]) +
                                     static_cast<uint8_t>((*diff)[i]));
      diff->remove_prefix(n);
    }
    old_position_ += n;
    length -= n;
    SHOAL_RETURN_IF_ERROR(Emit({bytes, n}));
  }
  return absl::OkStatus();
}

}  // namespace shoal::delta
