#include "delta/make/make.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/make/block_match.h"
#include "delta/make/mapped_file.h"
#include "delta/make/matcher.h"
#include "delta/make/plan.h"
#include "delta/make/window_writer.h"

namespace shoal::delta {
namespace {

// Below this many unexplained bytes a suffix array costs more time than the
// few bytes it could save.
constexpr uint64_t kWorthASuffixArray = 64;

absl::Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "cancelled",
                   "making the delta was cancelled");
}

bool IsCancelled(const MakeOptions& options) {
  return options.cancel != nullptr && options.cancel->load();
}

absl::StatusOr<std::string> Digest(std::string_view bytes,
                                   const MakeOptions& options) {
  crypto::Sha256 digest;
  for (size_t at = 0; at < bytes.size(); at += 1 << 20) {
    if (IsCancelled(options)) return Cancelled();
    digest.Update(bytes.substr(at, 1 << 20));
  }
  return digest.Finish();
}

struct UnitResult {
  absl::Status status;
  std::string bytes;
  uint64_t windows = 0, copied = 0;
};

UnitResult MakeUnitOrThrow(std::string_view old_image,
                           std::string_view new_image, const Unit& unit,
                           const std::string& header_checksum,
                           const MakeOptions& options) {
  UnitResult result;
  const Piece& first = unit.pieces.front();
  const uint64_t start = first.copy ? first.copy->new_at : first.gap.begin;
  WindowWriter writer(old_image, new_image, header_checksum,
                      options.window_size, options.zstd_level, start,
                      &result.bytes);
  const Matcher matcher(old_image, unit.old_ranges,
                        unit.gap_bytes >= kWorthASuffixArray);
  const auto run = [&]() -> absl::Status {
    for (const Piece& piece : unit.pieces) {
      if (IsCancelled(options)) return Cancelled();
      if (piece.copy) {
        SHOAL_RETURN_IF_ERROR(
            writer.AddCopy(piece.copy->old_at, piece.copy->size));
        continue;
      }
      uint64_t at = piece.gap.begin;
      const std::vector<Match> alignments =
          matcher.FindAlignments(new_image, piece.gap, options.cancel);
      for (const Match& m : alignments) {
        if (IsCancelled(options)) return Cancelled();
        SHOAL_RETURN_IF_ERROR(writer.AddNew(m.new_at - at));
        SHOAL_RETURN_IF_ERROR(writer.AddAligned(m.old_at, m.size));
        at = m.new_at + m.size;
      }
      SHOAL_RETURN_IF_ERROR(writer.AddNew(piece.gap.end - at));
    }
    return writer.Finish();
  };
  result.status = run();
  result.windows = writer.windows();
  result.copied = writer.copied();
  return result;
}

UnitResult MakeUnit(std::string_view old_image, std::string_view new_image,
                    const Unit& unit, const std::string& header_checksum,
                    const MakeOptions& options) {
  try {
    return MakeUnitOrThrow(old_image, new_image, unit, header_checksum,
                           options);
  } catch (const std::bad_alloc&) {
    UnitResult result;
    result.status = ResourceExhausted(
        "out_of_memory", "no memory for a segment: make segment_size smaller");
    return result;
  }
}

// Makes units on several threads and hands them out in order. At most two
// finished units a thread wait to be taken, so that memory stays bounded.
class UnitPool {
 public:
  using Work = std::function<UnitResult(size_t)>;
  UnitPool(size_t units, int threads, Work work)
      : results_(units), work_(std::move(work)) {
    const size_t count = std::min<size_t>(static_cast<size_t>(threads), units);
    ahead_ = count * 2;
    for (size_t i = 0; i < count; ++i)
      threads_.emplace_back([this] { RunWorker(); });
  }
  ~UnitPool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  // Blocks until unit number `i` is made; i = 0, 1, 2 … once each.
  UnitResult Take(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return results_[i] != nullptr; });
    UnitResult result = std::move(*results_[i]);
    results_[i].reset();
    taken_ = i + 1;
    changed_.notify_all();
    return result;
  }

 private:
  void RunWorker() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] {
        return stop_ || next_ >= results_.size() || next_ < taken_ + ahead_;
      });
      if (stop_ || next_ >= results_.size()) return;
      const size_t i = next_++;
      lock.unlock();
      auto result = std::make_unique<UnitResult>(work_(i));
      lock.lock();
      results_[i] = std::move(result);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<UnitResult>> results_;
  Work work_;
  size_t ahead_ = 0, next_ = 0, taken_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

