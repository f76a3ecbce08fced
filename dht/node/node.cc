#include "dht/node/node.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/intake.h"
#include "dht/node/record_fetcher.h"
#include "dht/node/trust_keeper.h"
#include "dht/records/network.h"
#include "dht/swarm/origin_server.h"
#include "shoal/node/v1/node_service.pb.h"

namespace shoal::dht::node {
namespace {

constexpr uint64_t kMaxDirectoryBytes = 64u << 10;
constexpr absl::Duration kPutDeadline = absl::Seconds(30);
constexpr absl::Duration kSourceLookUp = absl::Seconds(2);
constexpr absl::Duration kRefreshRetry = absl::Seconds(5);
constexpr int kMaxTries = 12;
constexpr size_t kReloadAtOnce = 512;

}  // namespace

class StorageNode::Impl {
 public:
  Impl(NodeConfig config, NodeFiles files, FileSystem& fs, Clock& clock)
      : config_(std::move(config)),
        files_(std::move(files)),
        fs_(fs),
        clock_(clock),
        places_(files_.bundle.network().place_key()) {}
  ~Impl();

  absl::Status Start();
  NodeAddresses addresses() const {
    return {network_->bound_address(), server_->address(), origin_->address(),
            fetch_->swarm_address()};
  }

 private:
  absl::Status OpenStores();
  absl::Status OpenNetwork();
  absl::Status Reload();
  absl::Status OpenServices();
  NodeHooks MakeNodeHooks();

  std::shared_ptr<const records::v1::NodeDirectory> Directory() const {
    std::lock_guard lock(mutex_);
    return directory_;
  }
  absl::StatusOr<VerifiedRecord> Verify(const std::string& bytes) const;
  void Learn(const records::v1::Credential& credential);
  void TakeDirectory(const std::string& bytes);
  void Handle(const VerifiedRecord& record);
  void OfferTimestamp(std::string_view timestamp);
  void Idle();
  void RefreshTrust();
  void OfferProvider(const VerifiedRecord& record);
  MirrorSources Sources(const std::string& sha256);
  void Announce(const std::string& sha256,
                std::function<void(absl::Status)> done);
  bool MayCall(const std::string& spki) const;
  void FillStatus(shoal::node::v1::GetStatusResponse* response) const;
  std::vector<std::string> OtherOrigins() const;
  static void AddSource(const records::v1::Provider& provider,
                        MirrorSources* sources);

  const NodeConfig config_;
  const NodeFiles files_;
  FileSystem& fs_;
  Clock& clock_;
  const PlaceNamer places_;

  mutable std::mutex mutex_;
  std::shared_ptr<const records::v1::NodeDirectory> directory_;  // mutex_

  // In the order in which they are opened; closed the other way round.
  std::unique_ptr<RecordStore> store_;
  std::unique_ptr<TrustKeeper> trust_;
  WriterResolver resolver_;
  std::unique_ptr<FetchProcess> fetch_;
  std::unique_ptr<OriginServer> origin_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Mirror> mirror_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Repairer> repairer_;
  std::unique_ptr<RecordsServer> server_;

  // Of the intake's thread.
  std::string candidate_;  // timestamp that may be newer
  int tries_ = 0;          // to refresh with it
  absl::Duration retry_at_ = absl::ZeroDuration();
  absl::Duration sweep_at_ = absl::ZeroDuration();

