#include "dht/swarm/fetch/engine.h"

#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {
namespace {
constexpr absl::Duration kBusyTick = absl::Milliseconds(50);
constexpr absl::Duration kIdleTick = absl::Seconds(2);
}  // namespace

Engine::Engine(Clock& clock, FileDescriptor wake,
               std::unique_ptr<TorrentSession> torrents,
               std::unique_ptr<OriginClient> origins,
               std::function<void(const Event&)> emit)
    : wake_(std::move(wake)),
      torrents_(std::move(torrents)),
      origins_(std::move(origins)),
      context_{clock, *torrents_, *origins_, std::move(emit), "", {}, 0, 0},
      last_tick_(clock.MonotonicNow()),
      last_stats_(clock.MonotonicNow()) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(
    const ConfigureCommand& configure, Clock& clock,
    std::function<void(const Event&)> emit) {
  FileDescriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoError(errno, "eventfd");
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().MakeDirectories(configure.state_dir, 0700));
  SHOAL_ASSIGN_OR_RETURN(
      auto torrents,
      TorrentSession::Open(configure.listen, configure.limits, wake.get()));
  SHOAL_ASSIGN_OR_RETURN(auto origins, OriginClient::Open(configure.ca_file));
  const std::string address = torrents->address();
  std::unique_ptr<Engine> engine(
      new Engine(clock, std::move(wake), std::move(torrents),
                 std::move(origins), std::move(emit)));
  engine->context_.state_dir = configure.state_dir;
  engine->context_.stall = absl::Milliseconds(configure.stall_ms);
  engine->context_.min_rate = configure.min_rate;
  engine->context_.download_rate = configure.limits.download;
  engine->context_.emit(ReadyEvent{address});
  return engine;
}

absl::Status Engine::Handle(Command command) {
  if (std::holds_alternative<ConfigureCommand>(command)) {
    return InvalidArgument("bad_control", "configured twice");
  }
  if (auto* limits = std::get_if<LimitsCommand>(&command)) {
    torrents_->SetLimits(*limits);
    origins_->SetRate(limits->download);
    context_.download_rate = limits->download;
  } else if (auto* fetch = std::get_if<FetchCommand>(&command)) {
    StartFetch(std::move(*fetch));
  } else if (auto* peers = std::get_if<PeersCommand>(&command)) {
    if (const auto it = jobs_.find(peers->id); it != jobs_.end()) {
      it->second->AddPeers(peers->peers);
    }
  } else if (auto* cancel = std::get_if<CancelCommand>(&command)) {
    jobs_.erase(cancel->id);
    documents_.erase(cancel->id);
  } else if (auto* seed = std::get_if<SeedCommand>(&command)) {
    StartSeed(std::move(*seed));
  } else if (auto* unseed = std::get_if<UnseedCommand>(&command)) {
    if (seeds_.erase(unseed->sha256) > 0) torrents_->Remove(unseed->sha256);
  } else if (auto* document = std::get_if<DocumentCommand>(&command)) {
    // The right side comes first and takes the id with it.
    const std::string id = document->id;
    documents_[id] =
        std::make_unique<DocumentJob>(context_, std::move(*document));
  }
  last_tick_ = absl::ZeroDuration();  // at once
  return absl::OkStatus();
}

void Engine::StartFetch(FetchCommand command) {
  const std::string& sha256 = command.artifact.sha256;
  const bool twice =
      seeds_.contains(sha256) ||
      std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
        return entry.second->artifact().sha256 == sha256;
      });
  if (twice || jobs_.contains(command.id)) {
    context_.emit(FailedEvent{
        command.id,
        MakeError(absl::StatusCode::kAlreadyExists, "duplicate_artifact",
                  "the artifact is in transfer already"),
        Counters()});
    return;
  }
  const std::string id = command.id;
  jobs_[id] = std::make_unique<Job>(context_, std::move(command));
}

