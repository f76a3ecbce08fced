#include "dht/swarm/fetch_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/files.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "dht/swarm/control.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(10);
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(50);
constexpr absl::Duration kMaxBackoff = absl::Seconds(5);
// A child that lived this long did not die of how it was started.
constexpr absl::Duration kHealthyAge = absl::Seconds(10);
// The child reports a deadline itself; this is for when there is none.
constexpr absl::Duration kDeadlineGrace = absl::Seconds(2);
// The port of a child that was just killed may be taken: after so many
// failures a new one is chosen.
constexpr int kTriesForPort = 5;

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

LimitsCommand ToCommand(const FetchLimits& limits) {
  return {std::max<int64_t>(0, limits.upload_bytes_per_second),
          std::max<int64_t>(0, limits.download_bytes_per_second),
          limits.allow_upload};
}

}  // namespace

struct FetchProcess::Impl {
  struct RunningJob {
    FetchJob job;
    std::string wire_id;  // unique for ever, so that no late event strays
    ProgressCallback progress;
    DoneCallback done;
    absl::Duration deadline;
    Counters before;  // of earlier children
    Counters now;
  };
  struct RunningSeed {
    SeedJob job;
    SeedCallback callback;
    bool serving = false;
  };
  struct RunningDocument {
    DocumentCallback callback;
    uint64_t max_bytes = 0;
    absl::Duration deadline;
    std::string bytes;
  };
  using Callbacks = std::vector<std::function<void()>>;

  explicit Impl(FetchOptions opts) : options(std::move(opts)) {}

  // All below the mutex, but for what is marked.
  mutable std::mutex mutex;
  std::condition_variable changed;
  FetchOptions options;  // `limits` below the mutex, the rest constant
  std::string address;
  bool ready = false;  // the child is configured and listens
  bool once_ready = false;
  bool stopping = false;
  FetchStatus status;
  std::map<std::string, RunningJob> jobs;  // by the caller's id
  std::map<std::string, RunningSeed> seeds;
  std::map<std::string, RunningDocument> documents;  // by wire id
  uint64_t last_wire_id = 0;
  std::string outbox;   // lines for the child
  Callbacks callbacks;  // to be called without the mutex

  FileDescriptor wake;
  std::thread thread;

  // ---- the object's thread only ----
  std::optional<Subprocess> child;
  FileDescriptor to_child, from_child;
  LineBuffer lines;
  absl::Duration started_at, next_start, backoff = kFirstBackoff;
  int failed_starts = 0;

  void Wake() {
    const uint64_t one = 1;
    // A full counter already wakes the thread.
    [[maybe_unused]] const ssize_t n = write(wake.get(), &one, sizeof(one));
  }
  absl::Duration Now() const { return SystemClock().MonotonicNow(); }
  std::string NewWireId(char kind) {
    return fmt::format("{}{}", kind, ++last_wire_id);
  }

  void Send(const Command& command);
  void SendFetch(const RunningJob& job);
  void Finish(std::map<std::string, RunningJob>::iterator it,
              absl::StatusOr<FetchResult> result);
  void OnEvent(Event event);
  void OnDone(const DoneEvent& event);
  void OnFailed(const FailedEvent& event);
  void OnReady(const ReadyEvent& event);

  absl::Status StartChild();
  void ChildDied(std::string_view why);
  void ReadChild();
  void WriteChild();
  void CheckDeadlines();
  void Loop();
};

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

