#include "signing/log/directory.h"

#include <charconv>
#include <utility>

#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::signing {

absl::StatusOr<std::unique_ptr<LogDirectory>> LogDirectory::Open(
    FileSystem& fs, const std::string& directory) {
  auto log = std::unique_ptr<LogDirectory>(new LogDirectory(fs, directory));
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(directory, "entries")));
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(directory, "tile")));
  if (const auto text = fs.Read(JoinPath(directory, "size"), 32); text.ok()) {
    uint64_t size = 0;
    const char* end = text->data() + text->size();
    const auto parsed = std::from_chars(text->data(), end, size);
    if (parsed.ec == std::errc() && parsed.ptr + 1 == end &&
        *parsed.ptr == '\n' && size <= kMaxLogSize)
      log->size_ = size;
  }
  return log;
}

absl::StatusOr<std::string> LogDirectory::File(const std::string& name) const {
  return fs_.Read(JoinPath(directory_, name), kMaxLogBundleBytes);
}

ReadLogNode LogDirectory::Nodes() const {
  return NodesFromTiles([this](const std::string& name) { return File(name); });
}

absl::StatusOr<std::string> LogDirectory::Root() const {
  return LogRoot(size_, Nodes());
}

absl::StatusOr<LogDirectory::Extension> LogDirectory::Extend(
    const std::vector<std::string>& leaves) const {
  Extension next;
  next.size = size_ + leaves.size();
  std::vector<std::string> hashes;
  for (const std::string& leaf : leaves) hashes.push_back(LogLeafHash(leaf));
  const ReadLogNode nodes = Nodes();
  SHOAL_ASSIGN_OR_RETURN(next.files, TilesAfter(size_, hashes, nodes));
  SHOAL_ASSIGN_OR_RETURN(LogFrontier frontier, LogFrontier::Read(size_, nodes));
  for (std::string& hash : hashes)
    frontier.Append(std::move(hash), [](int, uint64_t, const std::string&) {});
  next.root = frontier.Root();
  uint64_t index = size_;
  for (size_t i = 0; i < leaves.size();) {
    const uint64_t bundle = index / kLogBundle;
    std::vector<std::string> content;
    if (index % kLogBundle != 0) {
      SHOAL_ASSIGN_OR_RETURN(const std::string old,
                             File(LogEntriesName(bundle)));
      SHOAL_ASSIGN_OR_RETURN(content, ParseLogEntries(old));
      // A crash may have left more than counts.
      if (content.size() < index % kLogBundle)
        return DataLoss("bad_log_entries",
                        LogEntriesName(bundle) + " is short");
      content.resize(index % kLogBundle);
    }
    for (; i < leaves.size() && content.size() < kLogBundle; ++i, ++index)
      content.push_back(leaves[i]);
    next.files[LogEntriesName(bundle)] = EncodeLogEntries(content);
  }
  return next;
}

absl::Status LogDirectory::Write(const Extension& extension) {
  for (const auto& [name, bytes] : extension.files) {
    const std::string path = JoinPath(directory_, name);
    SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(path.substr(0, path.rfind('/'))));
    SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(path, bytes));
  }
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(JoinPath(directory_, "size"),
                                        std::to_string(extension.size) + "\n"));
  size_ = extension.size;
  return absl::OkStatus();
}

absl::Status LogDirectory::Clear() {
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(JoinPath(directory_, "size"), "0\n"));
  size_ = 0;
  return absl::OkStatus();
}

}  // namespace shoal::signing