  std::mutex intake_mutex_;  // guards intake_open_
  bool intake_open_ = false;
  void ToIntake(const VerifiedRecord& record) {
    std::lock_guard lock(intake_mutex_);
    if (intake_open_) intake_->Push(record);
  }
};

StorageNode::Impl::~Impl() {
  server_.reset();
  repairer_.reset();
  {
    std::lock_guard lock(intake_mutex_);
    intake_open_ = false;
  }
  intake_.reset();
  mirror_.reset();
  network_.reset();
  origin_.reset();
  fetch_.reset();
  trust_.reset();
  store_.reset();
}

absl::Status StorageNode::Impl::Start() {
  SHOAL_RETURN_IF_ERROR(OpenStores());
  {
    // It collects from now on and works once everything it uses is there.
    std::lock_guard lock(intake_mutex_);
    intake_ = std::make_unique<Intake>(
        [this](const VerifiedRecord& record) { Handle(record); },
        [this] { Idle(); });
    intake_open_ = true;
  }
  SHOAL_RETURN_IF_ERROR(OpenNetwork());
  SHOAL_RETURN_IF_ERROR(Reload());
  SHOAL_RETURN_IF_ERROR(OpenServices());
  intake_->Start();
  return absl::OkStatus();
}

absl::Status StorageNode::Impl::OpenStores() {
  SHOAL_ASSIGN_OR_RETURN(
      store_, RecordStore::Open(config_.File("records"), config_.store, clock_));
  SHOAL_ASSIGN_OR_RETURN(
      trust_, TrustKeeper::Open(config_.File("trust"),
                                config_.mirror.public_dir, files_.bundle, fs_,
                                clock_));
  SHOAL_RETURN_IF_ERROR(trust_->view()->VerifyNode(files_.bundle.credential(),
                                                   clock_.WallNow()));
  resolver_ = MakeResolver(
      [trust = trust_.get()] { return trust->view(); },
      [store = store_.get()](std::string_view digest)
          -> std::optional<records::v1::Credential> {
        auto found = store->GetCredential(digest);
        if (!found.ok()) return std::nullopt;
        return *std::move(found);
      });

  // The newest directory of: the bundle's, the one saved, a record's.
  auto directory =
      std::make_shared<records::v1::NodeDirectory>(files_.bundle.directory());
  const auto take = [&directory](std::string_view bytes) {
    records::v1::NodeDirectory other;
    if (other.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) &&
        other.version() > directory->version()) {
      *directory = std::move(other);
    }
  };
  if (const auto saved =
          fs_.Read(config_.File("directory.pb"), kMaxDirectoryBytes);
      saved.ok()) {
    take(*saved);
  }
  const auto stored = store_->AtPlace(
      places_.NodeDirectory(), records::v1::RECORD_KIND_NODE_DIRECTORY, 4);
  SHOAL_RETURN_IF_ERROR(stored);
  for (const std::string& bytes : *stored) {
    const auto record = Verify(bytes);
    if (record.ok()) take(record->body.payload());
  }
  directory_ = std::move(directory);
  return absl::OkStatus();
}

absl::StatusOr<VerifiedRecord> StorageNode::Impl::Verify(
    const std::string& bytes) const {
  return VerifyRecord(bytes, VerifyContext{files_.bundle.fleet_id(), &places_,
                                           resolver_, clock_.WallNow()});
}

void StorageNode::Impl::Learn(const records::v1::Credential& credential) {
  const std::string digest = CredentialDigest(credential);
  const auto known = store_->GetCredential(digest);
  if (!known.ok() || known->has_value()) return;
  records::v1::RecordBody question;
  *question.mutable_credential() = credential;
  if (!trust_->view()->Resolve(question, clock_.WallNow()).ok()) return;
  const absl::Status put = store_->PutCredential(digest, credential);
  if (!put.ok()) LogError("store_credential", {{"error", put}});
}

NodeHooks StorageNode::Impl::MakeNodeHooks() {
  NodeHooks hooks;
  hooks.on_store = [this](const VerifiedRecord& record, const std::string&) {
    const absl::Status may = store_->MayAdd(record);
    if (!may.ok()) {
      LogDebug("record_refused", {{"error", may}});
      return false;
    }
    const bool wanted = Intake::Wants(record.body.kind());
    std::shared_ptr<VerifiedRecord> copy;
    if (wanted) copy = std::make_shared<VerifiedRecord>(record);
    store_->Add(record, Source::kNetwork, [this, copy](absl::Status status) {
      if (status.ok() && copy != nullptr) ToIntake(*copy);
    });
    return true;
  };
  hooks.on_confirm = [this](const std::string&, const std::string& digest,
                            std::function<void(absl::StatusOr<absl::Time>)>
                                reply) {
    store_->Confirm(digest, std::move(reply));
  };
  return hooks;
}

