// Storage nodes: enrolment, the signed directory, and what a member of the
// network needs to know.
#ifndef SHOAL_SERVER_FLEET_NODES_H_
#define SHOAL_SERVER_FLEET_NODES_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/publish/writers.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"
#include "server/trust/repository.h"
#include "shoal/fleet/v1/node_service.pb.h"

namespace shoal::server {

// Thread-safe.
class Nodes {
 public:
  // References outlive it. `plane_tls_spki`: digest of the plane's own client
  // certificate, which nodes let pull.
  Nodes(Store& store, const PlaneKeys& keys, const RecordWriter& writer,
        TrustRepository& trust, Writers& writers, std::string plane_tls_spki);

  // Checks the proof of possession, certifies, adds to the directory. The
  // same node again (same key) gets a fresh bundle and its new addresses.
  // Reasons: "bad_request", "bad_signature", "already_exists" (the name, or
  // the key under another name), "revoked".
  absl::StatusOr<fleet::v1::NodeBundle> Enroll(
      const fleet::v1::EnrollNodeRequest& request,
      const std::string& principal);

  absl::StatusOr<records::v1::NodeDirectory> Directory() const;
  absl::StatusOr<fleet::v1::GetNetworkResponse> Network(
      uint64_t log_size) const;
  // Publishes the directory when its record is missing or old.
  absl::Status PublishDirectory();

  // Called after every change of the directory.
  void OnChange(
      std::function<void(const records::v1::NodeDirectory&)> callback) {
    on_change_ = std::move(callback);
  }

 private:
  absl::Status Publish(Transaction& tx,
                       const records::v1::NodeDirectory& directory) const;
  // All metadata of one view, with the proof of its head.
  absl::Status AddMetadata(
      const TrustView& view, uint64_t log_size,
      google::protobuf::Map<std::string, std::string>& out) const;

  Store& store_;
  const PlaneKeys& keys_;
  const RecordWriter& writer_;
  TrustRepository& trust_;
  Writers& writers_;
  const std::string plane_tls_spki_;
  std::function<void(const records::v1::NodeDirectory&)> on_change_;
};

// The plane's counters (meta/identity); an empty row when there is none.
absl::StatusOr<store::PlaneRow> GetPlane(const Transaction& tx);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_NODES_H_
