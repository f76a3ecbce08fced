#include "dht/swarm/fetch/job.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {

Job::Job(FetchContext& context, FetchCommand command)
    : context_(context), command_(std::move(command)) {
  const absl::Duration now = context_.clock.MonotonicNow();
  deadline_ = now + absl::Milliseconds(command_.deadline_ms);
  last_save_ = last_report_ = now;
}

Job::~Job() {
  if (transfer_) context_.origins.Stop(*transfer_);
  if (!seeding_) context_.torrents.Remove(artifact().sha256);
  if (file_ != nullptr && !finished_) {
    if (auto saved = file_->Save(); !saved.ok()) {
      LogWarn("partial_state_lost", {{"error", saved}});
    }
  }
}

void Job::Tick() {
  if (finished_) return;
  const absl::Duration now = context_.clock.MonotonicNow();
  if (now >= deadline_ && stage_ != Stage::kVerify) {
    return Fail(mismatch_ ? DataLoss("hash_mismatch",
                                     "a source gave wrong bytes, and none "
                                     "delivered the file in time")
                          : MakeError(absl::StatusCode::kDeadlineExceeded,
                                      "no_source",
                                      "no source delivered the file in time: " +
                                          last_error_));
  }
  if (InVain(now))
    return Fail(Unavailable("no_source", "nobody who answers has the file"));
  switch (stage_) {
    case Stage::kStart:
      Start();
      break;
    case Stage::kPeers:
      TickPeers();
      break;
    case Stage::kOrigin:
      meter_.Update(now, origin_run_bytes_);
      if (meter_.TooSlow(now, context_.stall, context_.min_rate)) {
        context_.origins.Stop(*transfer_);
        transfer_.reset();
        EndOrigin(MakeError(absl::StatusCode::kDeadlineExceeded, "origin_slow",
                            "the origin is too slow"));
      } else {
        live_bytes_ = file_->PresentBytes();
      }
      break;
    case Stage::kVerify:
      TickVerify();
      break;
    case Stage::kPause:
      if (now >= pause_until_) NextSource();
      break;
  }
  if (finished_ || file_ == nullptr) return;
  Report(false);
  if (now - last_save_ >= absl::Milliseconds(500)) {
    last_save_ = now;
    if (auto saved = file_->Save(); !saved.ok()) Fail(saved);
  }
}

void Job::Start() {
  auto file = PartialFile::Open(
      artifact(), command_.path,
      JoinPath(context_.state_dir, HexEncode(artifact().sha256) + ".partial"));
  if (!file.ok()) return Fail(file.status());
  file_ = *std::move(file);
  live_bytes_ = file_->PresentBytes();
  inherited_ = live_bytes_ > 0;
  if (file_->MayBeComplete()) return StartVerify();
  NextSource();
}

bool Job::InVain(absl::Duration now) const {
  const Counters total = TotalCounters();
  return now - answered_at_ >= absl::Milliseconds(command_.first_byte_ms) &&
         total.peers + total.origin == 0 && live_bytes_ == 0;
}

bool Job::HasOrigins() const { return liars_.size() < command_.urls.size(); }

void Job::NextSource() {
  if (file_->Complete()) return StartVerify();
  for (;;) {
    if (first_source_) {
      first_source_ = false;
      source_ = 0;
    } else if (++source_ > command_.urls.size()) {
      source_ = 0;
      // A round without a byte: wait before everyone is asked again.
      const Counters total = TotalCounters();
      const bool idle = total.peers + total.origin == round_bytes_;
      round_bytes_ = total.peers + total.origin;
      idle_rounds_ = idle ? idle_rounds_ + 1 : 0;
      if (idle) {
        stage_ = Stage::kPause;
        pause_until_ =
            context_.clock.MonotonicNow() +
            std::min(absl::Seconds(10), absl::Milliseconds(250) *
                                            (1 << std::min(idle_rounds_, 6)));
        // After the pause the round starts with the peers.
        first_source_ = true;
        return;
      }
    }
    if (source_ == 0) {
      if (command_.peers.size() > banned_.size() || !HasOrigins()) {
        return StartPeers();
      }
    } else if (!liars_.contains(source_)) {
      return StartOriginRun();
    }
  }
}

// ---- peers ----

void Job::StartPeers() {
  stage_ = Stage::kPeers;
  stage_counters_ = Counters();
  checking_ = true;
  if (auto added = context_.torrents.Add(artifact(), command_.path, false);
      !added.ok()) {
    return Fail(added);
  }
  for (const auto& peer : command_.peers) {
    if (!banned_.contains(peer)) {
      context_.torrents.Connect(artifact().sha256, peer);
    }
  }
  meter_.Restart(context_.clock.MonotonicNow());
}

