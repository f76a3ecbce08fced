#include "dht/swarm/fetch/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {
namespace {

constexpr std::string_view kMagic = "shoal-partial-1\n";
constexpr size_t kSlice = 4 * 1024 * 1024;
constexpr size_t kReadBuffer = 256 * 1024;

// Names the artifact and its division, so that another's bits are not taken.
std::string StateHeader(const Artifact& artifact) {
  std::string header(kMagic);
  header += artifact.file_root;
  header += artifact.sha256;
  AppendBigEndian(header, artifact.length, 8);
  AppendBigEndian(header, artifact.piece_length, 4);
  return header;
}

}  // namespace

PartialFile::PartialFile(const Artifact& artifact, std::string state_path,
                         FileDescriptor file)
    : artifact_(artifact),
      state_path_(std::move(state_path)),
      file_(std::move(file)),
      present_((artifact.length + artifact.piece_length - 1) /
               artifact.piece_length),
      trusted_(present_.size()) {}

absl::StatusOr<std::unique_ptr<PartialFile>> PartialFile::Open(
    const Artifact& artifact, const std::string& path,
    const std::string& state_path) {
  FileDescriptor file(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return ErrnoError(errno, "open " + path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return ErrnoError(errno, "fstat " + path);
  if (!S_ISREG(info.st_mode)) {
    return FailedPrecondition("bad_job", path + " is not a regular file");
  }
  auto size = static_cast<uint64_t>(info.st_size);
  if (size > artifact.length) {
    if (ftruncate(file.get(), static_cast<off_t>(artifact.length)) != 0) {
      return ErrnoError(errno, "ftruncate " + path);
    }
    size = artifact.length;
  }
  std::unique_ptr<PartialFile> partial(
      new PartialFile(artifact, state_path, std::move(file)));
  partial->LoadState(size);
  return partial;
}

void PartialFile::LoadState(uint64_t size_on_disk) {
  const std::string header = StateHeader(artifact_);
  const size_t bytes = (present_.size() + 7) / 8;
  auto state = RealFileSystem().Read(state_path_, header.size() + bytes);
  if (state.ok() && state->size() == header.size() + bytes &&
      state->starts_with(header)) {
    for (size_t i = 0; i < present_.size(); ++i) {
      const auto byte =
          static_cast<unsigned char>((*state)[header.size() + i / 8]);
      if ((byte >> (i % 8) & 1) != 0 && PieceEnd(i) <= size_on_disk) {
        MarkPresent(i);
      }
    }
    may_be_complete_ = Complete();
    return;
  }
  if (!state.ok() && !absl::IsNotFound(state.status())) {
    LogWarn("partial_state_unreadable", {{"error", state.status()}});
  }
  // Without the small file a shorter file was probably written from its
  // start; one of full length may be finished or have holes: hash it first.
  may_be_complete_ = size_on_disk == artifact_.length;
  if (may_be_complete_) return;
  for (size_t i = 0; i < present_.size() && PieceEnd(i) <= size_on_disk; ++i) {
    MarkPresent(i);
  }
}

uint64_t PartialFile::PieceEnd(size_t piece) const {
  return std::min<uint64_t>((piece + 1) * uint64_t{artifact_.piece_length},
                            artifact_.length);
}

void PartialFile::MarkPresent(size_t piece) {
  if (present_[piece]) return;
  present_[piece] = true;
  ++present_count_;
  dirty_ = true;
}

uint64_t PartialFile::PresentBytes() const {
  uint64_t bytes = uint64_t{present_count_} * artifact_.piece_length;
  if (!present_.empty() && present_.back()) {
    bytes -=
        present_.size() * uint64_t{artifact_.piece_length} - artifact_.length;
  }
  return bytes;
}

bool PartialFile::AllTrusted() const {
  return std::find(trusted_.begin(), trusted_.end(), false) == trusted_.end();
}

std::optional<PartialFile::Run> PartialFile::FirstMissing() const {
  const auto first = std::find(present_.begin(), present_.end(), false);
  if (first == present_.end()) return std::nullopt;
  const auto last = std::find(first, present_.end(), true);
  const auto begin = static_cast<size_t>(first - present_.begin());
  const auto end = static_cast<size_t>(last - present_.begin());
  return Run{begin * uint64_t{artifact_.piece_length}, PieceEnd(end - 1)};
}

void PartialFile::SetTrusted(const std::vector<bool>& have, bool replaced) {
  for (size_t i = 0; i < present_.size(); ++i) {
    const bool verified = i < have.size() && have[i];
    trusted_[i] = verified;
    if (verified) {
      MarkPresent(i);
    } else if (replaced && present_[i]) {
      present_[i] = false;
      --present_count_;
      dirty_ = true;
    }
  }
}

absl::Status PartialFile::Write(uint64_t offset, std::string_view bytes) {
  if (offset != write_end_) write_begin_ = write_end_ = offset;
  while (!bytes.empty() && offset < artifact_.length) {
    const auto piece = static_cast<size_t>(offset / artifact_.piece_length);
    const uint64_t piece_begin = piece * uint64_t{artifact_.piece_length};
    const auto take = static_cast<size_t>(
        std::min<uint64_t>(bytes.size(), PieceEnd(piece) - offset));
    if (!present_[piece]) {
      size_t done = 0;
      while (done < take) {
        const ssize_t n = pwrite(file_.get(), bytes.data() + done, take - done,
                                 static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ErrnoError(errno, "write to the output file");
        done += static_cast<size_t>(n);
      }
    }
    offset += take;
    bytes.remove_prefix(take);
    if (offset == PieceEnd(piece) && write_begin_ <= piece_begin) {
      MarkPresent(piece);
    }
    write_end_ = offset;
  }
  return absl::OkStatus();
}

absl::Status PartialFile::Save() {
  if (!dirty_) return absl::OkStatus();
  std::string state = StateHeader(artifact_);
  const size_t header = state.size();
  state.resize(header + (present_.size() + 7) / 8);
  for (size_t i = 0; i < present_.size(); ++i) {
    if (present_[i]) {
      state[header + i / 8] =
          static_cast<char>(state[header + i / 8] | (1 << (i % 8)));
    }
  }
  // No fsync: after a power cut wrong bits cost a second transfer, the whole
  // file is hashed before it counts.
  const std::string temporary = state_path_ + ".new";
  FileDescriptor file(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid()) return ErrnoError(errno, "open " + temporary);
  if (write(file.get(), state.data(), state.size()) !=
      static_cast<ssize_t>(state.size())) {
    return ErrnoError(errno, "write " + temporary);
  }
  if (rename(temporary.c_str(), state_path_.c_str()) != 0) {
    return ErrnoError(errno, "rename " + temporary);
  }
  dirty_ = false;
  return absl::OkStatus();
}

void PartialFile::RemoveState() {
  if (unlink(state_path_.c_str()) != 0 && errno != ENOENT) {
    LogWarn("partial_state_stays", {{"path", state_path_}});
  }
}

uint64_t PartialFile::DiscardUntrusted() {
  const bool all = AllTrusted();
  uint64_t discarded = 0;
  for (size_t i = 0; i < present_.size(); ++i) {
    if (!present_[i] || (trusted_[i] && !all)) continue;
    present_[i] = false;
    trusted_[i] = false;
    --present_count_;
    discarded += PieceEnd(i) - i * uint64_t{artifact_.piece_length};
  }
  may_be_complete_ = false;
  dirty_ = true;
  write_begin_ = write_end_ = 0;
  return discarded;
}

void PartialFile::RestartVerify() {
  hash_ = crypto::Sha256();
  hashed_ = 0;
}

absl::StatusOr<std::optional<bool>> PartialFile::VerifySlice() {
  std::string buffer(kReadBuffer, '\0');
  for (size_t done = 0; done < kSlice && hashed_ < artifact_.length;) {
    const auto want = static_cast<size_t>(
        std::min<uint64_t>(buffer.size(), artifact_.length - hashed_));
    const ssize_t n =
        pread(file_.get(), buffer.data(), want, static_cast<off_t>(hashed_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read of the output file");
    if (n == 0) return std::optional<bool>(false);  // shorter than it was
    hash_.Update(std::string_view(buffer.data(), static_cast<size_t>(n)));
    hashed_ += static_cast<uint64_t>(n);
    done += static_cast<size_t>(n);
  }
  if (hashed_ < artifact_.length) return std::optional<bool>();
  const bool right = hash_.Finish() == artifact_.sha256;
  hashed_ = 0;
  if (right && fsync(file_.get()) != 0) {
    return ErrnoError(errno, "fsync of the output file");
  }
  return std::optional<bool>(right);
}

}  // namespace shoal::dht