absl::Status Engine::CheckSeed(const SeedCommand& command) const {
  struct stat info {};
  if (stat(command.path.c_str(), &info) != 0) {
    return ErrnoError(errno, "stat " + command.path);
  }
  if (!S_ISREG(info.st_mode) ||
      static_cast<uint64_t>(info.st_size) != command.artifact.length) {
    return DataLoss("hash_mismatch", command.path + " has another length");
  }
  return absl::OkStatus();
}

void Engine::StartSeed(SeedCommand command) {
  const std::string sha256 = command.artifact.sha256;
  absl::Status status = CheckSeed(command);
  if (status.ok()) {
    if (seeds_.erase(sha256) > 0) torrents_->Remove(sha256);
    status = torrents_->Add(command.artifact, command.path, /*seed=*/true);
  }
  if (!status.ok()) {
    context_.emit(SeedFailedEvent{sha256, status});
    return;
  }
  seeds_[sha256] = SeedState{std::move(command), false};
}

void Engine::TickSeeds() {
  for (auto it = seeds_.begin(); it != seeds_.end();) {
    auto& [sha256, seed] = *it;
    const auto state = torrents_->GetState(sha256);
    absl::Status error = state.ok() ? state->error : state.status();
    if (error.ok() && !state->checking && !state->complete) {
      error = DataLoss("hash_mismatch",
                       seed.command.path + " does not match its file root");
    }
    if (!error.ok()) {
      context_.emit(SeedFailedEvent{sha256, error});
      torrents_->Remove(sha256);
      it = seeds_.erase(it);
      continue;
    }
    if (!seed.serving && state->complete) {
      seed.serving = true;
      context_.emit(SeedingEvent{sha256});
    }
    ++it;
  }
}

void Engine::Tick() {
  for (const auto& banned : torrents_->PopBanned()) {
    for (const auto& [id, job] : jobs_) {
      if (job->artifact().sha256 == banned.sha256) job->Ban(banned.address);
    }
  }
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    Job& job = *it->second;
    job.Tick();
    if (!job.finished()) {
      ++it;
      continue;
    }
    if (job.seeding()) {
      seeds_[job.artifact().sha256] =
          SeedState{SeedCommand{job.artifact(), job.path()}, false};
    }
    it = jobs_.erase(it);
  }
  for (auto it = documents_.begin(); it != documents_.end();) {
    it->second->Tick();
    it = it->second->finished() ? documents_.erase(it) : std::next(it);
  }
  TickSeeds();
}

void Engine::Run(int input_fd) {
  const bool verifying =
      std::any_of(jobs_.begin(), jobs_.end(),
                  [](const auto& entry) { return entry.second->busy(); });
  const bool checking =
      std::any_of(seeds_.begin(), seeds_.end(),
                  [](const auto& entry) { return !entry.second.serving; });
  absl::Duration tick = kIdleTick;
  if (!jobs_.empty() || !documents_.empty() || checking) tick = kBusyTick;
  if (verifying) tick = absl::ZeroDuration();
  const absl::Duration due = last_tick_ + tick;
  const absl::Duration wait = std::clamp(due - context_.clock.MonotonicNow(),
                                         absl::ZeroDuration(), kIdleTick);
  const auto ended = origins_->Wait({input_fd, wake_.get()},
                                    absl::Ceil(wait, absl::Milliseconds(1)));
  uint64_t count = 0;
  if (read(wake_.get(), &count, sizeof(count)) < 0 && errno != EAGAIN) {
    LogWarn("eventfd_read", {{"errno", errno}});
  }
  for (const auto& end : ended) {
    for (const auto& [id, job] : jobs_) {
      if (job->OnEnded(end)) break;
    }
    for (const auto& [id, document] : documents_) {
      if (document->OnEnded(end)) break;
    }
  }
  const absl::Duration now = context_.clock.MonotonicNow();
  if (now >= due || !ended.empty()) {
    last_tick_ = now;
    Tick();
  }
  if (now - last_stats_ >= absl::Seconds(1)) {
    last_stats_ = now;
    const uint64_t uploaded = torrents_->uploaded();
    if (uploaded != reported_uploaded_) {
      reported_uploaded_ = uploaded;
      context_.emit(StatsEvent{uploaded});
    }
  }
}

}  // namespace shoal::dht
