#include "delta/make/patch_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "common/status.h"

namespace shoal::delta {

absl::StatusOr<std::unique_ptr<PatchFile>> PatchFile::Create(
    const std::string& path) {
  std::string temporary = path + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "make " + temporary);
  return std::unique_ptr<PatchFile>(new PatchFile(path, temporary, fd));
}

PatchFile::~PatchFile() {
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

absl::Status PatchFile::Append(std::string_view bytes) {
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

absl::Status PatchFile::Commit() {
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

}  // namespace shoal::delta