absl::Status StorageNode::Impl::OpenNetwork() {
  FetchOptions fetch;
  fetch.program = config_.fetch_program;
  fetch.listen = config_.swarm_listen;
  fetch.state_dir = config_.File("fetch");
  fetch.limits.upload_bytes_per_second = config_.upload_bytes_per_second;
  fetch.limits.download_bytes_per_second = config_.download_bytes_per_second;
  SHOAL_ASSIGN_OR_RETURN(fetch_, FetchProcess::Open(std::move(fetch)));
  SHOAL_ASSIGN_OR_RETURN(origin_, OriginServer::Open(config_.http_listen,
                                                     config_.mirror.public_dir));
  NetworkOptions options;
  options.bind_address = config_.dht_listen;
  options.fleet_id = files_.bundle.fleet_id();
  for (const auto& key : files_.bundle.network().keys()) {
    options.keys.push_back(key);
  }
  if (!files_.bundle.bootstrap_key().empty()) {
    pairing::v1::NetworkKey bootstrap;
    bootstrap.set_epoch(0);
    bootstrap.set_key(files_.bundle.bootstrap_key());
    options.keys.push_back(std::move(bootstrap));
  }
  options.place_key = files_.bundle.network().place_key();
  options.directory = *Directory();
  options.role = NetworkRole::kNode;
  options.resolver = resolver_;
  options.clock = &clock_;
  options.identity.emplace(NodeIdentity{files_.key.Clone(),
                                        files_.bundle.credential(),
                                        files_.subject_id});
  options.hooks = MakeNodeHooks();
  options.verify_node = [this](const records::v1::Credential& credential,
                               absl::Time now) {
    return trust_->view()->VerifyNode(credential, now);
  };
  options.max_store_bytes = config_.dht_memory_bytes;
  SHOAL_ASSIGN_OR_RETURN(network_, Network::Open(std::move(options)));
  return absl::OkStatus();
}

// What the disk holds goes back into the DHT, verified anew: keys may have
// been revoked while this node was down.
absl::Status StorageNode::Impl::Reload() {
  uint64_t cursor = 0;
  uint64_t loaded = 0;
  uint64_t refused = 0;
  while (true) {
    std::vector<RecordStore::Entry> entries;
    SHOAL_ASSIGN_OR_RETURN(const uint64_t next,
                           store_->Read(cursor, {}, kReloadAtOnce, &entries));
    for (RecordStore::Entry& entry : entries) {
      const auto record = Verify(entry.bytes);
      if (!record.ok()) {
        ++refused;
        continue;
      }
      ++loaded;
      if (record->body.kind() == records::v1::RECORD_KIND_HEAD) {
        records::v1::Head head;
        if (head.ParseFromString(record->body.payload())) {
          OfferTimestamp(head.timestamp());
        }
      }
      network_->StoreLocal(std::move(entry.bytes), nullptr);
    }
    if (next == cursor) break;
    cursor = next;
  }
  LogInfo("reloaded", {{"records", loaded}, {"refused", refused}});
  return absl::OkStatus();
}

absl::Status StorageNode::Impl::OpenServices() {
  MirrorHooks mirror;
  mirror.publication = [this] { return trust_->publication(); };
  mirror.sources = [this](const std::string& sha256) { return Sources(sha256); };
  mirror.announce = [this](const std::string& sha256,
                           std::function<void(absl::Status)> done) {
    Announce(sha256, std::move(done));
  };
  SHOAL_ASSIGN_OR_RETURN(mirror_, Mirror::Start(config_.mirror, *fetch_, fs_,
                                                clock_, std::move(mirror)));
  RepairHooks repair;
  repair.directory = [this] { return Directory(); };
  repair.verify = [this](const std::string& bytes) { return Verify(bytes); };
  repair.learn = [this](const records::v1::Credential& credential) {
    Learn(credential);
  };
  repair.stored = [this](const VerifiedRecord& record) {
    network_->StoreLocal(record.bytes, [](absl::Status status) {
      if (!status.ok()) LogDebug("store_local", {{"error", status}});
    });
    if (Intake::Wants(record.body.kind())) ToIntake(record);
  };
  repairer_ = Repairer::Start(config_.repair, files_.key.public_key(),
                              files_.tls, *store_, clock_, std::move(repair));
  RecordsServerHooks server;
  server.may_call = [this](const std::string& spki) { return MayCall(spki); };
  server.status = [this](shoal::node::v1::GetStatusResponse* response) {
    FillStatus(response);
  };
  SHOAL_ASSIGN_OR_RETURN(server_,
                         RecordsServer::Open(config_.server, files_.tls,
                                             *store_, std::move(server)));
  return absl::OkStatus();
}

void StorageNode::Impl::Handle(const VerifiedRecord& record) {
  switch (record.body.kind()) {
    case records::v1::RECORD_KIND_HEAD: {
      records::v1::Head head;
      if (head.ParseFromString(record.body.payload())) {
        OfferTimestamp(head.timestamp());
      }
      break;
    }
    case records::v1::RECORD_KIND_METADATA:
      // A renewed timestamp comes without a head.
      OfferTimestamp(record.body.payload());
      break;
    case records::v1::RECORD_KIND_NODE_DIRECTORY:
      TakeDirectory(record.body.payload());
      break;
    case records::v1::RECORD_KIND_PROVIDER:
      OfferProvider(record);
      break;
    default:
      break;
  }
}

