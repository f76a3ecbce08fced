// shoal-fetch only while there is something to fetch or to seed: the first
// work starts it, EndIfIdle() ends it. Its memory is the greatest single part
// of what a device needs (docs/device.md).
#ifndef SHOAL_AGENT_LINK_LAZY_FETCH_H_
#define SHOAL_AGENT_LINK_LAZY_FETCH_H_

#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "dht/swarm/fetch_process.h"

namespace shoal::agent {

// The methods are those of dht::FetchProcess, which see; where one of them
// must start the child it may also fail with FetchProcess::Open's reasons,
// and takes some 50 ms. Thread-safe.
class LazyFetch {
 public:
  // `clock` outlives it. `idle`: how long the child stays without any work.
  LazyFetch(dht::FetchOptions options, Clock& clock,
            absl::Duration idle = absl::Seconds(10));
  ~LazyFetch();
  LazyFetch(const LazyFetch&) = delete;
  LazyFetch& operator=(const LazyFetch&) = delete;

  // Bytes per second of downloads from now on: the lower of this and what was
  // configured; 0: what was configured. May block.
  void SetDownloadLimit(int64_t bytes_per_second);

  // These three start the child, so they may block.
  absl::Status Fetch(dht::FetchJob job, dht::ProgressCallback progress,
                     dht::DoneCallback done);
  absl::Status Seed(dht::SeedJob job, dht::SeedCallback callback);
  void FetchDocument(std::vector<std::string> urls, uint64_t max_bytes,
                     std::optional<std::string> sha256, absl::Duration timeout,
                     dht::DocumentCallback callback);

  // These never start it and never block.
  void AddPeers(const std::string& id, std::vector<std::string> peers);
  void Cancel(const std::string& id);
  // Bytes per second of downloads from now on: the lower of this and what was
  // configured; 0: what was configured.
  void StopSeeding(const std::string& sha256);
  std::string swarm_address() const;  // "" while it does not run
  bool running() const;

  // Ends the child when it had nothing to do for `idle`. To be called now and
  // then, not from a callback.
  void EndIfIdle();

 private:
  struct Work;  // what the callbacks touch; outlives the process
  absl::Status Start();

  dht::FetchOptions options_;  // under life_
  const int64_t own_download_limit_;
  const std::string listen_;  // as configured
  Clock& clock_;
  const absl::Duration idle_;
  std::mutex life_;  // held while the child is started, ended, given work
  const std::shared_ptr<Work> work_;
  mutable std::mutex mutex_;  // of the pointer; never held for long
  std::unique_ptr<dht::FetchProcess> process_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_LAZY_FETCH_H_
