#include "server/plane.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/x509.h"
#include "common/kv/store.h"
#include "common/log.h"
#include "common/ports.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "dht/records/network_metrics.h"
#include "server/plane_impl.h"
#include "server/publish/network_check.h"
#include "server/publish/new_director.h"
#include "server/store/requests.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kNetworkCheckPause = absl::Milliseconds(200);
constexpr absl::Duration kNetworkCheckWait = absl::Seconds(3);
constexpr absl::Duration kSupersededPause = absl::Minutes(10);

std::string Advertised(const std::string& address, const std::string& host) {
  if (host.empty()) return address;
  return host + address.substr(address.rfind(':'));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenPlaneStore(const PlaneConfig& config,
                                                      FileSystem& fs,
                                                      Clock& clock) {
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(config.data_dir));
  SHOAL_ASSIGN_OR_RETURN(
      auto kv, kv::Store::Open(JoinPath(config.data_dir, "store"), {}));
  return Store::Open(std::move(kv), clock);
}

Plane::Plane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::Status Plane::Impl::BuildDomain(FileSystem& fs, Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(PlaneKeys loaded, LoadPlaneKeys(config.data_dir, fs));
  keys = std::make_unique<PlaneKeys>(std::move(loaded));
  SHOAL_ASSIGN_OR_RETURN(store, OpenPlaneStore(config, fs, clock));
  SHOAL_ASSIGN_OR_RETURN(
      trust,
      TrustRepository::Open(*store, *keys, clock, config.timestamp_lifetime));
  if (!trust->View()) {
    return FailedPrecondition("no_trust",
                              "no repository that names this plane's keys: run "
                              "'shoald import' with one that shoal-sign "
                              "signed for online-public.json");
  }
  const std::string fleet_id = trust->View()->fleet.fleet_id;
  SHOAL_ASSIGN_OR_RETURN(blobs, Blobs::Open(config.data_dir, fs));
  writer = std::make_unique<RecordWriter>(*keys, fleet_id);
  SHOAL_ASSIGN_OR_RETURN(writers, Writers::Open(*store, *trust));
  SHOAL_ASSIGN_OR_RETURN(std::string spki,
                         crypto::SpkiSha256(keys->tls_cert_pem));
  nodes =
      std::make_unique<Nodes>(*store, *keys, *writer, *trust, *writers, spki);
  network_keys = std::make_unique<NetworkKeys>(*store, *keys, *writer, *trust,
                                               config.network_keys);
  SHOAL_ASSIGN_OR_RETURN(device_changes, DeviceChanges::Open(*store, *writer));
  groups = std::make_unique<Groups>(*store, *device_changes);
  devices = std::make_unique<Devices>(*store, *writer, *writers);
  credentials = std::make_unique<Credentials>(
      *store, *keys, *writer, *writers, config.enrolment.credential_lifetime);
  enrolment =
      std::make_unique<Enrolment>(*store, *keys, *writer, *trust, *devices,
                                  *nodes, *writers, config.enrolment);
  SHOAL_RETURN_IF_ERROR(enrolment->MakeDeviceKeys());
  pairing =
      std::make_unique<Pairing>(*store, *keys, *writer, *nodes, *enrolment);
  access = std::make_unique<Access>(*store, *trust);
  return absl::OkStatus();
}

absl::Status Plane::Impl::BuildNetwork(Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(auto directory, nodes->Directory());
  dht::NetworkOptions options;
  options.bind_address = config.dht_listen;
  options.fleet_id = writer->fleet_id();
  SHOAL_ASSIGN_OR_RETURN(options.keys, network_keys->OwnKeys());
  options.place_key = std::string(keys->place_key.view());
  options.directory = directory;
  options.resolver = writers->Resolver();
  options.clock = &clock;
  SHOAL_ASSIGN_OR_RETURN(network, dht::Network::Open(std::move(options)));
  publisher = std::make_unique<Publisher>(
      *store, *writer, *trust, config.timestamp_renewal,
      [this](std::string record, dht::Network::PutCallback done) {
        network->Put(std::move(record), {}, std::move(done));
      },
      [this] {
        return network_checked ? static_cast<int>(puller->node_count()) : 0;
      });
  releases = std::make_unique<Releases>(*store, *trust, *publisher, *blobs);
  revocations = std::make_unique<Revocations>(*store, *trust, *publisher);
  deltas = std::make_unique<Deltas>(*store, *blobs, *releases, config.deltas);
  rollouts = std::make_unique<Rollouts>(*store, *writer, *trust, *releases,
                                        *deltas, *devices);
  sweeper = std::make_unique<BlobSweeper>(*store, *writer, *blobs);
  collector = std::make_unique<DeltaCollector>(*store, *trust, *publisher,
                                               *releases, *deltas, *sweeper);
  deleter = std::make_unique<ReleaseDeleter>(*store, *trust, *publisher,
                                             *releases, *sweeper);
  device_changes->OnFacts([this](Transaction& tx,
                                 const store::DeviceRow& before,
                                 const store::DeviceRow& after) {
    return rollouts->KeepPhases(tx, before, after);
  });
  explainer = std::make_unique<Explainer>(*store, *rollouts, *devices, *trust,
                                          writer->fleet_id());
  telemetry = std::make_unique<Telemetry>(*store, keys->telemetry);
  intake = std::make_unique<Intake>(*store, writer->fleet_id(),
                                    writer->places(), writers->Resolver());
  return absl::OkStatus();
}

