// What a running storage node does with records, callers and artifacts.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/node_impl.h"
#include "shoal/node/v1/node_service.pb.h"
#include "signing/metadata/metadata.h"

namespace shoal::dht::node {
namespace {

constexpr absl::Duration kPutDeadline = absl::Seconds(30);
constexpr absl::Duration kSourceLookUp = absl::Seconds(2);
constexpr absl::Duration kLogRetry = absl::Seconds(5);
constexpr absl::Duration kWitnessLifetime = absl::Hours(24);

}  // namespace

void StorageNode::Impl::Handle(const VerifiedRecord& record) {
  switch (record.body.kind()) {
    case records::v1::RECORD_KIND_HEAD: {
      records::v1::Head head;
      if (head.ParseFromString(record.body.payload())) {
        OfferTimestamp(head.timestamp(), record.writer.public_key);
      }
      break;
    }
    case records::v1::RECORD_KIND_METADATA:
      // A timestamp's own record comes before the HEADs that announce it.
      OfferTimestamp(record.body.payload(), record.writer.public_key);
      break;
    case records::v1::RECORD_KIND_NODE_DIRECTORY:
      TakeDirectory(record);
      break;
    case records::v1::RECORD_KIND_NODE_KEYS:
      TakeNetworkKeys(record);
      break;
    case records::v1::RECORD_KIND_PROVIDER:
      OfferProvider(record);
      break;
    case records::v1::RECORD_KIND_LOG_WITNESS:
      TakeWitness(record);
      break;
    default:
      break;
  }
}

void StorageNode::Impl::Idle() {
  const absl::Duration now = clock_.MonotonicNow();
  if (!candidates_.empty() && retry_at_ <= now) RefreshTrust();
  if (log_at_ <= now) {
    log_at_ = now + kLogRetry;
    MetadataSource source(SourceOptions());
    SyncLog(source);
    Witness();
  }
  if (sweep_at_ <= now) {
    sweep_at_ = now + config_.sweep_interval;
    const auto swept = store_->Sweep();
    if (!swept.ok()) LogError("sweep", {{"error", swept.status()}});
    ApplyNetworkKeys();  // one may be over by now
  }
}

// Nothing to do when the copy has the head in force already.
void StorageNode::Impl::SyncLog(MetadataSource& source) {
  const auto head = trust_->log_head();
  if (!head || synced_root_ == head->root) return;
  const absl::Status synced = log_->Sync(
      *head, [&source](uint64_t n) { return source.FetchLogBundle(n); });
  if (synced.ok()) {
    synced_root_ = head->root;
    LogInfo("log_synced", {{"entries", head->size}});
  } else {
    LogWarn("log_behind", {{"entries", log_->size()}, {"error", synced}});
  }
}

// Another member's newest head: does it belong to the log known here? Or two
// that cannot both be true.
void StorageNode::Impl::TakeWitness(const VerifiedRecord& record) {
  records::v1::LogWitness witness;
  if (record.writer.id == files_.subject_id ||
      !witness.ParseFromString(record.body.payload())) {
    return;
  }
  if (!witness.contradicts().empty()) {
    const absl::Status proof =
        trust_->TakeForkProof(witness.timestamp(), witness.contradicts());
    if (!proof.ok()) LogDebug("fork_proof_ignored", {{"error", proof}});
    CompareLog(witness.contradicts());
  }
  CompareLog(witness.timestamp());
}

void StorageNode::Impl::CompareLog(const std::string& timestamp) {
  if (trust_->log_fork() || timestamp == trust_->log_timestamp()) return;
  // By what is signed: of one timestamp there are as many spellings as anybody
  // likes. What is not signed is looked for nowhere, and must not stand for
  // what is.
  const auto parsed = signing::ParseTimestamp(timestamp);
  if (!parsed.ok() || !parsed->value.log || !SeemsSigned(timestamp) ||
      !judged_.First(fmt::format("{} {} {}", parsed->value.version,
                                 parsed->value.log->size,
                                 HexEncode(parsed->value.log->root))))
    return;
  MetadataSource source(SourceOptions());
  log_->Forget();
  const absl::Status compared = trust_->CompareLog(source, timestamp);
  // A fork has been said by whoever keeps it.
  if (!compared.ok()) LogDebug("witness_ignored", {{"error", compared}});
}

// This node's own word, where devices look.
void StorageNode::Impl::Witness() {
  const auto head = trust_->log_head();
  const absl::Duration now = clock_.MonotonicNow();
  records::v1::LogWitness witness;
  witness.set_timestamp(trust_->log_timestamp());
  const auto fork = trust_->log_fork();
  log_forked_ = fork.has_value();
  if (fork) {
    witness.set_timestamp(fork->ours());
    witness.set_contradicts(fork->theirs());
  }
  const std::string word = witness.SerializeAsString();
  if (!head || (witnessed_ == word && witness_at_ > now)) return;
  witnessed_ = word;
  witness_at_ = now + kWitnessLifetime / 2;
  RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_LOG_WITNESS;
  fields.place =
      places_.LogWitness(OutcomeShardOf(files_.subject_id, kLogWitnessShards));
  fields.issued = clock_.WallNow();
  fields.version = static_cast<uint64_t>(absl::ToUnixMillis(fields.issued));
  fields.expires = fields.issued + kWitnessLifetime;
  fields.payload = word;
  fields.credential = files_.bundle.credential();
  PutOptions put;
  put.deadline = kPutDeadline;
  network_->Put(SignRecord(fields, files_.key, files_.bundle.fleet_id()), put,
                [](absl::StatusOr<PutResult> result) {
                  if (!result.ok())
                    LogDebug("witness_put", {{"error", result.status()}});
                });
}

void StorageNode::Impl::TakeDirectory(const VerifiedRecord& record) {
  auto directory = std::make_shared<records::v1::NodeDirectory>();
  if (!directory->ParseFromString(record.body.payload()) ||
      directory->version() <= Directory()->version()) {
    return;
  }
  const absl::Status saved =
      fs_.WriteAtomic(config_.File("directory.record"), record.bytes);
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
  for (const VerifiedRecord& record :
       VerifiedAt(place, records::v1::RECORD_KIND_PROVIDER, 64))
    add(record);
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

}  // namespace shoal::dht::node
