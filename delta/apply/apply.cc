#include "delta/apply/apply.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::delta {
namespace {

constexpr size_t kIoSize = 64 << 10;
constexpr uint64_t kProgressStep = 1 << 20;
constexpr std::string_view kStateMagic = "SDS1";
// magic, header checksum, patch offset, new offset, digest of what was
// written, checksum
constexpr size_t kStateSize = 4 + 8 + 8 + 8 + 32 + 8;

absl::Status Corrupt(std::string_view what) {
  return DataLoss("delta_corrupt", what);
}
absl::Status Truncated() {
  return DataLoss("delta_truncated",
                  "the patch ends before its result is complete");
}
absl::Status TooLarge() {
  return MakeError(absl::StatusCode::kOutOfRange, "delta_too_large",
                   "an instruction writes beyond the declared length");
}
absl::Status BadResume(std::string_view what) {
  return FailedPrecondition("bad_resume", what);
}

// A fixed buffer whose allocation can fail without an exception.
class Buffer {
 public:
  bool Allocate(size_t size) {
    data_.reset(new (std::nothrow) char[size]);
    size_ = size;
    return data_ != nullptr;
  }
  char* data() { return data_.get(); }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

struct Resume {
  uint64_t patch_offset = 0;
  uint64_t new_offset = 0;
  std::string digest;
};

}  // namespace

class Applier::Impl {
 public:
  explicit Impl(ApplyOptions options) : options_(std::move(options)) {}

  absl::Status ReadHeader();
  absl::Status Run();
  const Header& header() const { return header_; }
  uint64_t resume_offset() const { return resume_.new_offset; }

 private:
  absl::Status Allocate();
  absl::Status CheckBase();
  absl::Status ReadResumeState();
  absl::Status ResumeFromState();
  absl::Status ReadExactly(char* buffer, size_t size);
  absl::StatusOr<uint8_t> ReadByte(std::string& record);
  absl::StatusOr<uint64_t> ReadVarint(std::string& record);
  absl::StatusOr<WindowHeader> ReadWindowHeader(std::string& record);
  absl::Status ReadWindow();
  absl::Status Decompress(const WindowHeader& window);
  absl::Status RunWindow(const WindowHeader& window);
  absl::Status FromBase(uint64_t length, std::string_view* diff);
  absl::Status Emit(std::string_view bytes);
  absl::Status Flush();
  absl::Status Checkpoint();
  absl::Status CheckCancelled() const {
    if (options_.cancel != nullptr && options_.cancel->load())
      return MakeError(absl::StatusCode::kCancelled, "cancelled",
                       "applying the delta was cancelled");
    return absl::OkStatus();
  }

  ApplyOptions options_;
  Header header_;
  std::string header_checksum_;
  Resume resume_;
  bool ran_ = false;

  Buffer stored_, raw_, old_io_, out_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  size_t out_used_ = 0;

