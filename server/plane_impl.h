// The inside of Plane: what it is made of (plane.cc), who tells whom
// (plane_wiring.cc). plane_import.cc shares the store's opening.
#ifndef SHOAL_SERVER_PLANE_IMPL_H_
#define SHOAL_SERVER_PLANE_IMPL_H_

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/metrics/endpoint.h"
#include "common/metrics/metrics.h"
#include "dht/records/network.h"
#include "dht/swarm/fetch_process.h"
#include "dht/swarm/origin_server.h"
#include "server/api/api_server.h"
#include "server/fleet/credentials.h"
#include "server/fleet/network_keys.h"
#include "server/fleet/revocations.h"
#include "server/metrics/fleet_metrics.h"
#include "server/plane.h"
#include "server/pull/pair_listener.h"
#include "server/pull/puller.h"
#include "server/release/delta_gc.h"
#include "server/release/seeder.h"
#include "server/rollout/driver.h"
#include "server/rollout/explain.h"

namespace shoal::server {

class NetworkCheck;

// DATA/store, made if it is missing; "kv_busy" while another process has it.
absl::StatusOr<std::unique_ptr<Store>> OpenPlaneStore(const PlaneConfig& config,
                                                      FileSystem& fs,
                                                      Clock& clock);

// One thread that calls `work` about every `pause` until the store shuts down
// or `work` says that it is done.
class Periodic {
 public:
  enum class Next { kAgain, kDone };

  // `work` gives a Next, or nothing when it is never done.
  template <typename Work>
  Periodic(Store& store, absl::Duration pause, Work work)
      : thread_([&store, pause, work = std::move(work)] {
          absl::Duration next = absl::ZeroDuration();
          while (!store.shut_down()) {
            const absl::Duration now = store.clock().MonotonicNow();
            if (now >= next) {
              next = now + pause;
              if constexpr (std::is_void_v<decltype(work())>)
                work();
              else if (work() == Next::kDone)
                return;
            }
            store.WaitForChange(store.revision(),
                                std::min(pause, absl::Seconds(1)));
          }
        }) {}
  ~Periodic() { thread_.join(); }

 private:
  std::thread thread_;
};

// Members in the order of construction; destruction is explicit in ~Plane.
struct Plane::Impl {
  PlaneConfig config;
  metrics::Metrics metrics;
  std::unique_ptr<PlaneKeys> keys;
  std::unique_ptr<Store> store;
  std::unique_ptr<TrustRepository> trust;
  std::unique_ptr<Blobs> blobs;
  std::unique_ptr<RecordWriter> writer;
  std::unique_ptr<Writers> writers;
  std::unique_ptr<Nodes> nodes;
  std::unique_ptr<NetworkKeys> network_keys;
  std::unique_ptr<DeviceChanges> device_changes;
  std::unique_ptr<Devices> devices;
  std::unique_ptr<Groups> groups;
  std::unique_ptr<Credentials> credentials;
  std::unique_ptr<Revocations> revocations;
  std::unique_ptr<Enrolment> enrolment;
  std::unique_ptr<Pairing> pairing;
  std::unique_ptr<dht::Network> network;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Releases> releases;
  std::unique_ptr<Deltas> deltas;
  std::unique_ptr<Rollouts> rollouts;
  std::unique_ptr<BlobSweeper> sweeper;
  std::unique_ptr<DeltaCollector> collector;
  std::unique_ptr<ReleaseDeleter> deleter;
  std::unique_ptr<Explainer> explainer;
  std::unique_ptr<Telemetry> telemetry;
  std::unique_ptr<Intake> intake;
  std::unique_ptr<Puller> puller;
  std::unique_ptr<PairListener> pair_listener;
  std::unique_ptr<dht::OriginServer> origin;
  std::unique_ptr<dht::FetchProcess> fetch;
  std::unique_ptr<Seeder> seeder;
  std::unique_ptr<RolloutDriver> driver;
  std::unique_ptr<Access> access;
  // Nothing is published before it holds. With a failure nothing ever is.
  std::atomic<bool> network_checked{false};
  mutable std::mutex failure_mutex;
  absl::Status failure;
  std::unique_ptr<Periodic> network_check;
  std::unique_ptr<Periodic> renewal;
  std::unique_ptr<Periodic> housekeeping;
  std::unique_ptr<Periodic> renewing;
  std::unique_ptr<Periodic> key_delivery;
  std::vector<std::string> revoked_nodes;  // as key_delivery saw them last
  std::atomic<bool> grants_due{
      false};  // a new epoch is to be sealed to devices
  // A device gave a key up, and the fleet is to be told.
  std::atomic<bool> superseded_due{false};
  absl::Duration superseded_next;  // key_delivery's
  std::unique_ptr<ApiServer> api;
  std::unique_ptr<FleetMetrics> fleet_metrics;
  std::unique_ptr<metrics::Endpoint> metrics_endpoint;

  absl::Status BuildDomain(FileSystem& fs, Clock& clock);
  absl::Status BuildNetwork(Clock& clock);
  absl::Status BuildBulk();
  absl::Status StartWorkers(FileSystem& fs);
  absl::Status StartMetrics();
  absl::Status StartApi(FileSystem& fs, const ApiParts& parts);
  void Wire();
  Periodic::Next CheckNetwork(NetworkCheck& check);
  void RenewTimestamp(absl::Duration age);
  absl::Status PublishRevocations();
  void PublishSuperseded();
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PLANE_IMPL_H_