void StorageNode::Impl::OfferTimestamp(std::string_view timestamp) {
  if (!trust_->IsNewer(timestamp)) return;
  const auto offered = signing::ParseTimestamp(timestamp);
  const auto waiting = signing::ParseTimestamp(candidate_);
  if (waiting.ok() && offered.ok() &&
      waiting->value.version >= offered->value.version) {
    return;
  }
  candidate_ = std::string(timestamp);
  tries_ = 0;
  retry_at_ = absl::ZeroDuration();
}

void StorageNode::Impl::Idle() {
  const absl::Duration now = clock_.MonotonicNow();
  if (!candidate_.empty() && retry_at_ <= now) RefreshTrust();
  if (sweep_at_ <= now) {
    sweep_at_ = now + config_.sweep_interval;
    const auto swept = store_->Sweep();
    if (!swept.ok()) LogError("sweep", {{"error", swept.status()}});
  }
}

void StorageNode::Impl::RefreshTrust() {
  RecordFetcherOptions options;
  options.store = store_.get();
  options.network = network_.get();
  options.fetch = fetch_.get();
  options.places = &places_;
  options.origins = OtherOrigins();
  RecordFetcher source(std::move(options), candidate_);
  const auto before = trust_->view();
  const absl::Status refreshed = trust_->Refresh(source);
  if (!trust_->view()->SameWriters(*before)) {
    network_->SetResolver(resolver_);
    repairer_->TrustChanged();
  }
  if (!refreshed.ok()) {
    LogWarn("refresh", {{"error", refreshed}});
    retry_at_ = clock_.MonotonicNow() + kRefreshRetry;
    // A root that it needs may be on its way; but what this fleet never signed
    // is not tried for ever.
    if (!trust_->IsNewer(candidate_) ||
        (++tries_ >= kMaxTries && (ReasonOf(refreshed) == "bad_signature" ||
                                   ReasonOf(refreshed) == "rollback"))) {
      candidate_.clear();
    }
    return;
  }
  candidate_.clear();
  const absl::Status exported = trust_->ExportRoots(source.roots());
  if (!exported.ok()) LogError("export_roots", {{"error", exported}});
  LogInfo("refreshed",
          {{"timestamp", trust_->view()->fleet().timestamp_version},
           {"artifacts", trust_->publication()->artifacts.size()}});
  mirror_->Kick();
}

void StorageNode::Impl::TakeDirectory(const std::string& bytes) {
  auto directory = std::make_shared<records::v1::NodeDirectory>();
  if (!directory->ParseFromString(bytes) ||
      directory->version() <= Directory()->version()) {
    return;
  }
  const absl::Status saved =
      fs_.WriteAtomic(config_.File("directory.pb"), bytes);
  if (!saved.ok()) LogError("save_directory", {{"error", saved}});
  {
    std::lock_guard lock(mutex_);
    directory_ = directory;
  }
  network_->SetDirectory(*directory);
  LogInfo("directory", {{"version", directory->version()},
                        {"nodes", directory->nodes_size()}});
  repairer_->Kick();
}

void StorageNode::Impl::AddSource(const records::v1::Provider& provider,
                                  MirrorSources* sources) {
  if (!provider.swarm_address().empty()) {
    sources->peers.push_back(provider.swarm_address());
  }
  if (!provider.origin_url().empty()) {
    sources->origins.push_back(provider.origin_url());
  }
}

void StorageNode::Impl::OfferProvider(const VerifiedRecord& record) {
  records::v1::Provider provider;
  if (record.writer.public_key == files_.key.public_key() ||
      !provider.ParseFromString(record.body.payload())) {
    return;
  }
  MirrorSources sources;
  AddSource(provider, &sources);
  for (const std::string& sha256 : mirror_->Fetching()) {
    if (places_.Provider(sha256) == record.body.place()) {
      mirror_->OfferSource(sha256, sources);
    }
  }
}