absl::Status Plane::Impl::BuildBulk() {
  SHOAL_ASSIGN_OR_RETURN(
      origin, dht::OriginServer::Open(config.http_listen, blobs->public_dir()));
  dht::FetchOptions options;
  options.program = config.fetch_program.empty()
                        ? JoinPath(ProgramDirectory(), "shoal-fetch")
                        : config.fetch_program;
  options.listen = config.swarm_listen;
  options.state_dir = JoinPath(config.data_dir, "swarm");
  SHOAL_ASSIGN_OR_RETURN(fetch, dht::FetchProcess::Open(std::move(options)));
  seeder = std::make_unique<Seeder>(
      *store, *writer, *blobs, *fetch,
      Advertised(fetch->swarm_address(), config.advertise_host),
      "http://" + Advertised(origin->address(), config.advertise_host) + "/");
  return absl::OkStatus();
}

void Plane::Impl::RenewTimestamp(absl::Duration age) {
  auto renewed = trust->Renew(
      age, [this](Transaction& tx, const TrustRepository::Changed& changed,
                  const TrustView& view) {
        return publisher->AddPublication(tx, changed, view);
      });
  absl::Status status = renewed.status();
  if (renewed.ok() && *renewed) status = releases->SyncTree();
  if (!status.ok()) LogError("renewal_failed", {{"error", status}});
}

// Again and again until a storage node has answered.
Periodic::Next Plane::Impl::CheckNetwork(NetworkCheck& check) {
  if (puller->node_count() > 0) {
    const auto answer = check.Look(kNetworkCheckWait);
    if (!answer.ok()) {
      LogError("network_refused", {{"error", answer.status()}});
      std::lock_guard lock(failure_mutex);
      failure = answer.status();
      kill(getpid(), SIGTERM);
      return Periodic::Next::kDone;
    }
    if (*answer == NetworkCheck::Answer::kNobody) return Periodic::Next::kAgain;
    if (*answer == NetworkCheck::Answer::kNewer)
      RenewTimestamp(absl::ZeroDuration());
  }
  LogInfo("network_checked");
  network_checked = true;
  return Periodic::Next::kDone;
}

absl::Status Plane::Failure() const {
  std::lock_guard lock(impl_->failure_mutex);
  return impl_->failure;
}

absl::Status Plane::Impl::PublishRevocations() {
  SHOAL_ASSIGN_OR_RETURN(const bool changed, revocations->Publish());
  return changed ? releases->SyncTree() : absl::OkStatus();
}

// At once, and then with a pause: each time the whole device type fetches it.
void Plane::Impl::PublishSuperseded() {
  const absl::Duration now = store->clock().MonotonicNow();
  if (now < superseded_next || !superseded_due.exchange(false)) return;
  const absl::Status status = PublishRevocations();
  if (status.ok()) {
    superseded_next = now + kSupersededPause;
    return;
  }
  LogError("revocations_unsent", {{"error", status}});
  superseded_due = true;
}

