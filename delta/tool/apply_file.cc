#include "delta/tool/apply_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "delta/apply/apply.h"
#include "delta/apply/bsdiff40.h"

namespace shoal::delta {
namespace {

absl::Status PreadExactly(int fd, uint64_t at, char* buffer, size_t size) {
  while (size > 0) {
    const ssize_t n = pread(fd, buffer, size, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read");
    if (n == 0) return DataLoss("io_error", "a file became shorter");
    buffer += n;
    at += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> Open(const std::string& path, int flags) {
  FileDescriptor fd(open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  return fd;
}

absl::StatusOr<uint64_t> SizeOf(int fd, const std::string& path) {
  const off_t size = lseek(fd, 0, SEEK_END);
  if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
    return ErrnoError(errno, "size of " + path);
  return static_cast<uint64_t>(size);
}

// The open files of one job.
class FileJob {
 public:
  explicit FileJob(const ApplyFileJob& job) : job_(job) {}

  absl::StatusOr<AppliedFile> Run() {
    SHOAL_ASSIGN_OR_RETURN(patch_, Open(job_.patch_path, O_RDONLY));
    SHOAL_ASSIGN_OR_RETURN(patch_size_, SizeOf(patch_.get(), job_.patch_path));
    SHOAL_ASSIGN_OR_RETURN(old_, Open(job_.old_path, O_RDONLY));
    SHOAL_ASSIGN_OR_RETURN(old_size_, SizeOf(old_.get(), job_.old_path));
    const size_t head_size = std::min<uint64_t>(kHeaderSize, patch_size_);
    std::string head(head_size, '\0');
    SHOAL_RETURN_IF_ERROR(
        PreadExactly(patch_.get(), 0, head.data(), head_size));
    // Exclusive: the base must not be the result, nor a good file be lost.
    SHOAL_ASSIGN_OR_RETURN(new_,
                           Open(job_.new_path, O_RDWR | O_CREAT | O_EXCL));
    auto result = IsBsdiff40(head) ? RunBsdiff40(head) : RunSdelta(head);
    if (result.ok() && fsync(new_.get()) != 0)
      result = ErrnoError(errno, "sync " + job_.new_path);
    if (!result.ok()) unlink(job_.new_path.c_str());
    return result;
  }

 private:
  absl::StatusOr<AppliedFile> RunSdelta(std::string_view head) {
    SHOAL_ASSIGN_OR_RETURN(const Header header, ParseHeader(head));
    ApplyOptions options;
    options.read_patch = [this](char* buffer,
                                size_t size) -> absl::StatusOr<size_t> {
      for (;;) {
        const ssize_t n = read(patch_.get(), buffer, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return ErrnoError(errno, "read the patch");
        return static_cast<size_t>(n);
      }
    };
    options.read_old = [this](uint64_t at, char* buffer, size_t size) {
      return PreadExactly(old_.get(), at, buffer, size);
    };
    options.write_new = [this](std::string_view bytes) { return Write(bytes); };
    options.progress = [&](uint64_t written) {
      if (job_.progress) job_.progress(written, header.new_size);
      return absl::OkStatus();
    };
    options.old_size = old_size_;
    options.expected_size = header.new_size;
    options.expected_sha256 = header.new_sha256;
    options.max_memory = job_.max_memory;
    SHOAL_ASSIGN_OR_RETURN(auto applier, Applier::Create(std::move(options)));
    SHOAL_RETURN_IF_ERROR(applier->Run());
    return AppliedFile{header.new_size, header.new_sha256};
  }

  // The format holds no digest: what is made is hashed, not compared.
  absl::StatusOr<AppliedFile> RunBsdiff40(std::string_view head) {
    SHOAL_ASSIGN_OR_RETURN(const Bsdiff40Header header,
                           ParseBsdiff40Header(head, patch_size_));
    crypto::Sha256 digest;
    Bsdiff40Options options;
    options.read_patch = [this](uint64_t at, char* buffer, size_t size) {
      return PreadExactly(patch_.get(), at, buffer, size);
    };
    options.patch_size = patch_size_;
    options.read_old = [this](uint64_t at, char* buffer, size_t size) {
      return PreadExactly(old_.get(), at, buffer, size);
    };
    options.old_size = old_size_;
    options.write_new = [&](std::string_view bytes) {
      digest.Update(bytes);
      return Write(bytes);
    };
    options.progress = [&](uint64_t written) {
      if (job_.progress) job_.progress(written, header.new_size);
      return absl::OkStatus();
    };
    options.expected_size = header.new_size;
    options.max_memory = job_.max_memory;
    SHOAL_RETURN_IF_ERROR(ApplyBsdiff40(options));
    return AppliedFile{header.new_size, digest.Finish()};
  }

  absl::Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = write(new_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "write " + job_.new_path);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  const ApplyFileJob& job_;
  FileDescriptor patch_, old_, new_;
  uint64_t patch_size_ = 0, old_size_ = 0;
};

}  // namespace

absl::StatusOr<AppliedFile> ApplyFile(const ApplyFileJob& job) {
  return FileJob(job).Run();
}

}  // namespace shoal::delta
