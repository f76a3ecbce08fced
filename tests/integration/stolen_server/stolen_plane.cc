#include "tests/integration/stolen_server/stolen_plane.h"

#include <fmt/format.h>

#include <mutex>

#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/status.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "signing/verify/credential.h"
#include "tests/support/process_harness.h"

namespace shoal::testing {
namespace {

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

}  // namespace shoal::testing