absl::Status Plane::Impl::StartMetrics() {
  if (config.metrics_listen.empty()) return absl::OkStatus();
  fleet_metrics = std::make_unique<FleetMetrics>(*store, *trust);
  metrics.Collect(metrics::CollectProcess);
  metrics.Collect([this](metrics::Samples& out) {
    fleet_metrics->Collect(out);
    dht::CollectNetwork(network->Stats(), out);
    out.Gauge("shoald_storage_nodes", "Storage nodes of the directory.",
              puller->node_count());
    out.Gauge("shoald_storage_nodes_reachable",
              "Storage nodes that answered the last time they were asked.",
              puller->nodes_reachable());
  });
  SHOAL_ASSIGN_OR_RETURN(metrics_endpoint, metrics::Endpoint::Open(
                                               config.metrics_listen, metrics));
  LogInfo("metrics", {{"address", metrics_endpoint->address()}});
  return absl::OkStatus();
}

// A port that nobody named is kept over restarts where it can be, so that
// operators' contexts go on working.
absl::Status Plane::Impl::StartApi(FileSystem& fs, const ApiParts& parts) {
  constexpr std::string_view kAnyPort = ":0";
  if (config.api_listen.ends_with(kAnyPort)) {
    const std::string host =
        config.api_listen.substr(0, config.api_listen.size() - 1);
    const auto started = [&](const std::string& address) {
      auto server = ApiServer::Start(address, *keys, parts);
      if (server.ok()) api = *std::move(server);
      return server.ok();
    };
    const std::string path = JoinPath(config.data_dir, "address");
    if (fs.Exists(path)) {
      SHOAL_ASSIGN_OR_RETURN(std::string last, fs.Read(path, 256));
      last = last.substr(0, last.find('\n'));
      if (last.rfind(host, 0) == 0) {
        if (started(last)) return absl::OkStatus();
        LogWarn("port_taken", {{"address", last}});
      }
    }
    // Of a host by name, or when somebody else takes the port meanwhile: the
    // system's choice.
    auto free =
        HoldFreePort(kPlanePorts, host.substr(0, host.size() - 1), SOCK_STREAM);
    if (free.ok()) {
      free->socket.Reset(-1);
      if (started(host + std::to_string(free->number))) return absl::OkStatus();
    }
  }
  SHOAL_ASSIGN_OR_RETURN(api,
                         ApiServer::Start(config.api_listen, *keys, parts));
  return absl::OkStatus();
}

