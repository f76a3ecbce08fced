// A complete small fleet without a management plane: all offline and online
// keys, a signed TUF repository on disk, the network's keys, credentials for
// nodes and devices, and the records that a plane would publish.
//
//   ASSERT_OK_AND_ASSIGN(auto fleet, TestFleet::Create(dir.File("fleet")));
//   ASSERT_OK_AND_ASSIGN(auto image, fleet->AddImage("gateway", "1.1.0", 2, 0,
//   bytes)); ASSERT_OK(fleet->Publish()); for (const std::string& record :
//   *fleet->PublicationRecords()) …
//
// Nothing here is for production: keys lie in memory and thresholds are 1,
// except root's (2 of 3).
#ifndef SHOAL_TESTS_SUPPORT_TEST_FLEET_H_
#define SHOAL_TESTS_SUPPORT_TEST_FLEET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/box.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/x509.h"
#include "shoal/fleet/v1/node_service.pb.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/records/v1/record.pb.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "shoal/rollout/v1/document.pb.h"
#include "signing/metadata/image_info.h"
#include "signing/metadata/metadata.h"

namespace shoal::testing {

struct TestFleetOptions {
  std::vector<std::string> device_types = {"gateway"};
  // Lifetimes count from here; the system's clock unless told.
  absl::Time now = absl::Now();
  absl::Duration lifetime = absl::Hours(24 * 365);
  absl::Duration timestamp_lifetime = absl::Hours(24 * 7);
};

// A device or node: a key with its credential.
struct TestIdentity {
  crypto::SigningKey key;
  std::string id;  // 16 bytes
  records::v1::Credential credential;
};

struct TestOperator {
  std::string name;
  crypto::SigningKey key;
  crypto::TlsKeyPair tls;  // self-issued client certificate
  policy::v1::Operator entry;
};

struct TestImage {
  signing::TargetFile target;
  signing::ImageInfo info;
  std::string blob_path;  // <repository>/blobs/<hex>
};

// One thread at a time.
class TestFleet {
 public:
  // Everything is made, version 1 of every role published, with one operator
  // "admin" (role "admin", may do everything) in the policy.
  static absl::StatusOr<std::unique_ptr<TestFleet>> Create(
      const std::string& directory, TestFleetOptions options = {});

  const std::string& fleet_id() const { return fleet_id_; }
  // The published tree: metadata/, targets/, blobs/. A stock TUF client, an
  // OriginServer and signing::DirectoryFetcher read it.
  const std::string& repository() const { return repository_; }
  const std::string& root_v1() const { return root_v1_; }

  const crypto::SigningKey& director_key() const { return director_; }
  const crypto::SigningKey& device_ca() const { return device_ca_; }
  const crypto::SigningKey& node_ca() const { return node_ca_; }
  const crypto::SigningKey& timestamp_key() const { return timestamp_; }
  const crypto::BoxKey& telemetry_key() const { return telemetry_; }
  // The plane's TLS identity, whose SPKI is in every NodeBundle.
  const crypto::TlsKeyPair& plane_tls() const { return plane_tls_; }
  const TestOperator& admin() const { return *admin_; }
  const pairing::v1::NetworkAccess& network() const { return network_; }
  const std::string& bootstrap_key() const { return bootstrap_key_; }
  const records::v1::NodeDirectory& directory() const { return directory_; }

  // Changes take effect with Publish().
  absl::StatusOr<TestImage> AddImage(const std::string& device_type,
                                     const std::string& version,
                                     uint64_t counter, uint64_t min_counter,
                                     std::string_view bytes);
  absl::Status RemoveImage(const std::string& device_type,
                           const std::string& version);
  // A document of director-<type>: "director/<type>/rollout/<id>",
  // "director/<type>/deltas/<version>", "director/<type>/revoked/devices".
  absl::Status AddDocument(const std::string& path, std::string_view bytes);
  absl::Status RemoveDocument(const std::string& path);
  // An active rollout of the image to all gateways in one phase, for a day.
  rollout::v1::RolloutDocument RolloutToAll(const std::string& id,
                                            const TestImage& image) const;
  // Puts bytes under blobs/ and returns what a delta index says of them; the
  // caller fills in from and to.
  absl::StatusOr<release::v1::Delta> AddDelta(std::string_view bytes);
  absl::Status SetPolicy(const policy::v1::AccessPolicy& policy);
  const policy::v1::AccessPolicy& policy() const { return policy_; }