// The patch while it is made: a temporary file that is gone unless Commit().
class PatchFile {
 public:
  static absl::StatusOr<std::unique_ptr<PatchFile>> Create(
      const std::string& path) {
    std::string temporary = path + ".XXXXXX";
    const int fd = mkostemp(temporary.data(), O_CLOEXEC);
    if (fd < 0) return ErrnoError(errno, "make " + temporary);
    return std::unique_ptr<PatchFile>(new PatchFile(path, temporary, fd));
  }
  ~PatchFile() {
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  absl::Status Append(std::string_view bytes) {
    digest_.Update(bytes);
    size_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t n = write(fd_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "write " + temporary_);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }
  absl::Status Commit() {
    if (fchmod(fd_.get(), 0644) != 0 || fsync(fd_.get()) != 0)
      return ErrnoError(errno, "sync " + temporary_);
    if (rename(temporary_.c_str(), path_.c_str()) != 0)
      return ErrnoError(errno, "rename to " + path_);
    temporary_.clear();
    const size_t slash = path_.rfind('/');
    return SyncDirectory(slash == std::string::npos ? "."
                         : slash == 0               ? "/"
                                                    : path_.substr(0, slash));
  }
  const std::string& temporary() const { return temporary_; }
  uint64_t size() const { return size_; }
  std::string Digest() { return digest_.Finish(); }

 private:
  PatchFile(std::string path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}
  std::string path_, temporary_;
  FileDescriptor fd_;
  uint64_t size_ = 0;
  crypto::Sha256 digest_;
};

// Applies the patch and compares each byte with the new image.
absl::Status SelfCheck(const std::string& patch_path, const Header& header,
                       std::string_view old_image, std::string_view new_image,
                       const MakeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(auto patch, MappedFile::Open(patch_path));
  std::string_view rest = patch->bytes();
  uint64_t written = 0;
  ApplyOptions apply;
  apply.read_patch = [&](char* buffer, size_t size) -> absl::StatusOr<size_t> {
    const size_t n = std::min(size, rest.size());
    memcpy(buffer, rest.data(), n);
    rest.remove_prefix(n);
    return n;
  };
  apply.read_old = [&](uint64_t at, char* buffer, size_t size) {
    memcpy(buffer, old_image.data() + at, size);
    return absl::OkStatus();
  };
  apply.write_new = [&](std::string_view bytes) -> absl::Status {
    if (new_image.substr(written, bytes.size()) != bytes)
      return Internal(
          "delta_self_check",
          fmt::format("the patch gives other bytes near {}", written));
    written += bytes.size();
    return absl::OkStatus();
  };
  apply.old_size = old_image.size();
  apply.expected_size = header.new_size;
  apply.expected_sha256 = header.new_sha256;
  apply.max_memory = header.reader_memory;
  apply.cancel = options.cancel;
  SHOAL_ASSIGN_OR_RETURN(auto applier, Applier::Create(std::move(apply)));
  const absl::Status status = applier->Run();
  if (status.ok() || ReasonOf(status) == "cancelled") return status;
  return Internal("delta_self_check",
                  fmt::format("the patch does not apply ({}); did an image "
                              "change while it was read?",
                              ReasonOf(status)));
}

absl::Status CheckOptions(const MakeOptions& options) {
  if (options.threads < 1 || options.threads > 64)
    return InvalidArgument("bad_argument", "threads is 1 to 64");
  if (options.window_size < kMinWindowSize ||
      options.window_size > kMaxWindowSize)
    return InvalidArgument("bad_argument", "window_size is 4 KiB to 64 MiB");
  if (options.segment_size < (64u << 10) || options.segment_size > (256u << 20))
    return InvalidArgument("bad_argument", "segment_size is 64 KiB to 256 MiB");
  if (options.zstd_level < 1 || options.zstd_level > 22)
    return InvalidArgument("bad_argument", "zstd_level is 1 to 22");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MakeStats> MakeDelta(const MakeOptions& options,
                                    const std::string& old_path,
                                    const std::string& new_path,
                                    const std::string& patch_path) {
  SHOAL_RETURN_IF_ERROR(CheckOptions(options));
  SHOAL_ASSIGN_OR_RETURN(auto old_file, MappedFile::Open(old_path));
  SHOAL_ASSIGN_OR_RETURN(auto new_file, MappedFile::Open(new_path));
  const std::string_view old_image = old_file->bytes();
  const std::string_view new_image = new_file->bytes();

  Header header;
  header.old_size = old_image.size();
  header.new_size = new_image.size();
  header.window_size = options.window_size;
  header.reader_memory =
      static_cast<uint32_t>(ReaderMemory(options.window_size));
  SHOAL_ASSIGN_OR_RETURN(header.old_sha256, Digest(old_image, options));
  SHOAL_ASSIGN_OR_RETURN(header.new_sha256, Digest(new_image, options));
  const std::string encoded = EncodeHeader(header);
  const std::string checksum = encoded.substr(kHeaderSize - kChecksumSize);

  const BlockMatches matches =
      FindBlockMatches(old_image, new_image, options.cancel);
  if (IsCancelled(options)) return Cancelled();
  const std::vector<Unit> units = MakePlan(old_image.size(), new_image.size(),
                                           matches, options.segment_size);

  SHOAL_ASSIGN_OR_RETURN(auto patch, PatchFile::Create(patch_path));
  SHOAL_RETURN_IF_ERROR(patch->Append(encoded));
  MakeStats stats;
  {
    UnitPool pool(units.size(), options.threads, [&](size_t i) {
      return MakeUnit(old_image, new_image, units[i], checksum, options);
    });
    for (size_t i = 0; i < units.size(); ++i) {
      const UnitResult result = pool.Take(i);
      SHOAL_RETURN_IF_ERROR(result.status);
      SHOAL_RETURN_IF_ERROR(patch->Append(result.bytes));
      stats.windows += result.windows;
      stats.copied += result.copied;
      if (options.progress)
        options.progress(units[i].new_end, new_image.size());
    }
  }
  if (options.verify)
    SHOAL_RETURN_IF_ERROR(
        SelfCheck(patch->temporary(), header, old_image, new_image, options));
  stats.patch_size = patch->size();
  stats.patch_sha256 = patch->Digest();
  SHOAL_RETURN_IF_ERROR(patch->Commit());
  stats.old_size = header.old_size;
  stats.new_size = header.new_size;
  stats.old_sha256 = header.old_sha256;
  stats.new_sha256 = header.new_sha256;
  stats.reader_memory = header.reader_memory;
  return stats;
}

}  // namespace shoal::delta
