// Real shoal-fetch processes and real HTTP servers on loopback.
#ifndef SHOAL_TESTS_INTEGRATION_SWARM_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_SWARM_FIXTURE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/files.h"
#include "dht/swarm/fetch_process.h"
#include "dht/swarm/origin_server.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::dht {

// The result of a job, filled in by its callback.
class Outcome {
 public:
  DoneCallback Callback();
  ProgressCallback Progress();
  bool Finished() const;
  uint64_t bytes() const { return state_->bytes; }
  // Waits for the end.
  absl::StatusOr<FetchResult> Wait(absl::Duration timeout = absl::Seconds(30));

 private:
  struct State {
    mutable std::mutex mutex;
    std::optional<absl::StatusOr<FetchResult>> result;
    std::atomic<uint64_t> bytes{0};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// An HTTP server that misbehaves as told. `answer` gets the request's head
// and a function that sends bytes (false once the client is gone).
class RudeServer {
 public:
  using Send = std::function<bool(std::string_view)>;
  using Answer = std::function<void(const std::string& head, const Send& send)>;
  explicit RudeServer(Answer answer);
  ~RudeServer();
  std::string url() const;
  int requests() const { return requests_; }

 private:
  void Loop();
  Answer answer_;
  FileDescriptor listener_;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> requests_{0};
  std::thread thread_;
};

class SwarmTest : public ::testing::Test {
 protected:
  // A random artifact of `size` bytes in its own file.
  void MakeArtifact(size_t size);
  std::unique_ptr<FetchProcess> Start(const std::string& name,
                                      FetchLimits limits = {});
  // A process that serves `path` (default: the artifact's file).
  std::unique_ptr<FetchProcess> StartSeed(const std::string& name,
                                          FetchLimits limits = {},
                                          std::string path = "");
  // Serves the artifact's bytes by range requests; `url()` + "artifact".
  std::unique_ptr<OriginServer> StartOrigin();
  FetchJob Job(const std::string& name);
  // Runs `job` to its end and expects the artifact's bytes in its file.
  absl::StatusOr<FetchResult> FetchWhole(FetchProcess& process,
                                         const FetchJob& job);
  std::string Content(const std::string& path);

  shoal::testing::TempDir dir_;
  std::string content_;
  std::string source_;
  Artifact artifact_;
};

}  // namespace shoal::dht

#endif  // SHOAL_TESTS_INTEGRATION_SWARM_FIXTURE_H_