absl::Status FetchProcess::Impl::StartChild() {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor child_in(in[0]), our_out(in[1]);
  if (pipe2(out, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  FileDescriptor our_in(out[0]), child_out(out[1]);
  fcntl(our_in.get(), F_SETFL, O_NONBLOCK);
  fcntl(our_out.get(), F_SETFL, O_NONBLOCK);
  SubprocessOptions start;
  start.arguments = {options.program};
  start.environment = std::vector<std::string>{"LC_ALL=C"};
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
    if (const char* value = getenv(name)) {
      start.environment->push_back(fmt::format("{}={}", name, value));
    }
  }
  start.descriptors = {{child_in.get(), STDIN_FILENO},
                       {child_out.get(), STDOUT_FILENO}};
  SHOAL_ASSIGN_OR_RETURN(Subprocess process, Subprocess::Start(start));
  child.emplace(std::move(process));
  to_child = std::move(our_out);
  from_child = std::move(our_in);
  lines = LineBuffer();
  started_at = Now();

  std::lock_guard lock(mutex);
  ConfigureCommand configure;
  configure.listen = address.empty() ? options.listen : address;
  if (failed_starts >= kTriesForPort) configure.listen = options.listen;
  configure.state_dir = options.state_dir;
  configure.ca_file = options.ca_file;
  configure.limits = ToCommand(options.limits);
  configure.stall_ms = absl::ToInt64Milliseconds(options.stall_timeout);
  configure.min_rate = options.min_bytes_per_second;
  if (options.user) configure.user = *options.user;
  if (options.group) configure.group = *options.group;
  SHOAL_ASSIGN_OR_RETURN(outbox, FormatCommand(configure));
  status.child = child->pid();
  return absl::OkStatus();
}

void FetchProcess::Impl::ChildDied(std::string_view why) {
  std::string end(why);
  if (child) {
    child->Signal(SIGKILL);
    if (const auto exit = child->Wait(absl::Seconds(5)); exit.ok()) {
      end = fmt::format("{}, {}", why, exit->ToString());
    }
  }
  child.reset();
  to_child.Reset(-1);
  from_child.Reset(-1);
  const absl::Duration now = Now();
  if (now - started_at >= kHealthyAge) backoff = kFirstBackoff;
  next_start = now + backoff;
  backoff = std::min(backoff * 2, kMaxBackoff);

  std::lock_guard lock(mutex);
  if (!ready) ++failed_starts;
  ready = false;
  outbox.clear();
  status.child = -1;
  status.uploaded = 0;
  if (stopping) return;
  ++status.restarts;
  for (auto& [id, job] : jobs) {
    job.before.peers += job.now.peers;
    job.before.origin += job.now.origin;
    job.before.discarded += job.now.discarded;
    job.now = Counters();
  }
  for (auto& [sha256, seed] : seeds) seed.serving = false;
  for (auto& [id, document] : documents) {
    callbacks.push_back([callback = std::move(document.callback)] {
      if (callback) {
        callback(Unavailable("fetch_restarted", "shoal-fetch was restarted"));
      }
    });
  }
  documents.clear();
  LogWarn("fetch_died", {{"why", end}, {"jobs", jobs.size()}});
}

void FetchProcess::Impl::ReadChild() {
  std::string buffer(64 * 1024, '\0');
  const ssize_t n = read(from_child.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return ChildDied("its output ended");
  absl::Status parsed =
      lines.Append(std::string_view(buffer.data(), static_cast<size_t>(n)));
  while (parsed.ok()) {
    const auto line = lines.Next();
    if (!line) return;
    auto event = ParseEvent(*line);
    parsed = event.status();
    if (event.ok()) {
      std::lock_guard lock(mutex);
      OnEvent(*std::move(event));
    }
  }
  // It speaks with strangers: one that does not keep to the protocol may no
  // longer be ours.
  LogError("fetch_output_refused", {{"error", parsed}});
  ChildDied("it broke the protocol");
}

void FetchProcess::Impl::WriteChild() {
  std::lock_guard lock(mutex);
  if (outbox.empty()) return;
  // SIGPIPE is blocked in this thread.
  const ssize_t n = write(to_child.get(), outbox.data(), outbox.size());
  if (n > 0) outbox.erase(0, static_cast<size_t>(n));
  // Any error shows as the end of its output too.
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

void FetchProcess::Impl::Loop() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (;;) {
    bool writing = false;
    {
      std::lock_guard lock(mutex);
      if (stopping) break;
      writing = !outbox.empty();
    }
    if (!child && Now() >= next_start) {
      if (auto started = StartChild(); !started.ok()) {
        LogError("fetch_start_failed", {{"error", started}});
        ChildDied("it could not be started");
      }
      continue;
    }
    absl::Duration wait = absl::Milliseconds(500);
    if (!child) wait = std::min(wait, next_start - Now());
    pollfd fds[3] = {{wake.get(), POLLIN, 0},
                     {from_child.get(), POLLIN, 0},
                     {writing ? to_child.get() : -1, POLLOUT, 0}};
    poll(fds, 3,
         static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(
             std::max(wait, absl::ZeroDuration()), absl::Milliseconds(1)))));
    uint64_t count = 0;
    // Empty when something else ended the wait.
    [[maybe_unused]] const ssize_t n = read(wake.get(), &count, sizeof(count));
    if (child && fds[2].revents != 0) WriteChild();
    if (child && fds[1].revents != 0) ReadChild();
    if (child) {
      bool up;
      {
        std::lock_guard lock(mutex);
        up = ready;
      }
      if (!up && Now() - started_at > kStartTimeout) {
        ChildDied("it did not get ready");
      }
    }
    CheckDeadlines();
    Callbacks due;
    {
      std::lock_guard lock(mutex);
      due.swap(callbacks);
    }
    for (const auto& callback : due) callback();
  }
  // The end of its input ends the child; the Subprocess kills it otherwise.
  to_child.Reset(-1);
  if (child) {
    // A time-out is dealt with by the destructor's kill.
    (void)child->Wait(absl::Milliseconds(500));
    child.reset();
  }
}

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
    if (!p.changed.wait_for(lock, absl::ToChronoSeconds(2 * kStartTimeout),
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
