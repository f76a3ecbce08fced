// Makes deltas in the background, one at a time: from every image that devices
// of the type run to the image of a release. Results are rows of the store and
// blobs, so a restart goes on where it was.
#ifndef SHOAL_SERVER_RELEASE_DELTAS_H_
#define SHOAL_SERVER_RELEASE_DELTAS_H_

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/swarm/artifact.h"
#include "rules/delta_abilities.h"
#include "server/fleet/devices.h"
#include "server/release/blobs.h"
#include "server/release/releases.h"
#include "server/store/store.h"
#include "shoal/release/v1/delta_index.pb.h"

namespace shoal::server {

// Thread-safe.
class Deltas {
 public:
  Deltas(Store& store, Blobs& blobs, Releases& releases, Devices& devices);
  ~Deltas();

  void Start();
  void Stop();  // a delta in the making is abandoned

  // A pair of images of one device type (32-byte digests).
  struct Pair {
    std::string device_type;
    store::ReleaseRow from;
    store::ReleaseRow to;
    // By what the devices that run `from` say they can take.
    rules::DeltaDemand demand;
  };
  // The pairs that a rollout of `release` wants now.
  absl::StatusOr<std::vector<Pair>> Wanted(
      const store::ReleaseRow& release) const;

  struct Progress {
    uint32_t wanted = 0;
    uint32_t made = 0;  // or found useless
    uint64_t bytes = 0;
    release::v1::DeltaIndex index;  // of those made
  };
  absl::StatusOr<Progress> ProgressOf(const store::ReleaseRow& release) const;

  // Which releases are being prepared; asked by the worker.
  void SetDemand(std::function<std::vector<store::ReleaseRow>()> demand) {
    demand_ = std::move(demand);
  }
  // Called for each delta that was made (and for each at start).
  void OnMade(std::function<void(const dht::Artifact&)> callback) {
    on_made_ = std::move(callback);
  }
  absl::StatusOr<std::vector<dht::Artifact>> Artifacts() const;

 private:
  void Run();
  // What was made of a pair, if it still serves those devices.
  absl::StatusOr<std::optional<store::DeltaRow>> MadeOf(const Pair& pair) const;
  absl::Status MakeOne(const Pair& pair);
  Store& store_;
  Blobs& blobs_;
  Releases& releases_;
  Devices& devices_;
  std::function<std::vector<store::ReleaseRow>()> demand_;
  std::function<void(const dht::Artifact&)> on_made_;
  std::atomic<bool> cancel_{false};
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_DELTAS_H_