  uint64_t patch_offset_ = 0;
  uint64_t written_ = 0;  // bytes of the result so far, out_ included
  uint64_t reported_ = 0;
  uint64_t old_position_ = 0;
  crypto::Sha256 digest_;  // of everything flushed
};

absl::Status Applier::Impl::ReadExactly(char* buffer, size_t size) {
  while (size > 0) {
    SHOAL_ASSIGN_OR_RETURN(const size_t got, options_.read_patch(buffer, size));
    if (got == 0) return Truncated();
    if (got > size)
      return Internal("bad_callback", "read_patch gave more than asked for");
    buffer += got;
    size -= got;
    patch_offset_ += got;
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::ReadHeader() {
  if (!options_.read_patch || !options_.read_old || !options_.write_new)
    return InvalidArgument("bad_argument", "a callback is missing");
  if (options_.expected_sha256.size() != crypto::kSha256Size)
    return InvalidArgument("bad_argument", "expected_sha256 is not 32 bytes");
  char bytes[kHeaderSize];
  SHOAL_RETURN_IF_ERROR(ReadExactly(bytes, sizeof bytes));
  SHOAL_ASSIGN_OR_RETURN(header_,
                         ParseHeader(std::string_view(bytes, sizeof bytes)));
  header_checksum_.assign(bytes + kHeaderSize - kChecksumSize, kChecksumSize);
  if (header_.new_size != options_.expected_size ||
      header_.new_sha256 != options_.expected_sha256)
    return FailedPrecondition(
        "wrong_result",
        fmt::format("the patch makes {} bytes with digest {}, expected are {} "
                    "with {}",
                    header_.new_size, HexEncode(header_.new_sha256),
                    options_.expected_size,
                    HexEncode(options_.expected_sha256)));
  if (header_.reader_memory > options_.max_memory)
    return ResourceExhausted(
        "delta_memory",
        fmt::format("the patch needs {} bytes of memory, {} "
                    "are granted",
                    header_.reader_memory, options_.max_memory));
  if (header_.old_size > options_.old_size)
    return FailedPrecondition(
        "wrong_base", fmt::format("the patch is for a base of {} bytes, here "
                                  "are {}",
                                  header_.old_size, options_.old_size));
  return ReadResumeState();
}

absl::Status Applier::Impl::ReadResumeState() {
  const std::string_view state = options_.resume_state;
  if (state.empty()) return absl::OkStatus();
  if (!options_.read_new)
    return InvalidArgument("bad_argument", "resuming needs read_new");
  if (state.size() != kStateSize || state.substr(0, 4) != kStateMagic)
    return BadResume("this is not a resume state");
  const std::string_view covered = state.substr(0, kStateSize - kChecksumSize);
  if (crypto::Sha256Digest(covered).substr(0, kChecksumSize) !=
      state.substr(covered.size()))
    return BadResume("the resume state is damaged");
  if (state.substr(4, 8) != header_checksum_)
    return BadResume("the resume state is of another patch");
  resume_.patch_offset = ReadBigEndian(state.substr(12), 8);
  resume_.new_offset = ReadBigEndian(state.substr(20), 8);
  resume_.digest = std::string(state.substr(28, 32));
  if (resume_.patch_offset < kHeaderSize ||
      resume_.new_offset > header_.new_size)
    return BadResume("the resume state is impossible");
  return absl::OkStatus();
}

absl::Status Applier::Impl::Allocate() {
  context_.reset(ZSTD_createDCtx());
  if (context_ == nullptr || !stored_.Allocate(header_.window_size) ||
      !raw_.Allocate(header_.window_size) || !old_io_.Allocate(kIoSize) ||
      !out_.Allocate(kIoSize))
    return ResourceExhausted("delta_memory",
                             "the memory that the patch needs is not there");
  return absl::OkStatus();
}

absl::Status Applier::Impl::CheckBase() {
  crypto::Sha256 digest;
  for (uint64_t at = 0; at < header_.old_size;) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const size_t n = std::min<uint64_t>(kIoSize, header_.old_size - at);
    SHOAL_RETURN_IF_ERROR(options_.read_old(at, old_io_.data(), n));
    digest.Update({old_io_.data(), n});
    at += n;
  }
  const std::string actual = digest.Finish();
  if (actual != header_.old_sha256)
    return FailedPrecondition(
        "wrong_base",
        fmt::format("the patch is for the base {}, here is {}",
                    HexEncode(header_.old_sha256), HexEncode(actual)));
  return absl::OkStatus();
}

absl::Status Applier::Impl::ResumeFromState() {
  for (uint64_t at = 0; at < resume_.new_offset;) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const size_t n = std::min<uint64_t>(kIoSize, resume_.new_offset - at);
    SHOAL_RETURN_IF_ERROR(options_.read_new(at, old_io_.data(), n));
    digest_.Update({old_io_.data(), n});
    at += n;
  }
  if (crypto::Sha256(digest_).Finish() != resume_.digest)
    return BadResume("what was written before is not there any more");
  while (patch_offset_ < resume_.patch_offset) {
    const size_t n =
        std::min<uint64_t>(kIoSize, resume_.patch_offset - patch_offset_);
    SHOAL_RETURN_IF_ERROR(ReadExactly(old_io_.data(), n));
  }
  written_ = reported_ = resume_.new_offset;
  return absl::OkStatus();
}

absl::Status Applier::Impl::Run() {
  if (ran_) return FailedPrecondition("bad_argument", "Run() is called twice");
  ran_ = true;
  SHOAL_RETURN_IF_ERROR(Allocate());
  SHOAL_RETURN_IF_ERROR(CheckBase());
  if (!options_.resume_state.empty()) SHOAL_RETURN_IF_ERROR(ResumeFromState());
  while (written_ < header_.new_size) {
    SHOAL_RETURN_IF_ERROR(ReadWindow());
    SHOAL_RETURN_IF_ERROR(Flush());
    if (options_.checkpoint) SHOAL_RETURN_IF_ERROR(Checkpoint());
  }
  char one;
  SHOAL_ASSIGN_OR_RETURN(const size_t more, options_.read_patch(&one, 1));
  if (more != 0) return Corrupt("bytes follow after the last window");
  const std::string actual = digest_.Finish();
  if (actual != header_.new_sha256)
    return DataLoss(
        "wrong_result",
        fmt::format("the result has the digest {}, expected is {}",
                    HexEncode(actual), HexEncode(header_.new_sha256)));
  return absl::OkStatus();
}

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
  return Corrupt("a number in a window's header is malformed");
}

