#include "server/trust/memory_files.h"

#include <cerrno>

#include "common/status.h"

namespace shoal::server {

MemoryFiles::MemoryFiles(const MemoryFiles& other) : FileSystem() {
  std::lock_guard lock(other.mutex_);
  files_ = other.files_;
  directories_ = other.directories_;
}

absl::StatusOr<std::string> MemoryFiles::Read(const std::string& path,
                                              uint64_t max_bytes) {
  std::lock_guard lock(mutex_);
  const auto it = files_.find(path);
  if (it == files_.end()) return ErrnoError(ENOENT, "read " + path);
  if (it->second.size() > max_bytes) {
    return ResourceExhausted("file_too_large", path + " is too large");
  }
  return it->second;
}

absl::Status MemoryFiles::WriteAtomic(const std::string& path,
                                      std::string_view content, unsigned) {
  std::lock_guard lock(mutex_);
  files_[path] = std::string(content);
  return absl::OkStatus();
}

absl::Status MemoryFiles::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  files_.erase(path);
  return absl::OkStatus();
}

absl::Status MemoryFiles::MakeDirectories(const std::string& path, unsigned) {
  std::lock_guard lock(mutex_);
  directories_.insert(path);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryFiles::List(
    const std::string& path) {
  std::lock_guard lock(mutex_);
  const std::string prefix = path + "/";
  std::set<std::string> names;
  const auto add = [&](const std::string& entry) {
    if (entry.size() <= prefix.size() || entry.rfind(prefix, 0) != 0) return;
    const std::string rest = entry.substr(prefix.size());
    names.insert(rest.substr(0, rest.find('/')));
  };
  for (const auto& [file, content] : files_) add(file);
  for (const std::string& directory : directories_) add(directory);
  return std::vector<std::string>(names.begin(), names.end());
}

bool MemoryFiles::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return files_.contains(path) || directories_.contains(path);
}

absl::StatusOr<uint64_t> MemoryFiles::Size(const std::string& path) {
  std::lock_guard lock(mutex_);
  const auto it = files_.find(path);
  if (it == files_.end()) return ErrnoError(ENOENT, "size of " + path);
  return it->second.size();
}

}  // namespace shoal::server
