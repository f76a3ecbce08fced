#include "dht/swarm/fetch_process.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "dht/swarm/control.h"
#include "dht/swarm/endpoint.h"
#include "dht/swarm/fetch_process_impl.h"

namespace shoal::dht {
namespace {

absl::Status BadJob(std::string_view what) {
  return InvalidArgument("bad_job", what);
}

absl::Status CheckPeers(const std::vector<std::string>& peers) {
  if (peers.size() > kMaxPeers) return BadJob("too many peers");
  for (const auto& peer : peers) {
    SHOAL_RETURN_IF_ERROR(ParseEndpoint(peer));
  }
  return absl::OkStatus();
}

absl::Status CheckUrls(const std::vector<std::string>& urls) {
  if (urls.size() > kMaxUrls) return BadJob("too many URLs");
  for (const auto& url : urls) SHOAL_RETURN_IF_ERROR(ValidateUrl(url));
  return absl::OkStatus();
}

}  // namespace

FetchProcess::FetchProcess(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

FetchProcess::~FetchProcess() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->Wake();
  if (impl_->thread.joinable()) impl_->thread.join();
}

absl::StatusOr<std::unique_ptr<FetchProcess>> FetchProcess::Open(
    FetchOptions options) {
  if (access(options.program.c_str(), X_OK) != 0) {
    return ErrnoError(errno, "shoal-fetch at '" + options.program + "'");
  }
  if (!options.listen.empty()) {
    SHOAL_RETURN_IF_ERROR(ParseEndpoint(options.listen, true));
  }
  if (!options.state_dir.starts_with('/')) {
    return BadJob("state_dir must be an absolute path");
  }
  if (options.stall_timeout < absl::Milliseconds(100) ||
      options.stall_timeout > absl::Minutes(10)) {
    return BadJob("stall_timeout is not in 100 ms … 10 min");
  }
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().MakeDirectories(options.state_dir, 0700));
  if (geteuid() == 0 && options.user &&
      chown(options.state_dir.c_str(), *options.user,
            options.group.value_or(*options.user)) != 0) {
    return ErrnoError(errno, "chown " + options.state_dir);
  }
  auto impl = std::make_unique<Impl>(std::move(options));
  impl->wake.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->wake.valid()) return ErrnoError(errno, "eventfd");
  std::unique_ptr<FetchProcess> process(new FetchProcess(std::move(impl)));
  Impl& p = *process->impl_;
  p.thread = std::thread([&p] { p.Loop(); });
  {
    std::unique_lock lock(p.mutex);
    if (!p.changed.wait_for(lock, absl::ToChronoSeconds(2 * kFetchStartTimeout),
                            [&] { return p.once_ready; })) {
      lock.unlock();
      return Unavailable("fetch_start", "shoal-fetch does not come up");
    }
  }
  return process;
}

std::string FetchProcess::swarm_address() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->address;
}

absl::Status FetchProcess::Fetch(FetchJob job, ProgressCallback progress,
                                 DoneCallback done) {
  if (!IsIdentifier(job.id)) return BadJob("the id is no identifier");
  SHOAL_RETURN_IF_ERROR(ValidateArtifact(job.artifact));
  if (!job.output_path.starts_with('/') || job.output_path.ends_with('/')) {
    return BadJob("output_path must be an absolute path of a file");
  }
  SHOAL_RETURN_IF_ERROR(CheckPeers(job.peers));
  SHOAL_RETURN_IF_ERROR(CheckUrls(job.origin_urls));
  if (job.deadline <= absl::ZeroDuration() ||
      job.deadline > absl::Hours(24 * 365)) {
    return BadJob("the deadline is not in 1 ms … 1 year");
  }
  std::lock_guard lock(impl_->mutex);
  if (impl_->jobs.contains(job.id)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "duplicate_job",
                     "a job with this id is running");
  }
  const auto same = [&](const auto& entry) {
    return entry.second.job.artifact.sha256 == job.artifact.sha256;
  };
  if (impl_->seeds.contains(job.artifact.sha256) ||
      std::any_of(impl_->jobs.begin(), impl_->jobs.end(), same)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "duplicate_artifact",
                     "the artifact is in transfer or seeded already");
  }
  Impl::RunningJob running;
  running.deadline = impl_->Now() + job.deadline;
  running.wire_id = impl_->NewWireId('j');
  running.progress = std::move(progress);
  running.done = std::move(done);
  running.job = std::move(job);
  // The line must also be writable (its length, texts in UTF-8).
  FetchCommand probe;
  probe.path = running.job.output_path;
  probe.urls = running.job.origin_urls;
  probe.peers = running.job.peers;
  probe.id = running.wire_id;
  if (!FormatCommand(probe).ok() || running.job.output_path.size() > 4000) {
    return BadJob("output_path is no UTF-8, or the job is too long");
  }
  const std::string id = running.job.id;
  const auto [it, inserted] = impl_->jobs.emplace(id, std::move(running));
  impl_->SendFetch(it->second);
  return absl::OkStatus();
}

