// Those who take part: devices, nodes, operators.
#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/sign/builder.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {

absl::StatusOr<crypto::TlsKeyPair> TestFleet::MakeTls(const std::string& name,
                                                      absl::Time now) {
  SHOAL_ASSIGN_OR_RETURN(auto ca, crypto::MakeCertificateAuthority(
                                      name + " CA", now - absl::Hours(1),
                                      now + absl::Hours(9000)));
  crypto::CertificateRequest request;
  request.common_name = name;
  request.names = {"127.0.0.1", "localhost"};
  request.server = true;
  request.client = true;
  request.not_before = now - absl::Hours(1);
  request.not_after = now + absl::Hours(8760);
  return crypto::IssueCertificate(ca, request);
}

absl::StatusOr<TestIdentity> TestFleet::IssueDevice() {
  crypto::SigningKey key = crypto::SigningKey::Generate();
  records::v1::CredentialBody body;
  body.set_public_key(key.public_key());
  body.set_subject_id(crypto::RandomBytes(16));
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(options_.now + options_.lifetime));
  body.set_serial(ReadBigEndian(crypto::RandomBytes(4), 4));
  SHOAL_ASSIGN_OR_RETURN(auto credential,
                         signing::IssueCredential(device_ca_, fleet_id_, body));
  return TestIdentity{std::move(key), body.subject_id(), std::move(credential)};
}

absl::StatusOr<TestOperator> TestFleet::MakeOperator(const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(auto tls, MakeTls(name, options_.now));
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(tls.cert_pem));
  TestOperator made{name, crypto::SigningKey::Generate(), std::move(tls), {}};
  made.entry.set_name(name);
  made.entry.set_public_key(HexEncode(made.key.public_key()));
  made.entry.set_tls_spki_sha256(HexEncode(spki));
  return made;
}

absl::StatusOr<fleet::v1::NodeBundle> TestFleet::EnrollNode(
    const fleet::v1::EnrollNodeRequest& request) {
  if (!crypto::Ed25519Verify(request.public_key(),
                             crypto::SigningInput("shoal.node.enroll.v1",
                                                  fleet_id_, request.node_id()),
                             request.signature())) {
    return PermissionDenied("bad_signature", "no proof of possession");
  }
  records::v1::CredentialBody body;
  body.set_public_key(request.public_key());
  body.set_subject_id(crypto::Sha256Digest(request.public_key()).substr(0, 16));
  body.set_kind(records::v1::WRITER_CLASS_NODE);
  body.set_not_after(absl::ToUnixSeconds(options_.now + options_.lifetime));
  body.set_serial(node_credentials_.size() + 1);
  SHOAL_ASSIGN_OR_RETURN(node_credentials_[request.public_key()],
                         signing::IssueCredential(node_ca_, fleet_id_, body));
  RemoveNode(request.public_key());
  records::v1::NodeEntry* entry = directory_.add_nodes();
  entry->set_id(body.subject_id());
  entry->set_public_key(request.public_key());
  entry->set_dht_address(request.dht_address());
  entry->set_grpc_address(request.grpc_address());
  entry->set_http_address(request.http_address());
  entry->set_swarm_address(request.swarm_address());
  entry->set_tls_spki_sha256(request.tls_spki_sha256());
  directory_.set_version(directory_.version() + 1);
  return BundleFor(request.public_key());
}

void TestFleet::RemoveNode(std::string_view public_key) {
  for (int i = 0; i < directory_.nodes_size(); ++i) {
    if (directory_.nodes(i).public_key() == public_key) {
      directory_.mutable_nodes()->DeleteSubrange(i, 1);
      directory_.set_version(directory_.version() + 1);
      return;
    }
  }
}

absl::StatusOr<fleet::v1::NodeBundle> TestFleet::BundleFor(
    std::string_view public_key) const {
  const auto credential = node_credentials_.find(std::string(public_key));
  if (credential == node_credentials_.end()) {
    return NotFound("unknown_node", "not enrolled");
  }
  fleet::v1::NodeBundle bundle;
  bundle.set_fleet_id(fleet_id_);
  *bundle.mutable_credential() = credential->second;
  *bundle.mutable_network() = network_;
  bundle.set_bootstrap_key(bootstrap_key_);
  *bundle.mutable_directory() = directory_;
  bundle.add_roots(root_v1_);
  for (const auto& [role, bytes] : metadata_) {
    if (role == "root") continue;
    const std::string name =
        role == "timestamp"
            ? "timestamp.json"
            : fmt::format("{}.{}.json", versions_.at(role), role);
    (*bundle.mutable_metadata())[name] = bytes;
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(plane_tls_.cert_pem));
  bundle.add_plane_tls_spki_sha256(spki);
  bundle.set_policy(policy_json_);
  return bundle;
}

}  // namespace shoal::testing
