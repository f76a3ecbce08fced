#include "server/release/blobs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::server {
namespace {

std::string Parent(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// Files below `directory`, as paths relative to it.
absl::Status ListFiles(FileSystem& fs, const std::string& directory,
                       const std::string& prefix, std::set<std::string>& out) {
  SHOAL_ASSIGN_OR_RETURN(auto names, fs.List(directory));
  for (const std::string& name : names) {
    const std::string path = JoinPath(directory, name);
    if (fs.List(path).ok()) {
      SHOAL_RETURN_IF_ERROR(ListFiles(fs, path, prefix + name + "/", out));
    } else {
      out.insert(prefix + name);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Blobs>> Blobs::Open(std::string directory,
                                                   FileSystem& fs) {
  std::unique_ptr<Blobs> blobs(new Blobs(std::move(directory), fs));
  for (const char* part : {"metadata", "targets", "blobs"}) {
    SHOAL_RETURN_IF_ERROR(
        fs.MakeDirectories(JoinPath(blobs->public_dir(), part)));
  }
  const std::string incoming = JoinPath(blobs->directory_, "incoming");
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(incoming, 0700));
  SHOAL_ASSIGN_OR_RETURN(auto leftovers, fs.List(incoming));
  for (const std::string& name : leftovers) {
    SHOAL_RETURN_IF_ERROR(fs.Remove(JoinPath(incoming, name)));
  }
  return blobs;
}

std::string Blobs::public_dir() const { return JoinPath(directory_, "public"); }

std::string Blobs::PathOf(std::string_view sha256) const {
  return public_dir() + "/blobs/" + HexEncode(sha256);
}

bool Blobs::Has(std::string_view sha256) const {
  return fs_.Exists(PathOf(sha256));
}

std::string Blobs::NewTemporary() const {
  return directory_ + "/incoming/" + HexEncode(crypto::RandomBytes(16));
}

absl::Status Blobs::Keep(const std::string& temporary,
                         std::string_view sha256) {
  const FileDescriptor fd(open(temporary.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(errno, "open " + temporary);
  if (fsync(fd.get()) != 0) return ErrnoError(errno, "fsync " + temporary);
  if (fchmod(fd.get(), 0644) != 0)
    return ErrnoError(errno, "chmod " + temporary);
  const std::string path = PathOf(sha256);
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoError(errno, "rename to " + path);
  }
  return SyncDirectory(Parent(path));
}

absl::StatusOr<std::vector<std::string>> Blobs::List() const {
  SHOAL_ASSIGN_OR_RETURN(const auto names,
                         fs_.List(JoinPath(public_dir(), "blobs")));
  std::vector<std::string> digests;
  for (const std::string& name : names) {
    // Else it is a document on its way to its name, and no blob.
    if (const auto digest = HexDecode(name);
        digest.ok() && digest->size() == 32)
      digests.push_back(*digest);
  }
  return digests;
}

absl::Status Blobs::Remove(std::string_view sha256) {
  const std::string path = PathOf(sha256);
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return ErrnoError(errno, "unlink " + path);
  return SyncDirectory(Parent(path));
}

absl::Status Blobs::Link(std::string_view sha256,
                         const std::string& tree_path) {
  const std::string path = JoinPath(public_dir(), tree_path);
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(Parent(path)));
  if (link(PathOf(sha256).c_str(), path.c_str()) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "link " + path);
  }
  return SyncDirectory(Parent(path));
}

absl::StatusOr<std::unique_ptr<signing::LogDirectory>> Blobs::OpenLog() {
  return signing::LogDirectory::Open(fs_, JoinPath(public_dir(), "log"));
}

absl::Status Blobs::Sync(const std::map<std::string, std::string>& tree,
                         const std::map<std::string, std::string>& linked) {
  constexpr char kTimestamp[] = "metadata/timestamp.json";
  const auto write = [&](const std::string& name, const std::string& bytes) {
    const std::string path = JoinPath(public_dir(), name);
    // All names but the timestamp's never change their content.
    if (name != kTimestamp && fs_.Exists(path)) return absl::OkStatus();
    SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(Parent(path)));
    return fs_.WriteAtomic(path, bytes, 0644);
  };
  for (const auto& [name, bytes] : tree) {
    if (name != kTimestamp) SHOAL_RETURN_IF_ERROR(write(name, bytes));
  }
  for (const auto& [path, sha256] : linked) {
    SHOAL_RETURN_IF_ERROR(Link(sha256, path));
  }
  if (const auto it = tree.find(kTimestamp); it != tree.end()) {
    SHOAL_RETURN_IF_ERROR(write(it->first, it->second));
  }
  std::set<std::string> present;
  for (const std::string part : {"metadata", "targets"}) {
    SHOAL_RETURN_IF_ERROR(
        ListFiles(fs_, JoinPath(public_dir(), part), part + "/", present));
  }
  for (const std::string& name : present) {
    if (tree.contains(name) || linked.contains(name)) continue;
    SHOAL_RETURN_IF_ERROR(fs_.Remove(JoinPath(public_dir(), name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<BlobWriter>> BlobWriter::Create(Blobs& blobs) {
  std::string path = blobs.NewTemporary();
  FileDescriptor fd(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "create " + path);
  return std::unique_ptr<BlobWriter>(
      new BlobWriter(blobs, std::move(path), std::move(fd)));
}

BlobWriter::~BlobWriter() {
  if (path_.empty()) return;
  if (unlink(path_.c_str()) != 0) {
    LogWarn("upload_not_removed", {{"path", path_}});
  }
}

absl::Status BlobWriter::Append(std::string_view bytes) {
  hash_.Update(bytes);
  length_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write " + path_);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

std::string BlobWriter::Sha256() { return hash_.Finish(); }

absl::Status BlobWriter::Keep(std::string_view sha256) {
  SHOAL_RETURN_IF_ERROR(blobs_.Keep(path_, sha256));
  path_.clear();
  return absl::OkStatus();
}

}  // namespace shoal::server
