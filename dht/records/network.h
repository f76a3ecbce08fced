// A member of the fleet's network: puts, gets and listens to records over
// OpenDHT on one sealed UDP socket, with a thread of its own.
//
//   NetworkOptions options;
//   options.fleet_id = …; options.keys = {…}; options.place_key = …;
//   options.directory = …; options.resolver = …;
//   SHOAL_ASSIGN_OR_RETURN(auto network, Network::Open(std::move(options)));
//   network->Listen(places.Head("gateway"), [&](const VerifiedRecord& r) {…});
//
// Devices, tools and readers are clients: in nobody's routing table, keeping
// nothing for others. Storage nodes and management planes may be nodes: they
// keep what passes VerifyRecord and their store hook, and take only those as
// fellow nodes that proved a node credential (T45).
#ifndef SHOAL_DHT_RECORDS_NETWORK_H_
#define SHOAL_DHT_RECORDS_NETWORK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/crypto/ed25519.h"
#include "dht/records/place.h"
#include "dht/records/record.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::dht {

enum class NetworkRole { kClient, kNode };

// What a storage node adds. All hooks are called on the network's thread and
// must not block: hand disk work to another thread.
struct NodeHooks {
  // A peer (or this process's own Put) wants this verified record kept. False:
  // refused (quota, full, already replaced). May be called again for a record
  // that is already kept; `from` is "host:port", or "" for this process.
  std::function<bool(const VerifiedRecord& record, const std::string& from)>
      on_store;

  // "Is this record on disk?" Call `reply` exactly once, from any thread, now
  // or after the fsync that was still to come: the time until which it is
  // kept; kNotFound: not here (the writer puts it again); any other error: no
  // answer is sent. `reply` may outlive the Network.
  std::function<void(const std::string& place, const std::string& digest,
                     std::function<void(absl::StatusOr<absl::Time>)> reply)>
      on_confirm;

  // The newest grant for this device (16 bytes), asked for with a credential
  // that verified, under a network key that may be retired. As on_confirm;
  // kNotFound: none, no answer is sent. May be empty: nobody is answered.
  std::function<void(const std::string& device_id,
                     std::function<void(absl::StatusOr<std::string>)> reply)>
      on_grant_request;
};

// What a device adds, so that it finds back when its network keys were retired
// while it was away: nodes that know it by none of them are asked for its grant
// (proto GrantRequest).
struct ClientIdentity {
  // Not owned; outlives the Network.
  const crypto::SigningKey* key = nullptr;
  records::v1::Credential credential;  // kind DEVICE, for `key`
  // A record with which the node at this address ("host:port") answered the
  // question, once for each time that it was asked. Not verified. On the
  // network's thread, must not block.
  std::function<void(const std::string& node, const std::string& record)>
      on_grant;
};

struct NodeIdentity {
  crypto::SigningKey key;
  records::v1::Credential credential;  // kind NODE, for `key`
  std::string id;                      // subject id, 16 bytes
};

struct NetworkOptions {
  // "127.0.0.1:0", "0.0.0.0:4222", "[::]:4222": numeric host; port 0: the
  // system's choice. A second address of the other family may be given. With
  // IPv6 alone OpenDHT 2.4 does not listen (it asks IPv4 first). With both, a
  // Get may end before it has found what is there, as soon as one family has
  // no nodes: listen, or bind one family.
  std::string bind_address = "127.0.0.1:0";
  std::string second_bind_address;

  std::string fleet_id;  // 32 bytes
  // The highest epoch seals what is sent to those not heard from yet; all
  // open. Epoch 0 is the bootstrap key. At least one, at most 16.
  std::vector<pairing::v1::NetworkKey> keys;
  std::string place_key;  // 32 bytes; empty while pairing
  // Storage nodes of the fleet: bootstrap list, whom to ask for receipts, and
  // the only addresses that a client takes for nodes.
  records::v1::NodeDirectory directory;
  // "host:port" (numeric) beside the directory: a claim ticket's, or an
  // operator's. Taken for nodes too; their receipts can't be verified and
  // count only while the directory is empty.
  std::vector<std::string> bootstrap;

  NetworkRole role = NetworkRole::kClient;
  WriterResolver resolver;
  Clock* clock = nullptr;  // not owned; must outlive the Network

  // Clients only; may be missing.
  std::optional<ClientIdentity> client;

  // Nodes only.
  // Keys that are not in force any more; see SetNetworkKeys.
  std::vector<pairing::v1::NetworkKey> retired_keys;
  std::optional<NodeIdentity> identity;
  // Answers TimeRequests by `clock`; none: they go unanswered.
  std::optional<crypto::SigningKey> time_key;
  NodeHooks hooks;
  // Is this a node credential of the fleet, valid now and not revoked? Thread-
  // safe, must not block.
  std::function<absl::Status(const records::v1::Credential&, absl::Time now)>
      verify_node;
  // Bytes of records held in memory for others; more is refused.
  uint64_t max_store_bytes = 1ull << 30;
};

struct PutOptions {
  // Receipts to wait for; 0: min(3, nodes in the directory).
  int wanted_receipts = 0;
  // The put ends then at the latest: with at least one receipt it counts as
  // under-replicated, with none as failed.
  absl::Duration deadline = absl::Seconds(30);
};

struct PutResult {
  int receipts = 0;
  int wanted = 0;
  bool under_replicated = false;  // receipts < wanted
};

