// The gRPC service shoal.node.v1.Records of a storage node: enumeration of its
// records for management planes, operators and other storage nodes (repair).
//
// TLS 1.2 or later with a client certificate that nobody has to have signed:
// whoever's public key (SHA-256 of SubjectPublicKeyInfo) is known may call.
#ifndef SHOAL_DHT_NODE_RECORDS_SERVER_H_
#define SHOAL_DHT_NODE_RECORDS_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/x509.h"
#include "dht/node/record_store.h"

namespace shoal::node::v1 {
class GetStatusResponse;
}

namespace shoal::dht::node {

struct RecordsServerOptions {
  std::string bind = "127.0.0.1:0";
  // Streams of all callers at a time; more are kResourceExhausted
  // "too_many_streams".
  int max_streams = 64;
  // A heartbeat on a following stream that has nothing else to say.
  absl::Duration heartbeat = absl::Seconds(15);
};

// Called from the server's threads.
struct RecordsServerHooks {
  // May the holder of this TLS key (32 bytes) call?
  std::function<bool(const std::string& spki_sha256)> may_call;
  // Fills all but store_id, records and bytes.
  std::function<void(shoal::node::v1::GetStatusResponse*)> status;
};

class RecordsServer {
 public:
  // `store` outlives it. kUnavailable "listen" when the address can't be
  // bound, "bad_certificate" for an unusable key pair.
  static absl::StatusOr<std::unique_ptr<RecordsServer>> Open(
      const RecordsServerOptions& options, const crypto::TlsKeyPair& tls,
      const RecordStore& store, RecordsServerHooks hooks);
  ~RecordsServer();  // ends all streams

  std::string address() const;  // "ip:port" with the real port

 private:
  struct Impl;
  explicit RecordsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_RECORDS_SERVER_H_
