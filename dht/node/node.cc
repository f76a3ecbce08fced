#include "dht/node/node.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "dht/node/node_impl.h"

namespace shoal::dht::node {
namespace {

constexpr uint64_t kMaxDirectoryBytes = 64u << 10;
constexpr size_t kReloadAtOnce = 512;

}  // namespace

StorageNode::Impl::~Impl() {
  metrics_endpoint_.reset();
  metrics_.StopCollecting();
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
  log_.reset();
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
  SHOAL_RETURN_IF_ERROR(OpenMetrics());
  intake_->Start();
  return absl::OkStatus();
}

absl::Status StorageNode::Impl::OpenStores() {
  auto store =
      RecordStore::Open(config_.File("records"), config_.store, clock_);
  if (!store.ok()) {
    return Annotate(store.status(),
                    fmt::format("the records can't be read; when the disk is "
                                "good, move {} away and start the node again: "
                                "the other nodes refill it",
                                config_.File("records")));
  }
  store_ = *std::move(store);
  SHOAL_ASSIGN_OR_RETURN(trust_, TrustKeeper::Open(config_.File("trust"),
                                                   config_.mirror.public_dir,
                                                   files_.bundle, fs_, clock_));
  SHOAL_ASSIGN_OR_RETURN(log_, LogMirror::Open(fs_, config_.mirror.public_dir));
  SHOAL_RETURN_IF_ERROR(
      trust_->view()->VerifyNode(files_.bundle.credential(), clock_.WallNow()));
  const auto view = [trust = trust_.get()] { return trust->view(); };
  const auto credential =
      [store = store_.get()](
          std::string_view digest) -> std::optional<records::v1::Credential> {
    auto found = store->GetCredential(digest);
    if (!found.ok()) return std::nullopt;
    return *std::move(found);
  };
  resolver_ = MakeResolver(view, credential);
  kept_resolver_ = MakeResolver(view, credential, Arrival::kKept);

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
          fs_.Read(config_.File("directory.record"), kMaxDirectoryBytes);
      saved.ok()) {
    // Whose key is no director's any more has no say, however high the version.
    if (const auto record = Verify(*saved); record.ok()) {
      take(record->body.payload());
    }
  }
  for (const VerifiedRecord& record : VerifiedAt(
           places_.NodeDirectory(), records::v1::RECORD_KIND_NODE_DIRECTORY, 4))
    take(record.body.payload());
  directory_ = std::move(directory);
  LoadNetworkKeys();
  return absl::OkStatus();
}

absl::StatusOr<VerifiedRecord> StorageNode::Impl::Verify(
    const std::string& bytes) const {
  return VerifyRecord(bytes, VerifyContext{files_.bundle.fleet_id(), &places_,
                                           kept_resolver_, clock_.WallNow()});
}

std::vector<VerifiedRecord> StorageNode::Impl::VerifiedAt(
    const std::string& place, records::v1::RecordKind kind, size_t max) const {
  std::vector<VerifiedRecord> found;
  const auto stored =
      store_->AtPlace(place, kind, max, [&](const std::string& bytes) {
        auto record = Verify(bytes);
        if (!record.ok()) return false;
        found.push_back(*std::move(record));
        return true;
      });
  if (!stored.ok()) LogError("read_records", {{"error", stored.status()}});
  return found;
}

void StorageNode::Impl::Learn(const records::v1::Credential& credential) {
  const std::string digest = CredentialDigest(credential);
  const auto known = store_->GetCredential(digest);
  if (!known.ok() || known->has_value()) return;
  records::v1::RecordBody question;
  *question.mutable_credential() = credential;
  if (!trust_->view()->ResolveKept(question, clock_.WallNow()).ok()) return;
  const absl::Status put = store_->PutCredential(digest, credential);
  if (!put.ok()) LogError("store_credential", {{"error", put}});
}

NodeHooks StorageNode::Impl::MakeNodeHooks() {
  NodeHooks hooks;
  hooks.on_store = [this](const VerifiedRecord& record,
                          const std::string& from) {
    absl::Status may = store_->MayAdd(record);
    // What is here already costs nothing more.
    if (may.ok() && !store_->Has(record.digest)) {
      may = guard_.May(record, from);
    }
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
  hooks.on_confirm =
      [this](const std::string&, const std::string& digest,
             std::function<void(absl::StatusOr<absl::Time>)> reply) {
        store_->Confirm(digest, std::move(reply));
      };
  hooks.on_grant_request =
      [this](const std::string& device_id,
             std::function<void(absl::StatusOr<std::string>)> reply) {
        // A few keys of one place; the network asks for 200 a second at most.
        reply(GrantOf(device_id));
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
  SHOAL_ASSIGN_OR_RETURN(
      origin_,
      OriginServer::Open(config_.http_listen, config_.mirror.public_dir));
  NetworkOptions options;
  options.bind_address = config_.dht_listen;
  options.fleet_id = files_.bundle.fleet_id();
  SplitNetworkKeys(&options.keys, &options.retired_keys);
  keys_in_force_ = options.keys.size();
  options.place_key = files_.bundle.network().place_key();
  options.directory = *Directory();
  options.role = NetworkRole::kNode;
  options.resolver = resolver_;
  options.clock = &clock_;
  options.identity.emplace(NodeIdentity{
      files_.key.Clone(), files_.bundle.credential(), files_.subject_id});
  if (files_.time_key) options.time_key = files_.time_key->Clone();
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
          OfferTimestamp(head.timestamp(), record->writer.public_key);
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
  mirror.sources = [this](const std::string& sha256) {
    return Sources(sha256);
  };
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
  SHOAL_ASSIGN_OR_RETURN(
      server_, RecordsServer::Open(config_.server, files_.tls, *store_,
                                   std::move(server)));
  return absl::OkStatus();
}

StorageNode::StorageNode(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StorageNode::~StorageNode() = default;

absl::StatusOr<std::unique_ptr<StorageNode>> StorageNode::Start(
    NodeConfig config, FileSystem& fs, Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(NodeFiles files, LoadNodeFiles(config, fs));
  auto impl =
      std::make_unique<Impl>(std::move(config), std::move(files), fs, clock);
  SHOAL_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<StorageNode>(new StorageNode(std::move(impl)));
}

NodeAddresses StorageNode::addresses() const { return impl_->addresses(); }

}  // namespace shoal::dht::node
