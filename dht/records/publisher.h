// The writer's side of durability: puts a record and asks storage nodes for
// receipts until enough of them have it on disk.
#ifndef SHOAL_DHT_RECORDS_PUBLISHER_H_
#define SHOAL_DHT_RECORDS_PUBLISHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/address.h"
#include "dht/records/network.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {

// A storage node as the directory or a ticket names it.
struct StorageNode {
  Address address;
  std::string id;          // subject id; empty: known by address only
  std::string public_key;  // empty with id
  std::string dht_id;      // NodeDhtId(public_key); empty with id
};

// One thread at a time.
class Publisher {
 public:
  struct Options {
    std::string fleet_id;
    std::function<absl::Duration()> monotonic;
    std::function<void(const Address&, const records::v1::Datagram&)> send;
    std::function<void(const std::string& place, const std::string& value)> put;
    std::function<void(const Address&)> ping;
    // Does OpenDHT know any node? It forgets what is put while it does not.
    std::function<bool()> connected;
    // Nodes: is it on this process's own disk? Answers later, on this thread.
    // Empty on clients.
    std::function<void(const std::string& place, const std::string& digest,
                       std::function<void(bool)> reply)>
        confirm_self;
  };
  explicit Publisher(Options options);

  void SetNodes(std::vector<StorageNode> nodes);
  // The record was verified to parse: `place` and `digest` are its own.
  void Start(std::string record, std::string place, std::string digest,
             const PutOptions& options, bool count_self,
             Network::PutCallback done);
  void OnReceipt(const Address& from, const records::v1::Receipt& receipt);
  // Does what is due; returns when to call again (infinite: nothing waits).
  absl::Duration Tick();
  // Ends all with kCancelled "network_closed".
  void CancelAll();

 private:
  struct Operation {
    std::string record;
    std::string place;
    std::string digest;
    std::string nonce;
    int wanted = 0;
    bool count_self = false;
    bool self_asked = false;
    std::set<std::string> receipts;  // by node
    absl::Duration deadline;
    absl::Duration next_confirm;
    absl::Duration confirm_pause;
    absl::Duration next_put;
    absl::Duration put_pause;
    absl::Duration last_put;
    int puts = 0;
    Network::PutCallback done;
  };
  using Operations = std::map<uint64_t, Operation>;

  std::vector<const StorageNode*> Targets(const std::string& place) const;
  int Wanted(const Operation& operation) const;
  // Puts when due and possible.
  void MaybePut(Operation& operation);
  void Put(Operation& operation);
  void AskForReceipts(uint64_t id, Operation& operation);
  void Credit(uint64_t id, const std::string& node);
  void Finish(Operations::iterator operation, absl::StatusOr<PutResult> result);

  const Options options_;
  std::vector<StorageNode> nodes_;
  Operations operations_;
  std::map<std::string, uint64_t> by_nonce_;
  uint64_t next_id_ = 1;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_PUBLISHER_H_
