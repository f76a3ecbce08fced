#include "delta/make/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "common/files.h"
#include "common/status.h"
#include "delta/format/format.h"

namespace shoal::delta {

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(
    const std::string& path) {
  FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  // lseek and not fstat: block devices have a size too.
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  if (size < 0) return ErrnoError(errno, "size of " + path);
  if (static_cast<uint64_t>(size) > kMaxImageSize)
    return InvalidArgument("bad_argument", path + " is too large");
  if (size == 0) return std::unique_ptr<MappedFile>(new MappedFile({}));
  void* map = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_PRIVATE,
                   fd.get(), 0);
  if (map == MAP_FAILED) return ErrnoError(errno, "map " + path);
  return std::unique_ptr<MappedFile>(new MappedFile(
      {static_cast<const char*>(map), static_cast<size_t>(size)}));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

void MappedFile::Release() const {
  // Only advice: nothing is lost when it is not taken.
  if (!bytes_.empty())
    (void)madvise(const_cast<char*>(bytes_.data()), bytes_.size(),
                  MADV_DONTNEED);
}

}  // namespace shoal::delta
