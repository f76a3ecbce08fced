// The inside of FetchProcess: the child's life (fetch_process_child.cc), what
// it is to do (fetch_process_jobs.cc) and the calls (fetch_process.cc).
#ifndef SHOAL_DHT_SWARM_FETCH_PROCESS_IMPL_H_
#define SHOAL_DHT_SWARM_FETCH_PROCESS_IMPL_H_

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/files.h"
#include "common/subprocess.h"
#include "dht/swarm/control.h"
#include "dht/swarm/fetch_process.h"

namespace shoal::dht {

inline constexpr absl::Duration kFetchStartTimeout = absl::Seconds(10);
inline constexpr absl::Duration kFirstFetchBackoff = absl::Milliseconds(50);

inline LimitsCommand ToCommand(const FetchLimits& limits) {
  return {std::max<int64_t>(0, limits.upload_bytes_per_second),
          std::max<int64_t>(0, limits.download_bytes_per_second),
          limits.allow_upload};
}

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
  absl::Duration started_at, next_start, backoff = kFirstFetchBackoff;
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

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_PROCESS_IMPL_H_
