// Who is a node: Hello → Challenge → Proof (T45; docs/records.md).
//
// A node that wants to be treated as one proves to its peer that it holds a
// node credential's key and that it receives at the address it sends from.
// The peer then admits that address for ten minutes. Challenges are stateless
// (a keyed hash of address and time), so strangers cost nothing but a reply.
#ifndef SHOAL_DHT_RECORDS_ADMISSION_H_
#define SHOAL_DHT_RECORDS_ADMISSION_H_

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/crypto/ed25519.h"
#include "dht/records/address.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {

inline constexpr absl::Duration kAdmissionLifetime = absl::Minutes(10);
inline constexpr absl::Duration kAdmissionRenewal = absl::Minutes(4);

// The OpenDHT id that belongs to a node's key: 20 bytes. Ids are derived, so
// that a node can neither choose its place in the network nor take another's.
std::string NodeDhtId(std::string_view node_public_key);

// One thread at a time.
class Admission {
 public:
  struct Options {
    std::string fleet_id;
    const crypto::SigningKey* key = nullptr;  // not owned
    records::v1::Credential credential;
    std::function<absl::Status(const records::v1::Credential&, absl::Time)>
        verify_node;
    Clock* clock = nullptr;  // wall clock for credentials
    std::function<absl::Duration()> monotonic;
    std::function<void(const Address&, const records::v1::Datagram&)> send;
    // A Proof went out to this address: it takes us for a node from now on.
    std::function<void(const Address&)> on_proven;
    std::function<void(const Address&)> on_admitted;
  };
  explicit Admission(Options options);

  // Addresses to which this node proves itself again and again.
  void SetPeers(std::vector<Address> peers);
  // Sends what is due. Call about once a second.
  void Tick();
  // Starts a Hello unless one is under way.
  void Greet(const Address& to);
  void OnHello(const Address& from, const records::v1::Hello& hello);
  void OnChallenge(const Address& from,
                   const records::v1::Challenge& challenge);
  void OnProof(const Address& from, const records::v1::Proof& proof);

  // The peer's OpenDHT id when its address is admitted now.
  std::optional<std::string> AdmittedId(const Address& address) const;
  bool IsAdmittedId(const std::string& dht_id) const;
  bool Proven(const Address& address) const;
  size_t admitted() const;

 private:
  struct Peer {
    std::string hello_nonce;
    absl::Duration last_hello = -absl::InfiniteDuration();
    absl::Duration last_proof = -absl::InfiniteDuration();
    bool standing = false;  // one of SetPeers
  };
  struct Admitted {
    std::string dht_id;
    absl::Duration until;
  };
  std::string ChallengeNonce(const Address& address, int64_t period) const;
  int64_t Period() const;
  void SendHello(const Address& to, Peer& peer);

  const Options options_;
  const std::string secret_;  // of this run, for challenges
  std::map<Address, Peer> peers_;
  std::map<Address, Admitted> admitted_;
  std::map<std::string, Address> by_id_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_ADMISSION_H_
