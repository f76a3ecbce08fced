// Brings every record back to enough disks: a thread that reads the streams of
// the other storage nodes, from where it stopped last time, and stores what
// this node lacks and should hold (T63, T64).
//
// Nodes that did not answer for a while do not count as holders, so that the
// others take over their share; when the set of holders changes and something
// had been left out, everything is read again.
#ifndef SHOAL_DHT_NODE_REPAIR_H_
#define SHOAL_DHT_NODE_REPAIR_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/crypto/x509.h"
#include "dht/node/record_store.h"
#include "dht/records/record.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::dht::node {

struct RepairOptions {
  // Between two rounds; each pause is 75 to 125 % of it.
  absl::Duration interval = absl::Seconds(30);
  int copies = 3;
  // A node that was not reached for this long does not count as a holder.
  absl::Duration away_after = absl::Minutes(5);
  // One read of one node at most; the next round goes on from there.
  absl::Duration read_limit = absl::Minutes(5);
};

// Called on the repair thread.
struct RepairHooks {
  std::function<std::shared_ptr<const records::v1::NodeDirectory>()> directory;
  std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
      verify;
  // The credential behind a digest came along; it is not verified yet.
  std::function<void(const records::v1::Credential&)> learn;
  // This record is new on this disk.
  std::function<void(const VerifiedRecord&)> stored;
};

struct RepairStats {
  uint64_t repaired = 0;  // records taken from other nodes
  uint64_t refused = 0;   // that did not verify
  uint64_t rounds = 0;    // in which every other node was read to its end
};

class Repairer {
 public:
  // `store`, `clock` and `tls` outlive it. `self_key`: this node's ed25519
  // public key, by which it finds itself in the directory.
  static std::unique_ptr<Repairer> Start(RepairOptions options,
                                         std::string self_key,
                                         const crypto::TlsKeyPair& tls,
                                         RecordStore& store, Clock& clock,
                                         RepairHooks hooks);
  ~Repairer();  // ends running reads

  void Kick();  // the next round begins now
  // What was refused may pass now: read everything again.
  void TrustChanged();
  RepairStats Stats() const;

 private:
  class Impl;
  explicit Repairer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_REPAIR_H_
