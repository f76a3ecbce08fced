#include "agent/link/lazy_fetch.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {

struct LazyFetch::Work {
  std::mutex mutex;
  int pending = 0;              // jobs and documents without an answer yet
  std::set<std::string> seeds;  // SHA-256 of what is, or will be, served
  absl::Duration last_use;      // monotonic

  void Begin() {
    std::lock_guard lock(mutex);
    ++pending;
  }
  void End(absl::Duration now) {
    std::lock_guard lock(mutex);
    --pending;
    last_use = now;
  }
  void Serve(const std::string& sha256, bool yes, absl::Duration now) {
    std::lock_guard lock(mutex);
    if (yes)
      seeds.insert(sha256);
    else
      seeds.erase(sha256);
    last_use = now;
  }
};

LazyFetch::LazyFetch(dht::FetchOptions options, Clock& clock,
                     absl::Duration idle)
    : options_(std::move(options)),
      own_download_limit_(options_.limits.download_bytes_per_second),
      listen_(options_.listen),
      clock_(clock),
      idle_(idle),
      work_(std::make_shared<Work>()) {}

LazyFetch::~LazyFetch() {
  std::unique_ptr<dht::FetchProcess> process;
  {
    std::lock_guard lock(mutex_);
    process = std::move(process_);
  }
  // Its callbacks may ask for mutex_ while its thread is joined.
  process.reset();
}

absl::Status LazyFetch::Start() {
  if (running()) return absl::OkStatus();
  auto opened = dht::FetchProcess::Open(options_);
  if (!opened.ok() && options_.listen != listen_) {
    // The port of the last run may be taken by now.
    options_.listen = listen_;
    opened = dht::FetchProcess::Open(options_);
  }
  SHOAL_RETURN_IF_ERROR(opened);
  {
    std::lock_guard lock(work_->mutex);
    work_->last_use = clock_.MonotonicNow();
  }
  std::lock_guard lock(mutex_);
  process_ = *std::move(opened);
  // Provider records name this port for up to an hour.
  if (!process_->swarm_address().empty())
    options_.listen = process_->swarm_address();
  LogInfo("fetch_process_started", {{"swarm", options_.listen}});
  return absl::OkStatus();
}

absl::Status LazyFetch::Fetch(dht::FetchJob job, dht::ProgressCallback progress,
                              dht::DoneCallback done) {
  std::lock_guard life(life_);
  SHOAL_RETURN_IF_ERROR(Start());
  work_->Begin();
  const auto ended = [work = work_, clock = &clock_,
                      seeded = job.seed_afterwards,
                      sha256 = job.artifact.sha256](bool ok) {
    if (ok && seeded) work->Serve(sha256, true, clock->MonotonicNow());
    work->End(clock->MonotonicNow());
  };
  const absl::Status begun = process_->Fetch(
      std::move(job), std::move(progress),
      [ended, done = std::move(done)](absl::StatusOr<dht::FetchResult> result) {
        ended(result.ok());
        done(std::move(result));
      });
  if (!begun.ok()) ended(false);
  return begun;
}

void LazyFetch::SetDownloadLimit(int64_t bytes_per_second) {
  std::lock_guard life(life_);
  const int64_t limit = bytes_per_second == 0 ? own_download_limit_
                        : own_download_limit_ == 0
                            ? bytes_per_second
                            : std::min(bytes_per_second, own_download_limit_);
  if (options_.limits.download_bytes_per_second == limit) return;
  options_.limits.download_bytes_per_second = limit;
  std::lock_guard lock(mutex_);
  if (process_) process_->SetLimits(options_.limits);
}

absl::Status LazyFetch::Seed(dht::SeedJob job, dht::SeedCallback callback) {
  std::lock_guard life(life_);
  SHOAL_RETURN_IF_ERROR(Start());
  const std::string sha256 = job.artifact.sha256;
  work_->Serve(sha256, true, clock_.MonotonicNow());
  const absl::Status begun = process_->Seed(
      std::move(job), [work = work_, clock = &clock_, sha256,
                       callback = std::move(callback)](absl::Status status) {
        if (!status.ok() && !absl::IsAlreadyExists(status))
          work->Serve(sha256, false, clock->MonotonicNow());
        if (callback) callback(std::move(status));
      });
  if (!begun.ok() && !absl::IsAlreadyExists(begun))
    work_->Serve(sha256, false, clock_.MonotonicNow());
  return begun;
}

void LazyFetch::FetchDocument(std::vector<std::string> urls, uint64_t max_bytes,
                              std::optional<std::string> sha256,
                              absl::Duration timeout,
                              dht::DocumentCallback callback) {
  std::lock_guard life(life_);
  if (const absl::Status started = Start(); !started.ok()) {
    callback(started);
    return;
  }
  work_->Begin();
  process_->FetchDocument(
      std::move(urls), max_bytes, std::move(sha256), timeout,
      [work = work_, clock = &clock_,
       callback = std::move(callback)](absl::StatusOr<std::string> bytes) {
        work->End(clock->MonotonicNow());
        callback(std::move(bytes));
      });
}

void LazyFetch::AddPeers(const std::string& id,
                         std::vector<std::string> peers) {
  std::lock_guard lock(mutex_);
  if (process_) process_->AddPeers(id, std::move(peers));
}

void LazyFetch::Cancel(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (process_) process_->Cancel(id);
}

void LazyFetch::StopSeeding(const std::string& sha256) {
  work_->Serve(sha256, false, clock_.MonotonicNow());
  std::lock_guard lock(mutex_);
  if (process_) process_->StopSeeding(sha256);
}

std::string LazyFetch::swarm_address() const {
  std::lock_guard lock(mutex_);
  return process_ ? process_->swarm_address() : "";
}

bool LazyFetch::running() const {
  std::lock_guard lock(mutex_);
  return process_ != nullptr;
}

void LazyFetch::EndIfIdle() {
  // Somebody is giving it work: it is not idle.
  std::unique_lock life(life_, std::try_to_lock);
  if (!life.owns_lock() || !running()) return;
  {
    std::lock_guard lock(work_->mutex);
    if (work_->pending > 0 || !work_->seeds.empty() ||
        clock_.MonotonicNow() - work_->last_use < idle_)
      return;
  }
  std::unique_ptr<dht::FetchProcess> process;
  {
    std::lock_guard lock(mutex_);
    process = std::move(process_);
  }
  process.reset();
  LogInfo("fetch_process_ended", {});
}

}  // namespace shoal::agent
