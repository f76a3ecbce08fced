#include <algorithm>
#include <iterator>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "dht/swarm/fetch_process_impl.h"

namespace shoal::dht {
namespace {

// The child reports a deadline itself; this is for when there is none.
constexpr absl::Duration kDeadlineGrace = absl::Seconds(2);

}  // namespace

void FetchProcess::Impl::Send(const Command& command) {
  if (!ready) return;  // OnReady gives everything again
  auto line = FormatCommand(command);
  if (!line.ok()) {
    // Callers were checked when they came; a broken invariant stays visible.
    LogError("fetch_command_lost", {{"error", line.status()}});
    return;
  }
  outbox += *line;
  Wake();
}

void FetchProcess::Impl::SendFetch(const RunningJob& running) {
  FetchCommand command;
  command.id = running.wire_id;
  command.artifact = running.job.artifact;
  command.path = running.job.output_path;
  command.peers = running.job.peers;
  command.urls = running.job.origin_urls;
  command.seed = running.job.seed_afterwards;
  command.deadline_ms =
      std::max<int64_t>(1, absl::ToInt64Milliseconds(running.deadline - Now()));
  if (running.job.first_byte < absl::Milliseconds(kNoFirstByte))
    command.first_byte_ms =
        std::max<int64_t>(1, absl::ToInt64Milliseconds(running.job.first_byte));
  Send(command);
}

void FetchProcess::Impl::Finish(std::map<std::string, RunningJob>::iterator it,
                                absl::StatusOr<FetchResult> result) {
  callbacks.push_back(
      [done = std::move(it->second.done), result = std::move(result)] {
        if (done) done(result);
      });
  jobs.erase(it);
}

void FetchProcess::Impl::OnReady(const ReadyEvent& event) {
  if (ready) return;
  ready = once_ready = true;
  failed_starts = 0;
  address = event.address;
  Send(ToCommand(options.limits));
  for (auto& [sha256, seed] : seeds) {
    seed.serving = false;
    Send(SeedCommand{seed.job.artifact, seed.job.path});
  }
  for (const auto& [id, job] : jobs) SendFetch(job);
  changed.notify_all();
}

void FetchProcess::Impl::OnDone(const DoneEvent& event) {
  if (const auto it = documents.find(event.id); it != documents.end()) {
    callbacks.push_back([callback = std::move(it->second.callback),
                         bytes = std::move(it->second.bytes)] {
      if (callback) callback(bytes);
    });
    documents.erase(it);
    return;
  }
  for (auto it = jobs.begin(); it != jobs.end(); ++it) {
    RunningJob& running = it->second;
    if (running.wire_id != event.id) continue;
    FetchResult result;
    result.bytes_from_peers = running.before.peers + event.counters.peers;
    result.bytes_from_origin = running.before.origin + event.counters.origin;
    result.bytes_discarded =
        running.before.discarded + event.counters.discarded;
    const uint64_t needed =
        running.job.artifact.length + result.bytes_discarded;
    const uint64_t moved = result.bytes_from_peers + result.bytes_from_origin;
    result.bytes_resumed = std::min(running.job.artifact.length,
                                    needed > moved ? needed - moved : 0);
    if (running.job.seed_afterwards) {
      const Artifact& artifact = running.job.artifact;
      seeds[artifact.sha256] = {{artifact, running.job.output_path}, {}, false};
    }
    return Finish(it, result);
  }
}

void FetchProcess::Impl::OnFailed(const FailedEvent& event) {
  if (const auto it = documents.find(event.id); it != documents.end()) {
    callbacks.push_back(
        [callback = std::move(it->second.callback), status = event.status] {
          if (callback) callback(status);
        });
    documents.erase(it);
    return;
  }
  for (auto it = jobs.begin(); it != jobs.end(); ++it) {
    if (it->second.wire_id == event.id) return Finish(it, event.status);
  }
}

void FetchProcess::Impl::OnEvent(Event event) {
  if (const auto* e = std::get_if<ReadyEvent>(&event)) return OnReady(*e);
  if (const auto* e = std::get_if<DoneEvent>(&event)) return OnDone(*e);
  if (const auto* e = std::get_if<FailedEvent>(&event)) return OnFailed(*e);
  if (const auto* e = std::get_if<StatsEvent>(&event)) {
    status.uploaded = e->uploaded;
  } else if (auto* progress = std::get_if<ProgressEvent>(&event)) {
    for (auto& [id, running] : jobs) {
      if (running.wire_id != progress->id) continue;
      running.now = progress->counters;
      callbacks.push_back(
          [callback = running.progress, bytes = progress->bytes] {
            if (callback) callback(bytes);
          });
    }
  } else if (auto* chunk = std::get_if<ChunkEvent>(&event)) {
    const auto it = documents.find(chunk->id);
    if (it == documents.end()) return;
    // The child is held to the cap as well.
    if (it->second.bytes.size() + chunk->data.size() > it->second.max_bytes) {
      return OnFailed(
          {chunk->id,
           ResourceExhausted("document_too_large", "more than was allowed"),
           Counters()});
    }
    it->second.bytes += chunk->data;
  } else if (auto* seeding = std::get_if<SeedingEvent>(&event)) {
    const auto it = seeds.find(seeding->sha256);
    if (it == seeds.end()) return;
    it->second.serving = true;
    if (auto callback = std::exchange(it->second.callback, nullptr)) {
      callbacks.push_back([callback] { callback(absl::OkStatus()); });
    }
  } else if (auto* failed = std::get_if<SeedFailedEvent>(&event)) {
    const auto it = seeds.find(failed->sha256);
    if (it == seeds.end()) return;
    if (auto callback = std::move(it->second.callback)) {
      callbacks.push_back(
          [callback, status = failed->status] { callback(status); });
    } else {
      LogWarn("seed_dropped",
              {{"path", it->second.job.path}, {"error", failed->status}});
    }
    seeds.erase(it);
  }
}

void FetchProcess::Impl::CheckDeadlines() {
  std::lock_guard lock(mutex);
  const absl::Duration now = Now();
  for (auto it = jobs.begin(); it != jobs.end();) {
    const auto next = std::next(it);
    if (now > it->second.deadline + kDeadlineGrace) {
      Send(CancelCommand{it->second.wire_id});
      Finish(it, MakeError(absl::StatusCode::kDeadlineExceeded, "no_source",
                           "the deadline came while shoal-fetch was down"));
    }
    it = next;
  }
  for (auto it = documents.begin(); it != documents.end();) {
    const auto next = std::next(it);
    if (now > it->second.deadline + kDeadlineGrace) {
      Send(CancelCommand{it->first});
      OnFailed({it->first,
                MakeError(absl::StatusCode::kDeadlineExceeded, "no_source",
                          "no answer from shoal-fetch"),
                Counters()});
    }
    it = next;
  }
}

}  // namespace shoal::dht