absl::StatusOr<WindowHeader> Applier::Impl::ReadWindowHeader(
    std::string& record) {
  SHOAL_ASSIGN_OR_RETURN(const uint8_t flags, ReadByte(record));
  if (flags != 0)
    return MakeError(absl::StatusCode::kUnimplemented, "unsupported_delta",
                     fmt::format("window flags {} are not known here", flags));
  WindowHeader window;
  SHOAL_ASSIGN_OR_RETURN(window.new_size, ReadVarint(record));
  if (window.new_size == 0) return Corrupt("a window makes nothing");
  if (window.new_size > header_.new_size - written_) return TooLarge();
  uint64_t room = header_.window_size;
  for (SectionInfo& s : window.sections) {
    SHOAL_ASSIGN_OR_RETURN(s.raw_size, ReadVarint(record));
    // Before anything is read or made from it: the bound of all buffers.
    if (s.raw_size > room) return Corrupt("a window is larger than declared");
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
      return Corrupt("a compressed section is not smaller than its content");
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
    return Corrupt(fmt::format("the window at byte {} of the result is damaged",
                               written_));
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
        return Corrupt(fmt::format(
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
    if (!word) return Corrupt("an instruction is malformed");
    const Op op = static_cast<Op>(*word & 3);
    const uint64_t argument = *word >> 2;
    if (op == Op::kSeek) {
      // Both lie below 2^62: no overflow.
      const int64_t to =
          static_cast<int64_t>(old_position_) + Unzigzag(argument);
      if (to < 0 || static_cast<uint64_t>(to) > header_.old_size)
        return Corrupt("an instruction seeks outside the base");
      old_position_ = static_cast<uint64_t>(to);
      continue;
    }
    if (argument == 0) return Corrupt("an instruction does nothing");
    if (argument > end - written_) return TooLarge();
    if (op == Op::kExtra) {
      if (argument > extra.size())
        return Corrupt("an instruction takes more extra bytes than there are");
      SHOAL_RETURN_IF_ERROR(Emit(extra.substr(0, argument)));
      extra.remove_prefix(argument);
      continue;
    }
    if (argument > header_.old_size - old_position_)
      return Corrupt("an instruction reads outside the base");
    if (op == Op::kAdd && argument > diff.size())
      return Corrupt("an instruction takes more diff bytes than there are");
    SHOAL_RETURN_IF_ERROR(FromBase(argument, op == Op::kAdd ? &diff : nullptr));
  }
  if (written_ != end || !diff.empty() || !extra.empty())
    return Corrupt("a window's instructions and lengths do not agree");
  return absl::OkStatus();
}

// `length` bytes of the base at old_position_, plus those of `diff` if given.
absl::Status Applier::Impl::FromBase(uint64_t length, std::string_view* diff) {
  while (length > 0) {
    const size_t n = std::min<uint64_t>(kIoSize, length);
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

absl::Status Applier::Impl::Emit(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), out_.size() - out_used_);
    memcpy(out_.data() + out_used_, bytes.data(), n);
    out_used_ += n;
    written_ += n;
    bytes.remove_prefix(n);
    if (out_used_ == out_.size()) SHOAL_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::Flush() {
  if (out_used_ > 0) {
    SHOAL_RETURN_IF_ERROR(CheckCancelled());
    const std::string_view bytes(out_.data(), out_used_);
    digest_.Update(bytes);
    out_used_ = 0;
    SHOAL_RETURN_IF_ERROR(options_.write_new(bytes));
  }
  if (options_.progress &&
      (written_ - reported_ >= kProgressStep || written_ == header_.new_size)) {
    reported_ = written_;
    return options_.progress(written_);
  }
  return absl::OkStatus();
}

absl::Status Applier::Impl::Checkpoint() {
  std::string state(kStateMagic);
  state += header_checksum_;
  AppendBigEndian(state, patch_offset_, 8);
  AppendBigEndian(state, written_, 8);
  state += crypto::Sha256(digest_).Finish();
  state += crypto::Sha256Digest(state).substr(0, kChecksumSize);
  return options_.checkpoint(written_, state);
}

Applier::Applier(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Applier::~Applier() = default;
const Header& Applier::header() const { return impl_->header(); }
uint64_t Applier::resume_offset() const { return impl_->resume_offset(); }
absl::Status Applier::Run() { return impl_->Run(); }

absl::StatusOr<std::unique_ptr<Applier>> Applier::Create(ApplyOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  SHOAL_RETURN_IF_ERROR(impl->ReadHeader());
  return std::unique_ptr<Applier>(new Applier(std::move(impl)));
}

}  // namespace shoal::delta