  // The next root, with another key for the timestamp, is in the tree at once;
  // Publish() signs by it from then on.
  absl::Status RotateTimestampKey();

  // Signs what changed, then snapshot and timestamp anew, and writes the tree.
  absl::Status Publish();
  // The timestamps signed from now on expire then, not after their lifetime.
  void TimestampsExpireAt(absl::Time time) { timestamp_expires_ = time; }

  // The records of the publication in force: METADATA of every role file of at
  // most 16 KiB, DOCUMENTs, NODE_DIRECTORY, then a HEAD for every type.
  absl::StatusOr<std::vector<std::string>> PublicationRecords() const;
  // The single ones.
  absl::StatusOr<std::string> HeadRecord(const std::string& device_type) const;
  absl::StatusOr<std::string> DirectoryRecord() const;
  // Any record of the director: its place from kind and name.
  absl::StatusOr<std::string> DirectorRecord(
      records::v1::RecordKind kind, std::string_view name, uint64_t version,
      std::string_view payload,
      absl::Duration lifetime = absl::Hours(24)) const;
  // Any record of a device or node.
  absl::StatusOr<std::string> IdentityRecord(
      const TestIdentity& identity, records::v1::RecordKind kind,
      std::string_view name, uint64_t version, std::string_view payload,
      absl::Duration lifetime = absl::Hours(24)) const;
  // Any record of an operator.
  absl::StatusOr<std::string> OperatorRecord(
      const TestOperator& op, records::v1::RecordKind kind,
      std::string_view name, uint64_t version, std::string_view payload,
      absl::Duration lifetime = absl::Minutes(15)) const;

  absl::StatusOr<TestIdentity> IssueDevice();
  absl::StatusOr<TestOperator> MakeOperator(const std::string& name);
  // What the plane's EnrollNode does: checks the proof, certifies, adds the
  // node to the directory (a node that is there already is replaced).
  absl::StatusOr<fleet::v1::NodeBundle> EnrollNode(
      const fleet::v1::EnrollNodeRequest& request);
  void RemoveNode(std::string_view public_key);
  // The bundle of an enrolled node with directory and metadata as of now.
  absl::StatusOr<fleet::v1::NodeBundle> BundleFor(
      std::string_view public_key) const;
  // Versions in force, by role.
  const std::map<std::string, uint64_t>& versions() const { return versions_; }

 private:
  explicit TestFleet(TestFleetOptions options);
  // A self-issued certificate for servers and clients on this machine.
  static absl::StatusOr<crypto::TlsKeyPair> MakeTls(const std::string& name,
                                                    absl::Time now);
  absl::Status Build(const std::string& directory);
  absl::Status WriteRole(const std::string& role, uint64_t version,
                         std::string_view bytes);
  absl::Status WriteTarget(const signing::TargetFile& target,
                           std::string_view bytes);
  absl::StatusOr<std::string> SignFrom(
      records::v1::RecordKind kind, std::string place, uint64_t version,
      std::string_view payload, absl::Duration lifetime,
      const crypto::SigningKey& key,
      const records::v1::Credential* credential) const;

  TestFleetOptions options_;
  std::string repository_;
  std::string fleet_id_;
  std::string root_v1_;
  std::vector<crypto::SigningKey> root_keys_;
  crypto::SigningKey targets_, policy_key_, director_, snapshot_, timestamp_,
      device_ca_, node_ca_;
  std::map<std::string, crypto::SigningKey> fw_keys_;
  crypto::BoxKey telemetry_;
  crypto::TlsKeyPair plane_tls_;
  std::optional<TestOperator> admin_;
  pairing::v1::NetworkAccess network_;
  std::string bootstrap_key_;
  records::v1::NodeDirectory directory_;
  std::map<std::string, records::v1::Credential> node_credentials_;
  policy::v1::AccessPolicy policy_;
  std::string policy_json_;
  // Delegated roles by name, with whether they changed since Publish().
  std::map<std::string, signing::Targets> roles_;
  std::map<std::string, bool> dirty_;
  std::map<std::string, uint64_t> versions_;
  std::map<std::string, std::string> metadata_;   // role → bytes in force
  std::map<std::string, std::string> documents_;  // sha256 → bytes
  std::optional<absl::Time> timestamp_expires_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_TEST_FLEET_H_
