#include "signing/verify/memory_fetcher.h"

#include <algorithm>
#include <charconv>

#include "common/status.h"

namespace shoal::signing {

void MemoryFetcher::AddMetadata(std::string name, std::string_view bytes) {
  uint64_t version = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), version);
  std::string_view role(name);
  role.remove_prefix(static_cast<size_t>(end - name.data()));
  if (error == std::errc() && role.starts_with('.') &&
      role.ends_with(".json") && role.size() > 6) {
    role.remove_prefix(1);
    role.remove_suffix(5);
    uint64_t& newest = newest_[std::string(role)];
    newest = std::max(newest, version);
  }
  files_[std::move(name)] = bytes;
}

void MemoryFetcher::AddDocument(std::string path, std::string_view bytes) {
  documents_[std::move(path)] = bytes;
}

void MemoryFetcher::AddLog(std::string name, std::string_view bytes) {
  files_["log/" + std::move(name)] = bytes;
}

absl::StatusOr<std::string> MemoryFetcher::FetchLog(const std::string& name,
                                                    size_t source, uint64_t) {
  const auto it = files_.find("log/" + name);
  if (source > 0 || it == files_.end())
    return NotFound("no_more_sources", name + " was not given");
  return std::string(it->second);
}

absl::StatusOr<std::string> MemoryFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version, uint64_t) {
  std::string name = MetadataFileName(role, version);
  if (!version && !files_.contains(name))
    if (const auto newest = newest_.find(std::string(role));
        newest != newest_.end())
      name = MetadataFileName(role, newest->second);
  const auto it = files_.find(name);
  if (it == files_.end())
    return NotFound("metadata_missing", name + " is not among the files given");
  return std::string(it->second);
}

absl::StatusOr<std::string> MemoryFetcher::FetchTarget(
    const TargetFile& target) {
  const auto it = documents_.find(target.path);
  if (it == documents_.end())
    return NotFound("metadata_missing",
                    target.path + " is named by metadata but was not given");
  return std::string(it->second);
}

}  // namespace shoal::signing
