// The attacker: everything that lay on the management plane's machine is in
// its hand, keys and store, and our own signing libraries do the forging. It
// also runs a storage node of its own, certified with the stolen node CA and
// named in a node directory that the stolen director key signed: it hands out
// whatever it is told to, so that nothing here is stopped before the device.
#ifndef SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_PLANE_H_
#define SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_PLANE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dht/records/network.h"
#include "dht/swarm/origin_server.h"
#include "server/identity/plane_keys.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "shoal/rollout/v1/document.pb.h"
#include "signing/sign/builder.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {

class StolenPlane {
 public:
  // `plane` is the data directory of a shoald that no longer runs.
  static absl::StatusOr<std::unique_ptr<StolenPlane>> Take(
      const TempDir& dir, const std::string& plane);

  const server::PlaneKeys& keys() const { return *keys_; }
  const dht::PlaceNamer& places() const { return *places_; }
  const std::string& device_id() const { return device_id_; }
  const std::string& device_box_key() const { return device_box_key_; }
  // "127.0.0.1:port" of the attacker's node.
  std::string node_address() const { return network_->bound_address(); }

  // The newest file of a role, and the same with other content, signed with
  // the stolen director key.
  const signing::RoleFile& role(const std::string& name) const {
    return roles_.at(name);
  }
  void SetRole(const std::string& name, signing::RoleFile file) {
    roles_[name] = std::move(file);
    changed_.push_back(name);
  }
  void DropRole(const std::string& name) { roles_.erase(name); }
  signing::Targets Content(const std::string& role) const;
  // The next version of `role` by the director's key, whoever should sign it.
  absl::Status Forge(const std::string& role, signing::Targets content);

  // A target of director-gateway.
  absl::Status PutDocument(const std::string& path, const std::string& bytes);
  absl::Status RemoveDocument(const std::string& path);
  // A rollout of `image_target` to every gateway, at once; order and id new.
  // What it says of the image is what an fw- role signed, where one did.
  rollout::v1::RolloutDocument Rollout(const std::string& image_target);
  // Takes the place of the rollout before.
  absl::Status PutRollout(const rollout::v1::RolloutDocument& document);
  // Bytes under the attacker's origin, as a delta of a delta index.
  absl::StatusOr<release::v1::Delta> Serve(const std::string& bytes);

  // Snapshot and timestamp over everything, all of it into the network. With
  // `add` the versions are driven up by so much.
  absl::Status Publish(uint64_t add = 1);
  // Another timestamp than the one published last, over as many entries of the
  // release log; it is not sent to anybody.
  absl::StatusOr<std::string> AnotherTruth();
  // Timestamps name no release log from now on.
  void LeaveTheLogOut() { without_log_ = true; }
  // The timestamp that was published last.
  const std::string& timestamp() const { return timestamp_; }

  // A record of the director, at the place of (kind, name).
  absl::Status SendAsDirector(records::v1::RecordKind kind,
                              const std::string& name, uint64_t version,
                              const std::string& payload);
  // The same by any other writer.
  absl::Status Send(dht::RecordFields fields, const crypto::SigningKey& key);
  // A record by `key`, from a client that asks the fleet's own storage nodes
  // alone for receipts: "no_receipt" when none of them keeps it,
  // "some_receipts" when not all do.
  absl::Status OfferToNodes(const crypto::SigningKey& key,
                            records::v1::RecordKind kind,
                            const std::string& name, uint64_t version,
                            const std::string& payload);
  // A credential over `key` by the stolen device or node CA, of any kind.
  records::v1::Credential Certify(const crypto::SigningKey& ca,
                                  const std::string& key,
                                  records::v1::WriterClass kind,
                                  const std::string& subject_id) const;
  // A directory whose only node is the attacker's.
  absl::Status LeadDevicesAway();

 private:
  StolenPlane() = default;
  absl::Status ReadStore(const std::string& plane);
  absl::Status JoinNetwork(const TempDir& dir);
  dht::NetworkOptions Options() const;
  absl::Status SendDirectory(bool with_honest_nodes);
  // Goes on with the release log as a plane would, or nobody would listen.
  absl::StatusOr<signing::LogHead> ExtendLog(const std::string& snapshot);

  std::unique_ptr<server::PlaneKeys> keys_;
  std::string fleet_id_;
  std::unique_ptr<dht::PlaceNamer> places_;
  std::string device_id_;
  std::string device_box_key_;
  records::v1::NodeDirectory honest_nodes_;
  records::v1::NodeEntry own_node_;
  std::map<std::string, signing::RoleFile> roles_;
  std::vector<std::string> changed_;
  std::map<std::string, std::string> documents_;  // new ones, by target path
  std::vector<std::string> leaves_;
  std::vector<uint64_t> heads_;
  uint64_t bundles_sent_ = 0;
  bool without_log_ = false;
  std::string timestamp_;
  uint64_t snapshot_version_ = 0;
  uint64_t timestamp_version_ = 0;
  uint64_t record_version_ = 1'000'000;
  uint64_t order_ = 1'000;
  std::string rollout_path_;
  std::string origin_directory_;
  std::unique_ptr<dht::OriginServer> origin_;
  std::unique_ptr<dht::Network> network_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_PLANE_H_
