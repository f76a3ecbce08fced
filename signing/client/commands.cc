#include "signing/client/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

#include <memory>
#include <utility>

#include "common/clock.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/client/http_fetcher.h"
#include "signing/client/target_store.h"
#include "signing/verify/updater.h"

namespace shoal::signing {
namespace {

// Held until it is destroyed, or the process ends in whatever way.
absl::StatusOr<FileDescriptor> Lock(const std::string& directory) {
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(directory));
  const std::string path = JoinPath(directory, ".lock");
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return ErrnoError(errno, "lock " + path);
  return fd;
}

struct Client {
  FileDescriptor lock;
  std::unique_ptr<HttpFetcher> source;
  std::unique_ptr<Updater> updater;
};

// Refreshed.
absl::StatusOr<Client> Open(const ClientOptions& options) {
  Client client;
  SHOAL_ASSIGN_OR_RETURN(client.lock, Lock(options.metadata_directory));
  UpdaterOptions updater;
  updater.directory = options.metadata_directory;
  updater.anchored_by_root = true;
  updater.policy = options.policy;
  SHOAL_ASSIGN_OR_RETURN(
      client.updater,
      Updater::Open(std::move(updater), RealFileSystem(), SystemClock()));
  HttpFetcherOptions http;
  http.metadata_url = options.metadata_url;
  http.targets_url = options.target_url;
  SHOAL_ASSIGN_OR_RETURN(client.source, HttpFetcher::Create(std::move(http)));
  SHOAL_RETURN_IF_ERROR(client.updater->Refresh(*client.source));
  return client;
}

absl::Status DownloadOne(const std::string& name, Client& client,
                         TargetStore& store) {
  SHOAL_ASSIGN_OR_RETURN(const TargetFile target,
                         client.updater->GetTarget(client.source.get(), name));
  const std::string path = store.PathOf(name);
  if (store.Has(target)) {
    printf("%s: unchanged\n", path.c_str());
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(store.Add(
      target, client.updater->root().consistent_snapshot, *client.source));
  printf("%s: %llu bytes\n", path.c_str(),
         static_cast<unsigned long long>(target.length));
  return absl::OkStatus();
}

}  // namespace

absl::Status RunInit(const ClientOptions& options,
                     const std::string& root_file) {
  SHOAL_ASSIGN_OR_RETURN(const std::string root,
                         RealFileSystem().Read(root_file, kMaxRootBytes));
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor lock,
                         Lock(options.metadata_directory));
  return Updater::InstallRoot(options.metadata_directory, root, options.policy,
                              RealFileSystem());
}

absl::Status RunRefresh(const ClientOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Client client, Open(options));
  printf("root %llu, timestamp %llu, snapshot %llu, targets %llu\n",
         static_cast<unsigned long long>(client.updater->root().version),
         static_cast<unsigned long long>(client.updater->timestamp().version),
         static_cast<unsigned long long>(client.updater->snapshot().version),
         static_cast<unsigned long long>(client.updater->targets().version));
  return absl::OkStatus();
}

absl::Status RunDownload(const ClientOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(Client client, Open(options));
  TargetStore store(options.target_directory);
  SHOAL_RETURN_IF_ERROR(store.RemoveLeftovers());
  for (const std::string& name : options.target_names)
    SHOAL_RETURN_IF_ERROR(DownloadOne(name, client, store));
  return absl::OkStatus();
}

}  // namespace shoal::signing
