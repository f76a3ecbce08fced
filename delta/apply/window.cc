// One window: read, checked, decompressed, carried out.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/bytes.h"
#include "delta/apply/apply_impl.h"

namespace shoal::delta {
namespace {

absl::Status TooLarge() {
  return MakeError(absl::StatusCode::kOutOfRange, "delta_too_large",
                   "an instruction writes beyond the declared length");
}

}  // namespace

absl::StatusOr<uint8_t> Applier::Impl::ReadByte(std::string& record) {
  char byte;
  SHOAL_RETURN_IF_ERROR(ReadExactly(&byte, 1));
  record.push_back(byte);
  return static_cast<uint8_t>(byte);
}

absl::StatusOr<uint64_t> Applier::Impl::ReadVarint(std::string& record) {
  const size_t start = record.size();
  for (int i = 0; i < 10; ++i) {
    SHOAL_ASSIGN_OR_RETURN(const uint8_t byte, ReadByte(record));
    if (byte & 0x80) continue;
    std::string_view text = std::string_view(record).substr(start);
    const auto value = TakeVarint(text);
    if (value) return *value;
    break;
  }
  return DeltaCorrupt("a number in a window's header is malformed");
}

absl::StatusOr<WindowHeader> Applier::Impl::ReadWindowHeader(
    std::string& record) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t flags, ReadByte(record));
  if (flags != 0)
    return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta",
                     fmt::format("window flags {} are not known here", flags));
  WindowHeader window;
  SHOAL_ASSIGN_OR_RETURN(window.new_size, ReadVarint(record));
  if (window.new_size == 0) return DeltaCorrupt("a window makes nothing");
  if (window.new_size > header_.new_size - written_) return TooLarge();
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
      return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta",
                       fmt::format("section codec {} is not known", codec));
    s.codec = static_cast<SectionCodec>(codec);
    s.stored_size = s.raw_size;
    if (s.codec == SectionCodec::kStored) continue;
    SHOAL_ASSIGN_OR_RETURN(s.stored_size, ReadVarint(record));
    if (s.stored_size >= s.raw_size)
      return DeltaCorrupt(
          "a compressed section is not smaller than its content");
  }
  return window;
}

absl::Status Applier::Impl::ReadWindow() {
  SHOAL_RETURN_IF_ERROR(CheckCancelled());
  std::string record;
  record.reserve(kMaxWindowHeaderSize);
  SHOAL_ASSIGN_OR_RETURN(const WindowHeader window, ReadWindowHeader(record));
  char checksum[kChecksumSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(checksum, sizeof checksum));
  const size_t stored = window.StoredSize();
  SHOAL_RETURN_IF_ERROR(ReadExactly(stored_.data(), stored));
  if (WindowChecksum(header_checksum_, written_, record,
                     {stored_.data(), stored}) !=
      std::string_view(checksum, sizeof checksum))
    return DeltaCorrupt(fmt::format(
        "the window at byte {} of the result is damaged", written_));
  SHOAL_RETURN_IF_ERROR(Decompress(window));
  return RunWindow(window);
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

absl::Status Applier::Impl::RunWindow(const WindowHeader& window) {
  const auto& sections = window.sections;
  std::string_view control(raw_.data(), sections[kControl].raw_size);
  std::string_view diff(raw_.data() + control.size(), sections[kDiff].raw_size);
  std::string_view extra(raw_.data() + control.size() + diff.size(),
                         sections[kExtra].raw_size);
  const uint64_t end = written_ + window.new_size;
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
      if (to < 0 || static_cast<uint64_t>(to) > header_.old_size)
        return DeltaCorrupt("an instruction seeks outside the base");
      old_position_ = static_cast<uint64_t>(to);
      continue;
    }
    if (argument == 0) return DeltaCorrupt("an instruction does nothing");
    if (argument > end - written_) return TooLarge();
    if (op == Op::kExtra) {
      if (argument > extra.size())
        return DeltaCorrupt(
            "an instruction takes more extra bytes than there are");
      SHOAL_RETURN_IF_ERROR(Emit(extra.substr(0, argument)));
      extra.remove_prefix(argument);
      continue;
    }
    if (argument > header_.old_size - old_position_)
      return DeltaCorrupt("an instruction reads outside the base");
    if (op == Op::kAdd && argument > diff.size())
      return DeltaCorrupt(
          "an instruction takes more diff bytes than there are");
    SHOAL_RETURN_IF_ERROR(FromBase(argument, op == Op::kAdd ? &diff : nullptr));
  }
  if (written_ != end || !diff.empty() || !extra.empty())
    return DeltaCorrupt("a window's instructions and lengths do not agree");
  return absl::OkStatus();
}

// `length` bytes of the base at old_position_, plus those of `diff` if given.
absl::Status Applier::Impl::FromBase(uint64_t length, std::string_view* diff) {
  while (length > 0) {
    const size_t n = std::min<uint64_t>(kApplyIoSize, length);
    char* bytes = old_io_.data();
    SHOAL_RETURN_IF_ERROR(options_.read_old(old_position_, bytes, n));
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