absl::Status Plane::Impl::StartWorkers(FileSystem& fs) {
  puller = std::make_unique<Puller>(*store, *intake, *keys);
  Wire();
  driver = std::make_unique<RolloutDriver>(
      *store, *rollouts, *releases, *deltas, *devices, *trust, *publisher,
      [this](const std::vector<std::string>& digests) {
        return RolloutDriver::Mirrors{puller->NodesWith(digests),
                                      std::min(2u, puller->node_count())};
      });
  SHOAL_RETURN_IF_ERROR(AdoptDirectorKey(*store, *keys, *writer));
  SHOAL_RETURN_IF_ERROR(credentials->RenewDue().status());
  SHOAL_RETURN_IF_ERROR(PublishRevocations());
  SHOAL_RETURN_IF_ERROR(releases->SyncTree());
  SHOAL_RETURN_IF_ERROR(nodes->PublishDirectory());
  SHOAL_RETURN_IF_ERROR(publisher->PublishCurrent());
  SHOAL_RETURN_IF_ERROR(sweeper->Sweep());
  SHOAL_RETURN_IF_ERROR(seeder->OfferAll(*releases, *deltas));
  SHOAL_ASSIGN_OR_RETURN(auto directory, nodes->Directory());
  puller->SetDirectory(directory);
  publisher->Start();
  const NetworkReader reader{
      [this](std::string place, absl::Duration timeout,
             dht::Network::GetCallback done) {
        network->Get(std::move(place), timeout, std::move(done));
      },
      [this] { return network->Stats().connected_nodes; }};
  network_check =
      std::make_unique<Periodic>(*store, kNetworkCheckPause,
                                 [this, check = std::make_shared<NetworkCheck>(
                                            reader, writer->places(), *trust)] {
                                   return CheckNetwork(*check);
                                 });
  groups->Start();
  deltas->Start();
  driver->Start([this] { return puller->CaughtUp(); });
  pair_listener =
      std::make_unique<PairListener>(*store, *pairing, *intake, *network);
  pair_listener->Start();
  renewal = std::make_unique<Periodic>(
      *store, std::min(config.timestamp_renewal / 4, absl::Minutes(1)),
      [this] { RenewTimestamp(config.timestamp_renewal); });
  housekeeping = std::make_unique<Periodic>(*store, absl::Hours(1), [this] {
    absl::Status status = ForgetOldRequests(*store);
    if (status.ok()) status = intake->ForgetExpired();
    if (status.ok()) status = enrolment->Expire();
    if (status.ok()) status = network_keys->RotateIfDue();
    if (status.ok()) status = collector->Collect("plane").status();
    if (!status.ok()) LogError("housekeeping_failed", {{"error", status}});
  });
  // Half of a lifetime is left when a credential is due: a sixtieth is soon.
  renewing = std::make_unique<Periodic>(
      *store,
      std::min(config.enrolment.credential_lifetime / 60, absl::Hours(1)),
      [this] {
        const absl::Status status = credentials->RenewDue().status();
        if (!status.ok()) LogError("renewing_failed", {{"error", status}});
      });
  key_delivery = std::make_unique<Periodic>(*store, absl::Seconds(1), [this] {
    // A node that the policy revokes now is to lose the network now.
    if (auto view = trust->View();
        view && view->fleet.revoked_node_keys != revoked_nodes) {
      absl::Status rotated = nodes->DropRevoked();
      if (rotated.ok()) rotated = network_keys->RotateIfDue();
      if (rotated.ok()) revoked_nodes = view->fleet.revoked_node_keys;
      if (!rotated.ok()) LogError("rotation_failed", {{"error", rotated}});
    }
    PublishSuperseded();
    if (!grants_due.exchange(false)) return;
    const absl::Status status = credentials->RenewDue().status();
    if (status.ok()) return;
    LogError("network_keys_unsent", {{"error", status}});
    grants_due = true;
  });
  ApiParts parts;
  parts.store = store.get();
  parts.access = access.get();
  parts.trust = trust.get();
  parts.publisher = publisher.get();
  parts.blobs = blobs.get();
  parts.nodes = nodes.get();
  parts.devices = devices.get();
  parts.groups = groups.get();
  parts.pairing = pairing.get();
  parts.enrolment = enrolment.get();
  parts.network_keys = network_keys.get();
  parts.releases = releases.get();
  parts.rollouts = rollouts.get();
  parts.deltas = deltas.get();
  parts.collector = collector.get();
  parts.deleter = deleter.get();
  parts.explainer = explainer.get();
  parts.telemetry = telemetry.get();
  parts.intake = intake.get();
  parts.metrics = &metrics;
  SHOAL_RETURN_IF_ERROR(StartMetrics());
  SHOAL_RETURN_IF_ERROR(StartApi(fs, parts));
  return fs.WriteAtomic(JoinPath(config.data_dir, "address"),
                        api->address() + "\n", 0644);
}

absl::StatusOr<std::unique_ptr<Plane>> Plane::Start(const PlaneConfig& config,
                                                    FileSystem& fs,
                                                    Clock& clock) {
  std::unique_ptr<Plane> plane(new Plane(std::make_unique<Impl>()));
  Impl& impl = *plane->impl_;
  impl.config = config;
  SHOAL_RETURN_IF_ERROR(impl.BuildDomain(fs, clock));
  SHOAL_RETURN_IF_ERROR(impl.BuildNetwork(clock));
  SHOAL_RETURN_IF_ERROR(impl.BuildBulk());
  SHOAL_RETURN_IF_ERROR(impl.StartWorkers(fs));
  LogInfo("ready", {{"api", impl.api->address()},
                    {"dht", impl.network->bound_address()},
                    {"http", impl.origin->address()},
                    {"swarm", impl.fetch->swarm_address()},
                    {"fleet", HexEncode(impl.writer->fleet_id())}});
  return plane;
}

Plane::~Plane() {
  Impl& impl = *impl_;
  if (impl.store) impl.store->Shutdown();
  impl.metrics_endpoint.reset();
  impl.metrics.StopCollecting();
  impl.api.reset();
  impl.key_delivery.reset();
  impl.renewing.reset();
  impl.housekeeping.reset();
  impl.renewal.reset();
  impl.network_check.reset();
  impl.pair_listener.reset();
  impl.driver.reset();
  if (impl.groups) impl.groups->Stop();
  if (impl.deltas) impl.deltas->Stop();
  if (impl.puller) impl.puller->Stop();
  if (impl.publisher) impl.publisher->Stop();
  impl.network.reset();
  impl.fetch.reset();
  impl.origin.reset();
}

}  // namespace shoal::server
