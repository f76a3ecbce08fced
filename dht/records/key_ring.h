// Seals and opens the network's datagrams (T47; docs/records.md):
//
//   0x01 ‖ epoch (4 bytes, big endian) ‖ nonce (24 random bytes)
//        ‖ XChaCha20-Poly1305(channel byte ‖ payload), header as its data
#ifndef SHOAL_DHT_RECORDS_KEY_RING_H_
#define SHOAL_DHT_RECORDS_KEY_RING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/crypto/secret.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::dht {

inline constexpr uint8_t kDatagramFormat = 1;
inline constexpr size_t kDatagramHeader = 1 + 4 + 24;
inline constexpr size_t kDatagramOverhead = kDatagramHeader + 1 + 16;
inline constexpr size_t kMaxNetworkKeys = 16;
inline constexpr size_t kMaxRetiredKeys = 256;
inline constexpr uint32_t kBootstrapEpoch = 0;

// Associated data of NodeKeys.content, before the fleet id.
inline constexpr std::string_view kNodeKeysDomain = "shoal.node.keys.v1";

enum class Channel : uint8_t { kOpenDht = 0, kShoal = 1 };

struct OpenedDatagram {
  uint32_t epoch = 0;
  bool retired = false;  // its key is not in force any more
  Channel channel = Channel::kOpenDht;
  std::string payload;
};

// Move only. Const use is thread-safe.
class KeyRing {
 public:
  // kInvalidArgument "bad_network_keys": none, more than kMaxNetworkKeys, one
  // epoch twice, or a key that has not 32 bytes. Leaves the ring unchanged
  // then.
  absl::Status SetKeys(const std::vector<pairing::v1::NetworkKey>& keys);

  // Keys that open datagrams and seal nothing but answers under them. Those of
  // an epoch in force are left out; at most kMaxRetiredKeys, the highest
  // epochs; keys of a wrong length are left out.
  void SetRetired(const std::vector<pairing::v1::NetworkKey>& keys);

  // The highest epoch. At least one key must have been set.
  uint32_t newest() const;
  // The epoch in force that is `steps` below the newest, cyclically, the
  // bootstrap epoch left out unless there is no other.
  uint32_t Older(size_t steps) const;
  bool Has(uint32_t epoch) const { return keys_.contains(epoch); }

  // Seals under `epoch`, retired or not, or under newest() when there is no
  // such key.
  std::string Seal(uint32_t epoch, Channel channel,
                   std::string_view payload) const;
  // nullopt: another format, too short, no such epoch, not authentic, or an
  // unknown channel. Nothing of the payload is looked at before its tag fits.
  std::optional<OpenedDatagram> Open(std::string_view datagram) const;

 private:
  const crypto::SecretBytes* Find(uint32_t epoch) const;
  std::map<uint32_t, crypto::SecretBytes> keys_;
  std::map<uint32_t, crypto::SecretBytes> retired_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_KEY_RING_H_
