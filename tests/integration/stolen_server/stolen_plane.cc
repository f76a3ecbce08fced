#include "tests/integration/stolen_server/stolen_plane.h"

#include <fmt/format.h>

#include <mutex>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/log/files.h"
#include "signing/log/leaf.h"
#include "signing/log/merkle.h"
#include "signing/metadata/file_root.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/credential.h"
#include "tests/support/process_harness.h"

namespace shoal::testing {
namespace {

absl::Time InSeconds(absl::Duration lifetime) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now() + lifetime));
}

// The attacker's node lets everybody be whoever may write this.
absl::StatusOr<dht::Writer> Anybody(const dht::RecordBody& body, absl::Time) {
  dht::Writer writer;
  if (body.has_credential()) {
    records::v1::CredentialBody subject;
    subject.ParseFromString(body.credential().body());
    writer = {subject.kind(), subject.subject_id(), subject.public_key()};
  } else {
    writer.public_key = body.writer_key();
    writer.id = crypto::Sha256Digest(writer.public_key).substr(0, 16);
  }
  for (int kind = records::v1::WRITER_CLASS_DEVICE;
       kind <= records::v1::WRITER_CLASS_OPERATOR; ++kind)
    if (dht::MayWrite(static_cast<records::v1::WriterClass>(kind), body.kind()))
      writer.kind = static_cast<records::v1::WriterClass>(kind);
  return writer;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StolenPlane>> StolenPlane::Take(
    const TempDir& dir, const std::string& plane) {
  auto stolen = std::unique_ptr<StolenPlane>(new StolenPlane());
  SHOAL_ASSIGN_OR_RETURN(server::PlaneKeys keys,
                         server::LoadPlaneKeys(plane, RealFileSystem()));
  stolen->keys_ = std::make_unique<server::PlaneKeys>(std::move(keys));
  stolen->places_ =
      std::make_unique<dht::PlaceNamer>(stolen->keys_->place_key.view());
  SHOAL_RETURN_IF_ERROR(stolen->ReadStore(plane));
  SHOAL_RETURN_IF_ERROR(stolen->JoinNetwork(dir));
  return stolen;
}

absl::Status StolenPlane::ReadStore(const std::string& plane) {
  SHOAL_ASSIGN_OR_RETURN(auto kv,
                         kv::Store::Open(JoinPath(plane, "store"), {}));
  SHOAL_ASSIGN_OR_RETURN(auto store,
                         server::Store::Open(std::move(kv), SystemClock()));
  SHOAL_ASSIGN_OR_RETURN(
      auto trust, server::TrustRepository::Open(*store, *keys_, SystemClock(),
                                                absl::Hours(168)));
  const auto view = trust->View();
  if (!view) return Internal("no_trust", "the store holds no trust");
  fleet_id_ = view->fleet.fleet_id;
  for (const auto& [role, version] : view->versions) {
    if (role == "root") continue;
    if (role == "snapshot")
      snapshot_version_ = version;
    else if (role == "timestamp")
      timestamp_version_ = version;
    else
      SetRole(role, {version, view->metadata.at(
                                  fmt::format("{}.{}.json", version, role))});
  }
  SHOAL_RETURN_IF_ERROR(store->Scan<server::store::LogLeafRow>(
      server::kLogLeaves, "", "",
      [&](std::string_view, const server::store::LogLeafRow& row) {
        leaves_.push_back(row.leaf());
        return true;
      }));
  SHOAL_ASSIGN_OR_RETURN(
      const auto log, store->Get<server::store::LogRow>(server::kMeta, "log"));
  for (const auto& head : log.heads()) heads_.push_back(head.size());
  // The newest of it may never have left the plane before it was taken.
  SHOAL_RETURN_IF_ERROR(store->Scan<server::store::DocumentRow>(
      server::kDocuments, "", "",
      [&](std::string_view path, const server::store::DocumentRow& row) {
        documents_[std::string(path)] = row.content();
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(store->Scan<server::store::DeviceRow>(
      server::kDevices, "", "",
      [&](std::string_view, const server::store::DeviceRow& row) {
        device_id_ = row.assignment().device_id();
        device_box_key_ = *HexDecode(row.device().box_key());
        return true;
      }));
  return store->Scan<server::store::NodeRow>(
      server::kNodes, "", "",
      [&](std::string_view, const server::store::NodeRow& row) {
        *honest_nodes_.add_nodes() = row.entry();
        return true;
      });
}

dht::NetworkOptions StolenPlane::Options() const {
  dht::NetworkOptions options;
  options.fleet_id = fleet_id_;
  for (const auto& [epoch, key] :
       {std::pair(1u, keys_->network_key.view()),
        std::pair(0u, keys_->bootstrap_key.view())}) {
    options.keys.emplace_back().set_epoch(epoch);
    options.keys.back().set_key(std::string(key));
  }
  options.place_key = std::string(keys_->place_key.view());
  options.directory = honest_nodes_;
  options.resolver = Anybody;
  options.clock = &SystemClock();
  return options;
}

absl::Status StolenPlane::JoinNetwork(const TempDir& dir) {
  origin_directory_ = dir.File("attacker");
  SHOAL_RETURN_IF_ERROR(
      RealFileSystem().MakeDirectories(JoinPath(origin_directory_, "blobs")));
  SHOAL_ASSIGN_OR_RETURN(
      origin_, dht::OriginServer::Open("127.0.0.1:0", origin_directory_));
  crypto::SigningKey key = crypto::SigningKey::Generate();
  const std::string id = crypto::RandomBytes(16);
  records::v1::NodeEntry entry;
  entry.set_id(id);
  entry.set_public_key(key.public_key());
  entry.set_http_address(origin_->address());
  entry.set_tls_spki_sha256(std::string(32, 's'));
  dht::NetworkOptions options = Options();
  options.role = dht::NetworkRole::kNode;
  const records::v1::Credential credential = Certify(
      keys_->node_ca, key.public_key(), records::v1::WRITER_CLASS_NODE, id);
  options.identity = dht::NodeIdentity{std::move(key), credential, id};
  options.verify_node = [](const records::v1::Credential&, absl::Time) {
    return absl::OkStatus();
  };
  options.hooks.on_store = [](const dht::VerifiedRecord&, const std::string&) {
    return true;
  };
  options.hooks.on_confirm =
      [](const std::string&, const std::string&,
         std::function<void(absl::StatusOr<absl::Time>)> reply) {
        reply(absl::Now() + absl::Hours(1));
      };
  SHOAL_ASSIGN_OR_RETURN(network_, dht::Network::Open(std::move(options)));
  entry.set_dht_address(network_->bound_address());
  own_node_ = entry;
  SHOAL_RETURN_IF_ERROR(network_->WaitUntilConnected(absl::Seconds(20)));
  return SendDirectory(true);
}

absl::Status StolenPlane::SendDirectory(bool with_honest_nodes) {
  records::v1::NodeDirectory directory;
  directory.set_version(++record_version_);
  if (with_honest_nodes) *directory.mutable_nodes() = honest_nodes_.nodes();
  *directory.add_nodes() = own_node_;
  return SendAsDirector(records::v1::RECORD_KIND_NODE_DIRECTORY, "",
                        directory.version(), directory.SerializeAsString());
}

absl::Status StolenPlane::LeadDevicesAway() { return SendDirectory(false); }

absl::Status StolenPlane::Send(dht::RecordFields fields,
                               const crypto::SigningKey& key) {
  if (fields.issued == absl::Time()) fields.issued = absl::Now();
  fields.expires = fields.issued + absl::Hours(24 * 3000);
  const std::string record = dht::SignRecord(fields, key, fleet_id_);
  // To whoever takes it, and for sure on the attacker's own node.
  network_->Put(record, {}, nullptr);
  auto done = std::make_shared<std::optional<absl::Status>>();
  auto mutex = std::make_shared<std::mutex>();
  network_->StoreLocal(record, [done, mutex](absl::Status status) {
    std::lock_guard lock(*mutex);
    *done = std::move(status);
  });
  SHOAL_RETURN_IF_ERROR(WaitFor("the attacker's node to hold a record", [&] {
    std::lock_guard lock(*mutex);
    return done->has_value();
  }));
  return **done;
}

absl::Status StolenPlane::OfferToNodes(const crypto::SigningKey& key,
                                       records::v1::RecordKind kind,
                                       const std::string& name,
                                       uint64_t version,
                                       const std::string& payload) {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = places_->Place(kind, name);
  fields.version = version;
  fields.issued = absl::Now();
  fields.expires = fields.issued + absl::Hours(24);
  fields.payload = payload;
  dht::PutOptions options;
  options.wanted_receipts = honest_nodes_.nodes_size();
  options.deadline = absl::Seconds(10);
  // A client of its own, which knows the fleet's nodes alone: the attacker's
  // node would count its own copy.
  SHOAL_ASSIGN_OR_RETURN(const auto client, dht::Network::Open(Options()));
  SHOAL_ASSIGN_OR_RETURN(
      const dht::PutResult result,
      client->PutBlocking(dht::SignRecord(fields, key, fleet_id_), options));
  if (!result.under_replicated) return absl::OkStatus();
  return Internal("some_receipts", fmt::format("{} of {} storage nodes keep it",
                                               result.receipts, result.wanted));
}

absl::Status StolenPlane::SendAsDirector(records::v1::RecordKind kind,
                                         const std::string& name,
                                         uint64_t version,
                                         const std::string& payload) {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = places_->Place(kind, name);
  fields.version = version;
  fields.payload = payload;
  return Send(std::move(fields), keys_->director);
}

records::v1::Credential StolenPlane::Certify(
    const crypto::SigningKey& ca, const std::string& key,
    records::v1::WriterClass kind, const std::string& subject_id) const {
  records::v1::CredentialBody body;
  body.set_public_key(key);
  body.set_subject_id(subject_id);
  body.set_kind(kind);
  body.set_not_after(absl::ToUnixSeconds(absl::Now() + absl::Hours(24 * 3000)));
  body.set_serial(1);
  records::v1::Credential credential;
  credential.set_body(body.SerializeAsString());
  // By hand: signing::IssueCredential would refuse to make an operator.
  credential.set_signature(ca.Sign(crypto::SigningInput(
      signing::kCredentialDomain, fleet_id_, credential.body())));
  return credential;
}

signing::Targets StolenPlane::Content(const std::string& role) const {
  return signing::ParseTargets(roles_.at(role).bytes)->value;
}

absl::Status StolenPlane::Forge(const std::string& role,
                                signing::Targets content) {
  content.version = roles_[role].version + 1;
  content.expires = InSeconds(absl::Hours(24 * 30));
  SHOAL_ASSIGN_OR_RETURN(std::string bytes,
                         signing::SignTargets(content, {&keys_->director}));
  SetRole(role, {content.version, std::move(bytes)});
  return absl::OkStatus();
}

absl::Status StolenPlane::PutDocument(const std::string& path,
                                      const std::string& bytes) {
  signing::Targets content = Content("director-gateway");
  signing::TargetFile target;
  target.path = path;
  target.length = bytes.size();
  target.sha256 = crypto::Sha256Digest(bytes);
  content.targets[path] = target;
  documents_[path] = bytes;
  return Forge("director-gateway", std::move(content));
}

absl::Status StolenPlane::RemoveDocument(const std::string& path) {
  signing::Targets content = Content("director-gateway");
  content.targets.erase(path);
  documents_.erase(path);
  return Forge("director-gateway", std::move(content));
}

rollout::v1::RolloutDocument StolenPlane::Rollout(
    const std::string& image_target) {
  rollout::v1::RolloutDocument d;
  d.set_order(++order_);
  d.set_id(fmt::format("attack-{}", d.order()));
  d.set_version(1);
  d.set_fleet(fleet_id_);
  d.set_device_type("gateway");
  auto* release = d.mutable_release();
  release->set_image_target(image_target);
  release->set_version("6.6.6");
  release->set_counter(666);
  release->set_sha256(std::string(32, 'x'));
  release->set_length(666);
  const std::string type =
      image_target.substr(3, image_target.find('/', 3) - 3);
  if (roles_.contains("fw-" + type)) {
    const signing::Targets images = Content("fw-" + type);
    const auto it = images.targets.find(image_target);
    if (it != images.targets.end()) {
      const auto info = signing::ParseImageInfo(it->second);
      release->set_version(info->version);
      release->set_counter(info->counter);
      release->set_sha256(it->second.sha256);
      release->set_length(it->second.length);
    }
  }
  d.mutable_selector()->set_all(true);
  auto* phase = d.add_phases();
  phase->set_name("all");
  phase->set_threshold(uint64_t{1} << 32);
  phase->set_expected_devices(1);
  d.set_opened_at(absl::ToUnixMillis(absl::Now()));
  d.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  d.set_expires(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
  d.set_error_threshold_permille(1000);
  return d;
}

absl::Status StolenPlane::PutRollout(
    const rollout::v1::RolloutDocument& document) {
  if (!rollout_path_.empty())
    SHOAL_RETURN_IF_ERROR(RemoveDocument(rollout_path_));
  rollout_path_ = "director/gateway/rollout/" + document.id();
  return PutDocument(rollout_path_, document.SerializeAsString());
}

absl::StatusOr<release::v1::Delta> StolenPlane::Serve(
    const std::string& bytes) {
  release::v1::Delta delta;
  delta.set_length(bytes.size());
  delta.set_sha256(crypto::Sha256Digest(bytes));
  delta.set_piece_length(
      static_cast<uint32_t>(signing::PieceLength(bytes.size())));
  signing::FileRootHasher hasher;
  hasher.Update(bytes);
  delta.set_file_root(hasher.Finish());
  delta.set_mode("sdelta1");
  delta.set_memory(1 << 20);
  SHOAL_RETURN_IF_ERROR(RealFileSystem().WriteAtomic(
      JoinPath(JoinPath(origin_directory_, "blobs"), HexEncode(delta.sha256())),
      bytes));
  return delta;
}

absl::StatusOr<signing::LogHead> StolenPlane::ExtendLog(
    const std::string& snapshot) {
  signing::LogLeaf leaf;
  leaf.number = snapshot_version_;
  leaf.sha256 = crypto::Sha256Digest(snapshot);
  leaf.name = "snapshot";
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, signing::EncodeLogLeaf(leaf));
  leaves_.push_back(std::move(bytes));
  std::map<std::pair<int, uint64_t>, std::string> nodes;
  signing::LogFrontier frontier;
  for (const std::string& one : leaves_)
    frontier.Append(signing::LogLeafHash(one),
                    [&](int level, uint64_t index, const std::string& hash) {
                      nodes[{level, index}] = hash;
                    });
  const signing::ReadLogNode read =
      [&](int level, uint64_t index) -> absl::StatusOr<std::string> {
    return nodes.at({level, index});
  };
  const signing::LogHead head{leaves_.size(), frontier.Root(),
                              leaves_.size() - 1};
  log::v1::LogProof proof;
  proof.set_size(head.size);
  proof.set_root(head.root);
  SHOAL_ASSIGN_OR_RETURN(
      const auto inclusion,
      signing::InclusionPath(head.snapshot, head.size, read));
  for (const std::string& hash : inclusion) proof.add_inclusion(hash);
  // With a proof from every size that a device may have seen: what gives a
  // second truth away is the proof itself.
  for (const uint64_t size : heads_) {
    if (size >= head.size) continue;
    SHOAL_ASSIGN_OR_RETURN(const auto path,
                           signing::PrefixPath(size, head.size, read));
    auto* prefix = proof.add_prefixes();
    prefix->set_size(size);
    for (const std::string& hash : path) prefix->add_path(hash);
  }
  heads_.push_back(head.size);
  if (heads_.size() > 8) heads_.erase(heads_.begin());
  for (uint64_t n = bundles_sent_; n * signing::kLogBundle < leaves_.size();
       ++n) {
    const auto first = leaves_.begin() + static_cast<long>(n * 64);
    const auto last =
        std::min(leaves_.end(), first + static_cast<long>(signing::kLogBundle));
    SHOAL_RETURN_IF_ERROR(SendAsDirector(
        records::v1::RECORD_KIND_LOG_ENTRIES, std::to_string(n),
        ++record_version_, signing::EncodeLogEntries({first, last})));
    bundles_sent_ = n;
  }
  SHOAL_RETURN_IF_ERROR(SendAsDirector(records::v1::RECORD_KIND_LOG_PROOF,
                                       HexEncode(head.root), 1,
                                       proof.SerializeAsString()));
  return head;
}

absl::StatusOr<std::string> StolenPlane::AnotherTruth() {
  SHOAL_ASSIGN_OR_RETURN(const auto last, signing::ParseTimestamp(timestamp_));
  signing::Timestamp other = last.value;
  other.version += 1;
  other.log->root = crypto::Sha256Digest("another truth");
  return signing::SignTimestamp(other, {&keys_->timestamp});
}

absl::Status StolenPlane::Publish(uint64_t add) {
  for (const std::string& role : changed_) {
    const auto file = roles_.find(role);
    if (file == roles_.end()) continue;
    SHOAL_RETURN_IF_ERROR(
        SendAsDirector(records::v1::RECORD_KIND_METADATA,
                       fmt::format("{}/{}", role, file->second.version), 1,
                       file->second.bytes));
  }
  changed_.clear();
  for (const auto& [path, bytes] : documents_)
    SHOAL_RETURN_IF_ERROR(SendAsDirector(records::v1::RECORD_KIND_DOCUMENT,
                                         HexEncode(crypto::Sha256Digest(bytes)),
                                         1, bytes));
  documents_.clear();
  snapshot_version_ += add;
  timestamp_version_ += add;
  SHOAL_ASSIGN_OR_RETURN(
      const std::string snapshot,
      signing::BuildSnapshot(snapshot_version_, InSeconds(absl::Hours(720)),
                             roles_, {&keys_->snapshot}));
  SHOAL_RETURN_IF_ERROR(SendAsDirector(
      records::v1::RECORD_KIND_METADATA,
      fmt::format("snapshot/{}", snapshot_version_), 1, snapshot));
  SHOAL_ASSIGN_OR_RETURN(const signing::LogHead log, ExtendLog(snapshot));
  SHOAL_ASSIGN_OR_RETURN(const std::string timestamp,
                         signing::BuildTimestamp(
                             timestamp_version_, InSeconds(absl::Hours(168)),
                             snapshot_version_, snapshot, {&keys_->timestamp},
                             without_log_ ? std::nullopt : std::optional(log)));
  timestamp_ = timestamp;
  records::v1::Head head;
  head.set_timestamp(timestamp);
  head.set_snapshot_version(snapshot_version_);
  record_version_ += add;
  return SendAsDirector(records::v1::RECORD_KIND_HEAD, "gateway",
                        record_version_, head.SerializeAsString());
}

}  // namespace shoal::testing