// A time key's answer to a nonce of ours.
struct TimeSample {
  std::string key;  // 32 bytes, one of those asked for
  // The node's clock plus half of the round trip: true, as the node sees it, at
  // `taken` (CLOCK_BOOTTIME, as Clock::MonotonicNow), to within half of it.
  absl::Time time;
  absl::Duration taken;
  absl::Duration round_trip;
};

struct NetworkStats {
  uint64_t connected_nodes = 0;    // OpenDHT's good nodes
  uint64_t known_nodes = 0;        // in the directory, without this one
  uint64_t admitted_nodes = 0;     // that proved themselves to this node
  uint64_t dropped_datagrams = 0;  // did not open under any network key (T47)
  uint64_t retired_datagrams = 0;  // opened under a retired key and ignored
  uint64_t filtered_packets = 0;   // opened, but not for this role or malformed
  uint64_t refused_records = 0;    // did not verify, or the hook refused them
  uint64_t packets_in = 0;         // datagrams received, good or bad
  uint64_t packets_out = 0;
  uint64_t bytes_in = 0;  // UDP payload
  uint64_t bytes_out = 0;
  uint64_t stored_values = 0;  // held for others
  uint64_t stored_bytes = 0;
};

using ListenToken = uint64_t;  // 0 is never given

// All methods are thread-safe and return at once. Callbacks run on the
// network's thread: never block in them; calling methods of the Network there
// is fine, except the Blocking ones and the destructor.
class Network {
 public:
  // kInvalidArgument "bad_network_options" says which; ErrnoError's when the
  // address can't be bound. The network is usable at once and connects by
  // itself, again and again as needed.
  static absl::StatusOr<std::unique_ptr<Network>> Open(NetworkOptions options);
  // Ends the thread. Callbacks of unfinished puts get kCancelled
  // "network_closed", those of unfinished gets what was found; none runs
  // after the destructor.
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // "127.0.0.1:40123": the (first) bound address.
  std::string bound_address() const;

  // Puts a signed record and asks the directory's nodes for receipts, again
  // and again until there are enough or the deadline. kInvalidArgument
  // "bad_record" unless it parses; kUnavailable "no_receipt" when no node
  // confirmed in time; a node's own hook refused it: kResourceExhausted
  // "store_refused".
  using PutCallback = std::function<void(absl::StatusOr<PutResult>)>;
  void Put(std::string record, PutOptions options, PutCallback done);

  // All valid records that can be found at `place` (20 bytes), highest version
  // first, without duplicates. Waits for a connection, but no longer than
  // `timeout` in all. Never a way to enumerate a crowded place.
  using GetCallback = std::function<void(std::vector<VerifiedRecord>)>;
  void Get(std::string place, absl::Duration timeout, GetCallback done);

  // Records already at `place`, then new ones as they come, each digest once.
  using ListenCallback = std::function<void(const VerifiedRecord&)>;
  ListenToken Listen(std::string place, ListenCallback callback);
  // No callback of this token starts after Cancel was handled by the
  // network's thread (at once when called on it).
  void Cancel(ListenToken token);

  // Asks nodes of the directory for the time, at most eight at random, again
  // every half second, until every one of `keys` that may answer did or
  // `timeout` is over; at most one sample a key. Who agrees with whom is the
  // caller's to judge (signing/verify/time_quorum.h).
  using TimeCallback = std::function<void(std::vector<TimeSample>)>;
  void AskTime(std::vector<std::string> keys, absl::Duration timeout,
               TimeCallback done);

  void SetDirectory(records::v1::NodeDirectory directory);
  // Under `retired` keys a node takes GrantRequests and nothing else, and a
  // client takes nothing.
  void SetNetworkKeys(std::vector<pairing::v1::NetworkKey> keys,
                      std::vector<pairing::v1::NetworkKey> retired = {});
  // Clients with a ClientIdentity: both are replaced. `key` as there.
  void SetClientCredential(const crypto::SigningKey* key,
                           records::v1::Credential credential);
  // Of each address of `bootstrap` that has answered a question of this
  // client's own: the epoch under which it did so last.
  std::map<std::string, uint32_t> HeardEpochs() const;
  void SetPlaceKey(std::string place_key);
  // Records that listeners got but the old resolver refused are tried again.
  void SetResolver(WriterResolver resolver);

  NetworkStats Stats() const;

  // For tools and threads that may wait. Not on the network's thread.
  absl::StatusOr<std::vector<VerifiedRecord>> GetBlocking(
      std::string place, absl::Duration timeout);
  absl::StatusOr<PutResult> PutBlocking(std::string record,
                                        PutOptions options = {});
  // kDeadlineExceeded "not_connected".
  absl::Status WaitUntilConnected(absl::Duration timeout);

  // Nodes only. Holds a record that this process has on disk already, so that
  // others find it: verified like any other, but on_store is not asked. `done`
  // may be empty.
  void StoreLocal(std::string record, std::function<void(absl::Status)> done);
  // Nodes only. Puts a record that this node holds to the other nodes that
  // should have it and asks them for receipts; `done` says how many have it on
  // disk, this node not counted. For repair.
  void Announce(std::string record, absl::Duration deadline, PutCallback done);
  // Nodes only. The serialised records held in memory, each once.
  void ForEachLocal(std::function<void(const std::string& record)> each,
                    std::function<void()> done);

 private:
  class Core;
  explicit Network(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_NETWORK_H_