MirrorSources StorageNode::Impl::Sources(const std::string& sha256) {
  MirrorSources sources;
  const std::string place = places_.Provider(sha256);
  const auto add = [&](const VerifiedRecord& record) {
    records::v1::Provider provider;
    if (record.body.kind() == records::v1::RECORD_KIND_PROVIDER &&
        record.writer.public_key != files_.key.public_key() &&
        provider.ParseFromString(record.body.payload())) {
      AddSource(provider, &sources);
    }
  };
  const auto local =
      store_->AtPlace(place, records::v1::RECORD_KIND_PROVIDER, 64);
  if (local.ok()) {
    for (const std::string& bytes : *local) {
      const auto record = Verify(bytes);
      if (record.ok()) add(*record);
    }
  }
  if (sources.peers.empty() && sources.origins.empty()) {
    const auto found = network_->GetBlocking(place, kSourceLookUp);
    if (found.ok()) {
      for (const VerifiedRecord& record : *found) add(record);
    }
  }
  for (const records::v1::NodeEntry& node : Directory()->nodes()) {
    if (node.public_key() == files_.key.public_key()) continue;
    if (!node.swarm_address().empty()) {
      sources.peers.push_back(node.swarm_address());
    }
  }
  for (std::string& origin : OtherOrigins()) {
    sources.origins.push_back(std::move(origin));
  }
  return sources;
}

std::vector<std::string> StorageNode::Impl::OtherOrigins() const {
  std::vector<std::string> origins;
  for (const records::v1::NodeEntry& node : Directory()->nodes()) {
    if (node.public_key() != files_.key.public_key() &&
        !node.http_address().empty()) {
      origins.push_back("http://" + node.http_address() + "/");
    }
  }
  return origins;
}

void StorageNode::Impl::Announce(const std::string& sha256,
                                 std::function<void(absl::Status)> done) {
  records::v1::Provider provider;
  provider.set_swarm_address(config_.swarm_advertise.empty()
                                 ? fetch_->swarm_address()
                                 : config_.swarm_advertise);
  provider.set_origin_url(config_.http_advertise.empty()
                              ? origin_->base_url()
                              : "http://" + config_.http_advertise + "/");
  RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PROVIDER;
  fields.place = places_.Provider(sha256);
  fields.issued = clock_.WallNow();
  // Grows as long as the clock does; each is good for an hour only.
  fields.version = static_cast<uint64_t>(absl::ToUnixMillis(fields.issued));
  fields.expires = fields.issued + config_.mirror.provider_lifetime;
  fields.payload = provider.SerializeAsString();
  fields.credential = files_.bundle.credential();
  PutOptions put;
  put.deadline = kPutDeadline;
  network_->Put(SignRecord(fields, files_.key, files_.bundle.fleet_id()), put,
                [done = std::move(done)](absl::StatusOr<PutResult> result) {
                  done(result.status());
                });
}

bool StorageNode::Impl::MayCall(const std::string& spki) const {
  for (const std::string& plane : files_.bundle.plane_tls_spki_sha256()) {
    if (plane == spki) return true;
  }
  const auto view = trust_->view();
  if (view->OperatorTls(spki)) return true;
  const auto& revoked = view->fleet().revoked_node_keys;
  for (const records::v1::NodeEntry& node : Directory()->nodes()) {
    if (node.tls_spki_sha256() != spki) continue;
    return std::find(revoked.begin(), revoked.end(), node.public_key()) ==
           revoked.end();
  }
  return false;
}

void StorageNode::Impl::FillStatus(
    shoal::node::v1::GetStatusResponse* response) const {
  const NetworkStats network = network_->Stats();
  const RepairStats repair = repairer_->Stats();
  response->set_admitted_nodes(static_cast<uint32_t>(network.admitted_nodes));
  response->set_known_nodes(static_cast<uint32_t>(network.known_nodes));
  response->set_dropped_datagrams(network.dropped_datagrams);
  response->set_repaired(repair.repaired);
  response->set_refused(network.refused_records + repair.refused);
  for (std::string& artifact : mirror_->Held()) {
    response->add_artifacts(std::move(artifact));
  }
  response->set_version(SHOAL_VERSION);
}

StorageNode::StorageNode(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StorageNode::~StorageNode() = default;

absl::StatusOr<std::unique_ptr<StorageNode>> StorageNode::Start(
    NodeConfig config, FileSystem& fs, Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(NodeFiles files, LoadNodeFiles(config, fs));
  auto impl = std::make_unique<Impl>(std::move(config), std::move(files), fs,
                                     clock);
  SHOAL_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<StorageNode>(new StorageNode(std::move(impl)));
}

NodeAddresses StorageNode::addresses() const { return impl_->addresses(); }

}  // namespace shoal::dht::node
