#include "server/fleet/nodes.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "dht/swarm/endpoint.h"
#include "fmt/format.h"
#include "server/fleet/network_keys.h"
#include "server/publish/record_writer.h"
#include "server/store/state.pb.h"
#include "server/trust/release_log.h"
#include "signing/sign/builder.h"

namespace shoal::server {
namespace {

constexpr std::string_view kEnrollDomain = "shoal.node.enroll.v1";
constexpr absl::Duration kNodeCredentialLifetime = absl::Hours(24 * 365 * 5);
constexpr char kPlaneKey[] = "identity";

absl::Status CheckRequest(const fleet::v1::EnrollNodeRequest& request,
                          const std::string& fleet_id) {
  if (!IsIdentifier(request.node_id())) {
    return InvalidArgument("bad_request", "node_id is not an identifier");
  }
  if (request.public_key().size() != crypto::kEd25519PublicKeySize ||
      request.tls_spki_sha256().size() != crypto::kSha256Size) {
    return InvalidArgument("bad_request", "a key has the wrong length");
  }
  for (const std::string* address :
       {&request.dht_address(), &request.grpc_address()}) {
    SHOAL_RETURN_IF_ERROR(dht::ParseEndpoint(*address));
  }
  for (const std::string* address :
       {&request.http_address(), &request.swarm_address()}) {
    if (address->empty()) continue;
    SHOAL_RETURN_IF_ERROR(dht::ParseEndpoint(*address));
  }
  if (!crypto::Ed25519Verify(
          request.public_key(),
          crypto::SigningInput(kEnrollDomain, fleet_id, request.node_id()),
          request.signature())) {
    return PermissionDenied("bad_signature",
                            "the request is not signed by the node's key for "
                            "this fleet");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<store::PlaneRow> GetPlane(const Transaction& tx) {
  auto row = tx.Get<store::PlaneRow>(kMeta, kPlaneKey);
  if (absl::IsNotFound(row.status())) return store::PlaneRow();
  return row;
}

Nodes::Nodes(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
             TrustRepository& trust, Writers& writers,
             std::string plane_tls_spki)
    : store_(store),
      keys_(keys),
      writer_(writer),
      trust_(trust),
      writers_(writers),
      plane_tls_spki_(std::move(plane_tls_spki)) {}

bool Nodes::Revoked(const std::string& public_key) const {
  const auto view = trust_.View();
  if (!view) return false;
  const auto& revoked = view->fleet.revoked_node_keys;
  return std::find(revoked.begin(), revoked.end(), public_key) != revoked.end();
}

absl::Status Nodes::DropRevoked() {
  records::v1::NodeDirectory directory;
  {
    Transaction tx(store_);
    const auto published = tx.Get<store::PublicationRow>(
        kPublications,
        PublicationKey(records::v1::RECORD_KIND_NODE_DIRECTORY, ""));
    if (!published.ok() || !directory.ParseFromString(published->payload()) ||
        std::none_of(directory.nodes().begin(), directory.nodes().end(),
                     [&](const auto& n) { return Revoked(n.public_key()); })) {
      return absl::OkStatus();
    }
    SHOAL_ASSIGN_OR_RETURN(directory, Directory());
    SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
    plane.set_directory_version(plane.directory_version() + 1);
    tx.Put(kMeta, kPlaneKey, plane);
    directory.set_version(plane.directory_version());
    SHOAL_RETURN_IF_ERROR(Publish(tx, directory));
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  LogInfo("revoked_node_dropped", {{"directory", directory.version()}});
  if (on_change_) on_change_(directory);
  return absl::OkStatus();
}

absl::StatusOr<records::v1::NodeDirectory> Nodes::Directory() const {
  records::v1::NodeDirectory directory;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::NodeRow>(
      kNodes, "", "", [&](std::string_view, const store::NodeRow& row) {
        if (!Revoked(row.entry().public_key())) {
          *directory.add_nodes() = row.entry();
        }
        return true;
      }));
  auto plane = store_.Get<store::PlaneRow>(kMeta, kPlaneKey);
  if (plane.ok()) directory.set_version(plane->directory_version());
  return directory;
}

absl::Status Nodes::Publish(Transaction& tx,
                            const records::v1::NodeDirectory& directory) const {
  return writer_.Publish(tx, records::v1::RECORD_KIND_NODE_DIRECTORY, "",
                         directory.SerializeAsString(), absl::Hours(24 * 90),
                         true);
}

absl::Status Nodes::PublishDirectory() {
  SHOAL_ASSIGN_OR_RETURN(auto directory, Directory());
  if (directory.nodes().empty()) return absl::OkStatus();
  Transaction tx(store_);
  SHOAL_RETURN_IF_ERROR(Publish(tx, directory));
  return tx.Commit();
}

absl::Status Nodes::AddMetadata(
    const TrustView& view, uint64_t log_size,
    google::protobuf::Map<std::string, std::string>& out) const {
  for (const auto& [name, bytes] : view.metadata) out[name] = bytes;
  // Under the head that this view's timestamp signs, whatever is committed
  // meanwhile.
  auto proof = trust_.LogProof(view.log, log_size);
  if (absl::IsNotFound(proof.status()) && ReasonOf(proof.status()) == "no_log")
    return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(proof);
  out["log/" + proof->first] = std::move(proof->second);
  return absl::OkStatus();
}

absl::StatusOr<fleet::v1::GetNetworkResponse> Nodes::Network(
    uint64_t log_size) const {
  const auto view = trust_.View();
  fleet::v1::GetNetworkResponse response;
  response.set_fleet_id(writer_.fleet_id());
  SHOAL_ASSIGN_OR_RETURN(*response.mutable_network(),
                         MemberAccess(store_, keys_));
  SHOAL_ASSIGN_OR_RETURN(*response.mutable_directory(), Directory());
  for (const std::string& root : view->roots) response.add_roots(root);
  SHOAL_RETURN_IF_ERROR(
      AddMetadata(*view, log_size, *response.mutable_metadata()));
  response.set_policy(view->fleet.policy_json);
  for (const auto& [path, list] : view->revocations)
    (*response.mutable_revocations())[path] = list;
  return response;
}

absl::StatusOr<fleet::v1::NodeBundle> Nodes::Enroll(
    const fleet::v1::EnrollNodeRequest& request, const std::string& principal) {
  SHOAL_RETURN_IF_ERROR(CheckRequest(request, writer_.fleet_id()));
  const auto view = trust_.View();
  const auto& revoked = view->fleet.revoked_node_keys;
  if (std::find(revoked.begin(), revoked.end(), request.public_key()) !=
      revoked.end()) {
    return PermissionDenied("revoked", "the policy revokes this node's key");
  }
  const std::string& name = request.node_id();
  const absl::Time now = store_.clock().WallNow();
  records::v1::NodeDirectory directory;
  store::NodeRow row;
  {
    Transaction tx(store_);
    SHOAL_RETURN_IF_ERROR(store_.Scan<store::NodeRow>(
        kNodes, "", "", [&](std::string_view key, const store::NodeRow& other) {
          if (key != name && !Revoked(other.entry().public_key())) {
            *directory.add_nodes() = other.entry();
          }
          return true;
        }));
    for (const auto& other : directory.nodes()) {
      if (other.public_key() == request.public_key()) {
        return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                         "this key is enrolled under another name");
      }
    }
    auto existing = tx.Get<store::NodeRow>(kNodes, name);
    if (existing.ok()) {
      row = *std::move(existing);
      if (row.entry().public_key() != request.public_key()) {
        return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                         fmt::format("node {} exists with another key", name));
      }
    }
    SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
    records::v1::NodeEntry* entry = row.mutable_entry();
    if (entry->id().empty()) entry->set_id(crypto::RandomBytes(16));
    entry->set_public_key(request.public_key());
    entry->set_dht_address(request.dht_address());
    entry->set_grpc_address(request.grpc_address());
    entry->set_http_address(request.http_address());
    entry->set_swarm_address(request.swarm_address());
    entry->set_tls_spki_sha256(request.tls_spki_sha256());
    plane.set_credential_serial(plane.credential_serial() + 1);
    records::v1::CredentialBody body;
    body.set_public_key(request.public_key());
    body.set_subject_id(entry->id());
    body.set_kind(records::v1::WRITER_CLASS_NODE);
    body.set_not_after(absl::ToUnixSeconds(now + kNodeCredentialLifetime));
    body.set_serial(plane.credential_serial());
    SHOAL_ASSIGN_OR_RETURN(
        *row.mutable_credential(),
        signing::IssueCredential(keys_.node_ca, writer_.fleet_id(), body));
    SHOAL_RETURN_IF_ERROR(LogCredential(tx, "node", body.subject_id(),
                                        body.serial(), row.credential()));
    if (row.enrolled_at() == 0) row.set_enrolled_at(absl::ToUnixMillis(now));
    plane.set_directory_version(plane.directory_version() + 1);
    *directory.add_nodes() = *entry;
    directory.set_version(plane.directory_version());
    tx.Put(kNodes, name, row);
    tx.Put(kMeta, kPlaneKey, plane);
    SHOAL_RETURN_IF_ERROR(Publish(tx, directory));
    tx.Audit(principal, "node.enroll", "nodes/" + name, "ok");
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  writers_.Add(row.credential());
  if (on_change_) on_change_(directory);

  fleet::v1::NodeBundle bundle;
  bundle.set_fleet_id(writer_.fleet_id());
  *bundle.mutable_credential() = row.credential();
  SHOAL_ASSIGN_OR_RETURN(*bundle.mutable_network(), NodeAccess(store_, keys_));
  bundle.set_bootstrap_key(std::string(keys_.bootstrap_key.view()));
  *bundle.mutable_directory() = directory;
  for (const std::string& root : view->roots) bundle.add_roots(root);
  SHOAL_RETURN_IF_ERROR(AddMetadata(*view, 0, *bundle.mutable_metadata()));
  bundle.add_plane_tls_spki_sha256(plane_tls_spki_);
  bundle.set_policy(view->fleet.policy_json);
  return bundle;
}

}  // namespace shoal::server