void FetchProcess::AddPeers(const std::string& id,
                            std::vector<std::string> peers) {
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->jobs.find(id);
  if (it == impl_->jobs.end()) return;
  auto& known = it->second.job.peers;
  std::vector<std::string> fresh;
  for (auto& peer : peers) {
    if (known.size() >= kMaxPeers || !ParseEndpoint(peer).ok() ||
        std::find(known.begin(), known.end(), peer) != known.end()) {
      continue;
    }
    known.push_back(peer);
    fresh.push_back(std::move(peer));
  }
  if (!fresh.empty()) {
    impl_->Send(PeersCommand{it->second.wire_id, std::move(fresh)});
  }
}

void FetchProcess::Cancel(const std::string& id) {
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->jobs.find(id);
  if (it == impl_->jobs.end()) return;
  impl_->Send(CancelCommand{it->second.wire_id});
  impl_->Finish(it, MakeError(absl::StatusCode::kCancelled, "cancelled",
                              "the caller cancelled the transfer"));
  impl_->Wake();
}

absl::Status FetchProcess::Seed(SeedJob job, SeedCallback callback) {
  SHOAL_RETURN_IF_ERROR(ValidateArtifact(job.artifact));
  if (!job.path.starts_with('/') || job.path.ends_with('/') ||
      !FormatCommand(SeedCommand{job.artifact, job.path}).ok()) {
    return BadJob("path must be an absolute path of a file");
  }
  std::lock_guard lock(impl_->mutex);
  const std::string sha256 = job.artifact.sha256;
  for (const auto& [id, running] : impl_->jobs) {
    if (running.job.artifact.sha256 == sha256) {
      return MakeError(absl::StatusCode::kAlreadyExists, "duplicate_artifact",
                       "the artifact is in transfer");
    }
  }
  impl_->Send(SeedCommand{job.artifact, job.path});
  auto& seed = impl_->seeds[sha256];
  if (seed.callback) {
    impl_->callbacks.push_back([old = std::move(seed.callback)] {
      old(MakeError(absl::StatusCode::kCancelled, "cancelled",
                    "another file of the artifact is seeded instead"));
    });
  }
  seed = {std::move(job), std::move(callback), false};
  return absl::OkStatus();
}

void FetchProcess::StopSeeding(const std::string& sha256) {
  std::lock_guard lock(impl_->mutex);
  const auto it = impl_->seeds.find(sha256);
  if (it == impl_->seeds.end()) return;
  if (it->second.callback) {
    impl_->callbacks.push_back([old = std::move(it->second.callback)] {
      old(MakeError(absl::StatusCode::kCancelled, "cancelled",
                    "seeding was stopped"));
    });
  }
  impl_->seeds.erase(it);
  impl_->Send(UnseedCommand{sha256});
  impl_->Wake();
}

void FetchProcess::FetchDocument(std::vector<std::string> urls,
                                 uint64_t max_bytes,
                                 std::optional<std::string> sha256,
                                 absl::Duration timeout,
                                 DocumentCallback callback) {
  absl::Status valid = CheckUrls(urls);
  if (valid.ok() && (max_bytes < 1 || max_bytes > kMaxDocument)) {
    valid = BadJob("max_bytes is not in 1 … 64 MiB");
  }
  if (valid.ok() && sha256 && sha256->size() != 32) {
    valid = BadJob("the sha256 has not 32 bytes");
  }
  if (valid.ok() &&
      (timeout < absl::Milliseconds(1) || timeout > absl::Hours(24))) {
    valid = BadJob("the timeout is not in 1 ms … 1 day");
  }
  std::lock_guard lock(impl_->mutex);
  if (valid.ok() && !impl_->ready) {
    valid = Unavailable("fetch_restarted", "shoal-fetch is being restarted");
  }
  if (!valid.ok()) {
    impl_->callbacks.push_back([callback = std::move(callback), valid] {
      if (callback) callback(valid);
    });
    impl_->Wake();
    return;
  }
  const std::string id = impl_->NewWireId('d');
  impl_->documents[id] = {std::move(callback), max_bytes,
                          impl_->Now() + timeout, ""};
  impl_->Send(DocumentCommand{id, std::move(urls), max_bytes,
                              sha256.value_or(""),
                              absl::ToInt64Milliseconds(timeout)});
}

void FetchProcess::SetLimits(const FetchLimits& limits) {
  std::lock_guard lock(impl_->mutex);
  impl_->options.limits = limits;
  impl_->Send(ToCommand(limits));
}

FetchStatus FetchProcess::Status() const {
  std::lock_guard lock(impl_->mutex);
  FetchStatus status = impl_->status;
  status.jobs = static_cast<int>(impl_->jobs.size());
  status.seeds = static_cast<int>(
      std::count_if(impl_->seeds.begin(), impl_->seeds.end(),
                    [](const auto& entry) { return entry.second.serving; }));
  return status;
}

}  // namespace shoal::dht
