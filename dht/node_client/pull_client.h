// Reads a storage node's records over shoal.node.v1.Records: for other nodes'
// repair, the management plane and the fleet tool. The server is known by its
// key (SHA-256 of SubjectPublicKeyInfo), not by a CA or name.
#ifndef SHOAL_DHT_NODE_CLIENT_PULL_CLIENT_H_
#define SHOAL_DHT_NODE_CLIENT_PULL_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/x509.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::node::v1 {
class GetStatusResponse;
}

namespace shoal::dht {

struct PullTarget {
  std::string address;      // "ip:port"
  std::string spki_sha256;  // 32 bytes: the server's TLS key
};

struct PullPosition {
  std::string store_id;  // as answered before; empty: from the start
  uint64_t cursor = 0;
};

// Thread-safe; a call blocks the caller's thread.
class PullClient {
 public:
  // "bad_certificate" for an unusable key pair.
  static absl::StatusOr<std::unique_ptr<PullClient>> Open(
      const PullTarget& target, const crypto::TlsKeyPair& tls);
  ~PullClient();

  // All records from `position` on, each given to `each` with the position
  // right after it; false ends the call without an error. A heartbeat comes as
  // an empty record. `credential` is set when the record names its writer's
  // credential by digest only. Returns where it ended. Without `follow` it ends
  // when everything was sent. Errors are the server's, with its reason, or
  // kUnavailable "peer_unreachable".
  using Each = std::function<bool(std::string record,
                                  const records::v1::Credential* credential,
                                  const PullPosition& after)>;
  absl::StatusOr<PullPosition> Pull(
      const PullPosition& position,
      const std::vector<records::v1::RecordKind>& kinds, bool follow,
      absl::Duration deadline, const Each& each);

  absl::Status GetStatus(absl::Duration deadline,
                         shoal::node::v1::GetStatusResponse* response);

  // Ends running calls with kCancelled; later ones fail the same way.
  void Cancel();

 private:
  struct Impl;
  explicit PullClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_NODE_CLIENT_PULL_CLIENT_H_
