// The fleet's network from the context alone: what commands and halts use
// while shoald may be down.
#ifndef SHOAL_SERVER_CLI_RECORDS_SESSION_H_
#define SHOAL_SERVER_CLI_RECORDS_SESSION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "server/cli/program.h"

namespace shoal::cli {

// One thread uses it; records arrive on the network's own.
class RecordsSession {
 public:
  // Verifies the stored trust, joins as a client and takes what the nodes have
  // of newer metadata: who was revoked by now is nobody here. "no_nodes" when
  // the directory is empty; "network_unreachable" (kUnavailable) when no node
  // answers within `timeout`.
  static absl::StatusOr<std::unique_ptr<RecordsSession>> Open(
      Program& program, absl::Duration timeout);

  dht::Network& network() { return *network_; }
  const dht::PlaceNamer& places() const { return places_; }
  const std::string& fleet_id() const { return fleet_id_; }
  // The operator's own key.
  const crypto::SigningKey& operator_key() const { return operator_key_; }

  // The newest valid record of `kind` at `place` by a device or operator whose
  // subject is `writer_id`; from the DHT, else from the storage nodes' disks.
  // kNotFound "no_record".
  absl::StatusOr<dht::VerifiedRecord> Newest(records::v1::RecordKind kind,
                                             const std::string& place,
                                             const std::string& writer_id,
                                             absl::Duration timeout);

  // Signs with the operator's key, puts, and waits for receipts.
  absl::StatusOr<dht::PutResult> PutSigned(const dht::RecordFields& fields,
                                           absl::Duration deadline,
                                           std::string* record = nullptr);

 private:
  RecordsSession(Program& program, std::string fleet_id,
                 std::string_view place_key, crypto::SigningKey operator_key,
                 records::v1::NodeDirectory directory,
                 dht::WriterResolver resolver);
  absl::Status LearnNewest(const Context& context,
                           const fleet::v1::GetNetworkResponse& network);
  absl::StatusOr<std::vector<dht::VerifiedRecord>> PullAll(
      records::v1::RecordKind kind, const std::string& place,
      absl::Duration timeout);
  Program& program_;
  const std::string fleet_id_;
  const dht::PlaceNamer places_;
  const crypto::SigningKey operator_key_;
  const records::v1::NodeDirectory directory_;
  dht::WriterResolver resolver_;
  std::unique_ptr<dht::Network> network_;
};

// "127.0.0.1:0" when all nodes are on this machine, else every interface.
std::string BindAddressFor(const records::v1::NodeDirectory& directory);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_RECORDS_SESSION_H_