void Job::TickPeers() {
  const auto state = context_.torrents.GetState(artifact().sha256);
  if (!state.ok()) return Fail(state.status());
  if (!state->error.ok()) return Fail(state->error);
  const absl::Duration now = context_.clock.MonotonicNow();
  if (state->peers > 0) answered_at_ = std::min(answered_at_, now);
  if (state->checking || checking_) {
    // Hashing what is on disk is not the peers' time.
    meter_.Restart(now);
    checking_ = state->checking;
    if (state->checking) return;
  }
  stage_counters_.peers = state->payload;
  stage_counters_.discarded = state->failed;
  live_bytes_ = std::max(state->done, file_->PresentBytes());
  if (state->complete) {
    CollectPeers(*state);
    context_.torrents.StopDownloading(artifact().sha256);
    return StartVerify();
  }
  meter_.Update(now, state->done);
  file_->SetTrusted(state->have, state->payload > 0);
  if (!HasOrigins() ||
      !meter_.TooSlow(now, context_.stall, context_.min_rate)) {
    return;
  }
  last_error_ = fmt::format("{} peers are connected and deliver too little",
                            state->peers);
  LogInfo("peers_too_slow", {{"job", id()}, {"peers", state->peers}});
  CollectPeers(*state);
  context_.torrents.Remove(artifact().sha256);
  NextSource();
}

void Job::CollectPeers(const TorrentState& state) {
  file_->SetTrusted(state.have, state.payload > 0);
  counters_.peers += state.payload;
  counters_.discarded += state.failed;
  stage_counters_ = Counters();
}

void Job::AddPeers(const std::vector<std::string>& peers) {
  for (const auto& peer : peers) {
    auto& known = command_.peers;
    if (known.size() >= kMaxPeers) break;
    if (std::find(known.begin(), known.end(), peer) != known.end()) continue;
    known.push_back(peer);
    if (stage_ == Stage::kPeers) {
      context_.torrents.Connect(artifact().sha256, peer);
    }
  }
  if (stage_ == Stage::kPause) pause_until_ = absl::ZeroDuration();
}

void Job::Ban(const std::string& peer) {
  // libtorrent tells it again for each piece that the peer had a part in.
  if (banned_.contains(peer)) return;
  LogWarn("peer_dropped", {{"job", id()}, {"peer", peer}});
  // Only named peers count: an incoming one has a port of its own.
  const auto& known = command_.peers;
  if (std::find(known.begin(), known.end(), peer) != known.end()) {
    banned_.insert(peer);
  }
}

// ---- origins ----

void Job::StartOriginRun() {
  const auto run = file_->FirstMissing();
  if (!run) return StartVerify();
  stage_ = Stage::kOrigin;
  run_ = *run;
  stream_at_ = 0;
  origin_run_bytes_ = 0;
  std::optional<std::pair<uint64_t, uint64_t>> range;
  if (run_.begin != 0 || run_.end != artifact().length) {
    range.emplace(run_.begin, run_.end);
  }
  auto transfer = context_.origins.Start(command_.urls[source_ - 1], range,
                                         context_.download_rate, this);
  if (!transfer.ok()) return Fail(transfer.status());
  transfer_ = *transfer;
  suspects_.insert(source_);
  meter_.Restart(context_.clock.MonotonicNow());
}

absl::Status Job::Begin(uint64_t offset, std::optional<uint64_t> total) {
  if (total && *total != artifact().length) {
    return DataLoss("origin_length",
                    fmt::format("the origin has {} bytes, {} are signed",
                                *total, artifact().length));
  }
  stream_at_ = offset;
  // An origin without ranges sends all again: what is there is skipped.
  if (offset == 0) run_.end = artifact().length;
  return absl::OkStatus();
}

absl::Status Job::Data(std::string_view bytes) {
  // Never beyond what was asked for, however much comes (T02).
  const std::string_view take =
      bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(
                          bytes.size(), run_.end - stream_at_)));
  counters_.origin += take.size();
  origin_run_bytes_ += take.size();
  SHOAL_RETURN_IF_ERROR(file_->Write(stream_at_, take));
  stream_at_ += take.size();
  if (stream_at_ >= run_.end && take.size() < bytes.size()) {
    return MakeError(absl::StatusCode::kCancelled, "enough",
                     "the end is there");
  }
  return absl::OkStatus();
}

