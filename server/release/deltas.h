// Makes deltas in the background: from every image that devices of the type run
// to the images that are asked for, the one that serves most devices first.
// What devices run is counted with each change of them
// (server/fleet/running_images.h): no look here reads a device. Results are
// rows of the store and blobs, so a restart goes on where it was.
#ifndef SHOAL_SERVER_RELEASE_DELTAS_H_
#define SHOAL_SERVER_RELEASE_DELTAS_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dht/swarm/artifact.h"
#include "rules/delta_abilities.h"
#include "server/release/blobs.h"
#include "server/release/releases.h"
#include "server/store/store.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "shoal/release/v1/release_service.pb.h"

namespace shoal::server {

struct DeltaOptions {
  // Threads that make one delta; one delta is made at a time, so this and the
  // maker's memory (delta/make/make.h: some 50 MiB a thread, and a sixteenth
  // of the image) are the bound of the whole. 1 to 16.
  int threads = 1;
  // How long a delta stays that nobody needs; server/release/delta_gc.h.
  absl::Duration grace = absl::Hours(24 * 7);
};

// A release to which deltas are wanted.
struct DeltaDemand {
  store::ReleaseRow release;
  // Hex digest: from this image alone; empty: from all that devices run.
  std::string only_from;
};

// Thread-safe.
class Deltas {
 public:
  Deltas(Store& store, Blobs& blobs, Releases& releases,
         DeltaOptions options = {});
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
    uint64_t devices = 0;  // that run `from`
  };
  // The pairs that are wanted now, the one that serves most devices first.
  absl::StatusOr<std::vector<Pair>> Wanted(const DeltaDemand& demand) const;

  struct Progress {
    uint32_t wanted = 0;
    uint32_t made = 0;  // or settled otherwise: no rollout waits for it
    uint64_t bytes = 0;
    release::v1::DeltaIndex index;  // of those made
  };
  absl::StatusOr<Progress> ProgressOf(const DeltaDemand& demand) const;
  // What is wanted, made and no longer needed, for people.
  absl::StatusOr<release::v1::ListDeltasResponse> List(
      const std::string& release) const;

  // What is wanted, most urgent first; asked before each delta.
  void SetDemand(
      std::function<absl::StatusOr<std::vector<DeltaDemand>>()> demand) {
    demand_ = std::move(demand);
  }
  absl::StatusOr<std::vector<DeltaDemand>> Demand() const;
  // Called for each delta that was made (and for each at start).
  void OnMade(std::function<void(const dht::Artifact&)> callback) {
    on_made_ = std::move(callback);
  }
  absl::StatusOr<std::vector<dht::Artifact>> Artifacts() const;

  const DeltaOptions& options() const { return options_; }

 private:
  void Run();
  // The first pair in demand for which something is to be done now.
  absl::StatusOr<std::optional<Pair>> Next(
      const std::set<std::string>& failed) const;
  // Empty: nothing was tried yet.
  absl::StatusOr<store::DeltaRow> RowOf(const Pair& pair) const;
  // Makes one and notes what came of it. An error: not even that could be done.
  absl::Status MakeOne(const Pair& pair);
  absl::StatusOr<store::DeltaRow> Make(const Pair& pair,
                                       const std::string& temporary,
                                       std::unique_lock<std::mutex>& hold);
  absl::Status NoteFailure(const Pair& pair, const absl::Status& why);
  Store& store_;
  Blobs& blobs_;
  Releases& releases_;
  const DeltaOptions options_;
  std::function<absl::StatusOr<std::vector<DeltaDemand>>()> demand_;
  std::function<void(const dht::Artifact&)> on_made_;
  std::atomic<bool> cancel_{false};
  mutable std::mutex making_mutex_;
  std::string making_;  // row key; empty: none
  std::thread thread_;
};

// "TYPE/TO-HEX/FROM-HEX".
std::string DeltaKey(const Deltas::Pair& pair);
// No rollout waits for the pair any more: made, useless, or failed for good or
// three times in a row.
bool IsSettled(const Deltas::Pair& pair, const store::DeltaRow& row);
// It is to be made now, again or for the first time.
bool IsDue(const Deltas::Pair& pair, const store::DeltaRow& row,
           absl::Time now);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_DELTAS_H_
