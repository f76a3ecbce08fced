// The mirror's files: finished downloads, names for TUF clients, deletion.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/log.h"
#include "common/status.h"
#include "dht/node/mirror_impl.h"

namespace shoal::dht::node {

// The finished download becomes a blob. Its bytes were checked by the fetcher
// and are checked once more before they are served.
absl::Status Mirror::Impl::Adopt(const std::string& sha256) {
  const std::string from = PartialPath(sha256);
  const std::string to = BlobPath(sha256);
  if (::chmod(from.c_str(), 0644) != 0)
    return ErrnoError(errno, "chmod " + from);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, "rename " + from);
  }
  return SyncDirectory(to.substr(0, to.rfind('/')));
}

// The same file under the name that a TUF client asks for.
void Mirror::Impl::LinkTarget(const Item& item) {
  if (item.wanted.target_path.empty()) return;
  const std::string path =
      JoinPath(options_.public_dir, item.wanted.target_path);
  absl::Status made = fs_.MakeDirectories(path.substr(0, path.rfind('/')));
  if (made.ok() &&
      ::link(BlobPath(item.wanted.artifact.sha256).c_str(), path.c_str()) !=
          0 &&
      errno != EEXIST) {
    made = ErrnoError(errno, "link " + path);
  }
  if (!made.ok()) LogWarn("link_target", {{"error", made}});
}

// Deletes what has been unwanted for long enough.
void Mirror::Impl::Collect() {
  std::vector<Item> gone;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = clock_.MonotonicNow();
    for (auto it = items_.begin(); it != items_.end();) {
      const Item& item = it->second;
      if (!item.unwanted_since.has_value() ||
          now - *item.unwanted_since < options_.grace) {
        ++it;
        continue;
      }
      gone.push_back(item);
      it = items_.erase(it);
    }
  }
  for (const Item& item : gone) {
    const std::string& sha256 = item.wanted.artifact.sha256;
    fetch_.Cancel(HexEncode(sha256));
    fetch_.StopSeeding(sha256);
    std::vector<std::string> paths = {BlobPath(sha256), PartialPath(sha256)};
    if (!item.wanted.target_path.empty()) {
      paths.push_back(JoinPath(options_.public_dir, item.wanted.target_path));
    }
    for (const std::string& path : paths) {
      const absl::Status removed = fs_.Remove(path);
      if (!removed.ok()) LogError("remove_blob", {{"error", removed}});
    }
    LogInfo("blob_dropped", {{"sha256", HexEncode(sha256)}});
  }
}

// Blobs of an earlier run, and documents that were replaced.
void Mirror::Impl::CollectOrphans() {
  const auto names = fs_.List(JoinPath(options_.public_dir, "blobs"));
  if (!names.ok()) return;
  std::vector<std::string> gone;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = clock_.MonotonicNow();
    std::map<std::string, absl::Duration> orphans;
    for (const std::string& name : *names) {
      const auto sha256 = HexDecode(name);
      if (!sha256.ok() || items_.contains(*sha256) ||
          seen_->documents.contains(*sha256)) {
        continue;
      }
      const auto known = orphans_.find(name);
      const absl::Duration since =
          known == orphans_.end() ? now : known->second;
      if (now - since < options_.grace) {
        orphans[name] = since;
      } else {
        gone.push_back(name);
      }
    }
    orphans_ = std::move(orphans);
  }
  for (const std::string& name : gone) {
    const absl::Status removed =
        fs_.Remove(JoinPath(options_.public_dir, "blobs/" + name));
    if (!removed.ok()) LogError("remove_blob", {{"error", removed}});
  }
}

}  // namespace shoal::dht::node