bool Job::OnEnded(const OriginClient::Ended& ended) {
  if (!transfer_ || *transfer_ != ended.transfer) return false;
  transfer_.reset();
  if (!finished_) EndOrigin(ended.status);
  return true;
}

void Job::EndOrigin(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  if (reason != "origin_network" && reason != "origin_slow")
    answered_at_ = std::min(answered_at_, context_.clock.MonotonicNow());
  if (reason == "disk_full" || reason.starts_with("io_")) return Fail(status);
  live_bytes_ = file_->PresentBytes();
  if (status.ok() && (stream_at_ >= run_.end || origin_run_bytes_ > 0)) {
    if (file_->Complete()) return StartVerify();
    if (stream_at_ >= run_.end) return StartOriginRun();
  }
  last_error_ = fmt::format(
      "{}: {}", command_.urls[source_ - 1],
      status.ok() ? "the answer is too short" : std::string(status.message()));
  LogInfo(
      "origin_failed",
      {{"job", id()}, {"url", command_.urls[source_ - 1]}, {"reason", reason}});
  NextSource();
}

// ---- the whole file ----

void Job::StartVerify() {
  stage_ = Stage::kVerify;
  file_->RestartVerify();
}

void Job::TickVerify() {
  const auto result = file_->VerifySlice();
  if (!result.ok()) return Fail(result.status());
  if (!result->has_value()) return;
  if (**result) {
    file_->RemoveState();
    live_bytes_ = artifact().length;
    Report(true);
    if (command_.seed) {
      // From an origin the swarm has nothing yet: it checks the file itself.
      if (!context_.torrents.Has(artifact().sha256)) {
        if (auto added = context_.torrents.Add(artifact(), command_.path, true);
            !added.ok()) {
          LogWarn("seed_failed", {{"job", id()}, {"error", added}});
        }
      }
      seeding_ = context_.torrents.Has(artifact().sha256);
    }
    finished_ = true;
    context_.emit(DoneEvent{id(), TotalCounters()});
    return;
  }
  // Only MayBeComplete() without any bit gets here with nothing present: then
  // it was a guess about a file with holes, and nobody lied.
  context_.torrents.Remove(artifact().sha256);
  const bool all_trusted = file_->AllTrusted();
  const bool guess = file_->PresentBytes() == 0;
  counters_.discarded += file_->DiscardUntrusted();
  live_bytes_ = file_->PresentBytes();
  if (!guess) {
    if (all_trusted || !suspects_.empty()) mismatch_ = true;
    last_error_ = "the SHA-256 of the whole file is wrong";
    LogWarn("hash_mismatch", {{"job", id()}, {"suspects", suspects_.size()}});
  }
  // The file root held and the SHA-256 not: the metadata contradict each
  // other, or someone else writes to the file.
  if (all_trusted && ++contradictions_ >= 2) {
    return Fail(DataLoss("hash_mismatch",
                         "the file matches its file root but not its SHA-256"));
  }
  // One origin alone wrote all that was not verified: it is not asked again.
  if (suspects_.size() == 1 && !inherited_) liars_.insert(*suspects_.begin());
  suspects_.clear();
  inherited_ = false;
  if (!HasOrigins() && !command_.urls.empty() && command_.peers.empty()) {
    return Fail(DataLoss("hash_mismatch", "every origin gave wrong bytes"));
  }
  NextSource();
}

// ---- reports ----

Counters Job::TotalCounters() const {
  Counters total = counters_;
  total.peers += stage_counters_.peers;
  total.discarded += stage_counters_.discarded;
  return total;
}

void Job::Report(bool always) {
  const absl::Duration now = context_.clock.MonotonicNow();
  if (!always && (now - last_report_ < absl::Milliseconds(200) ||
                  live_bytes_ == reported_bytes_)) {
    return;
  }
  last_report_ = now;
  reported_bytes_ = live_bytes_;
  context_.emit(ProgressEvent{id(), std::min(live_bytes_, artifact().length),
                              TotalCounters()});
}

void Job::Fail(absl::Status status) {
  if (finished_) return;
  if (transfer_) context_.origins.Stop(*transfer_);
  transfer_.reset();
  if (file_ != nullptr) {
    // What is there helps the next job for the same artifact.
    if (auto saved = file_->Save(); !saved.ok()) {
      LogWarn("partial_state_lost", {{"error", saved}});
    }
  }
  finished_ = true;
  context_.emit(FailedEvent{id(), std::move(status), TotalCounters()});
}

}  // namespace shoal::dht
