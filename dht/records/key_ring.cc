#include "dht/records/key_ring.h"

#include <cstdlib>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {

absl::Status KeyRing::SetKeys(
    const std::vector<pairing::v1::NetworkKey>& keys) {
  if (keys.empty() || keys.size() > kMaxNetworkKeys)
    return InvalidArgument("bad_network_keys", "want 1 to 16 network keys");
  std::map<uint32_t, crypto::SecretBytes> fresh;
  for (const auto& key : keys) {
    if (key.key().size() != crypto::kAeadKeySize)
      return InvalidArgument("bad_network_keys",
                             "a network key has not 32 bytes");
    if (!fresh.try_emplace(key.epoch(), std::string_view(key.key())).second)
      return InvalidArgument("bad_network_keys",
                             "two network keys of one epoch");
  }
  keys_ = std::move(fresh);
  return absl::OkStatus();
}

uint32_t KeyRing::newest() const {
  return keys_.empty() ? kBootstrapEpoch : keys_.rbegin()->first;
}

std::string KeyRing::Seal(uint32_t epoch, Channel channel,
                          std::string_view payload) const {
  auto it = keys_.find(epoch);
  if (it == keys_.end()) it = keys_.find(newest());
  if (it == keys_.end()) {
    LogError("broken_invariant", {{"what", "sealing without a network key"}});
    std::abort();
  }
  std::string datagram(1, static_cast<char>(kDatagramFormat));
  AppendBigEndian(datagram, it->first, 4);
  datagram += crypto::RandomBytes(crypto::kAeadNonceSize);
  std::string plain(1, static_cast<char>(channel));
  plain.append(payload);
  datagram +=
      crypto::AeadSeal(it->second.view(), datagram.substr(5), datagram, plain);
  return datagram;
}

std::optional<OpenedDatagram> KeyRing::Open(std::string_view datagram) const {
  if (datagram.size() < kDatagramOverhead ||
      static_cast<uint8_t>(datagram[0]) != kDatagramFormat)
    return std::nullopt;
  OpenedDatagram opened;
  opened.epoch = static_cast<uint32_t>(ReadBigEndian(datagram.substr(1), 4));
  const auto it = keys_.find(opened.epoch);
  if (it == keys_.end()) return std::nullopt;
  const std::string_view header = datagram.substr(0, kDatagramHeader);
  auto plain = crypto::AeadOpen(it->second.view(), header.substr(5), header,
                                datagram.substr(kDatagramHeader));
  if (!plain.ok() || plain->empty()) return std::nullopt;
  const auto channel = static_cast<uint8_t>((*plain)[0]);
  if (channel > static_cast<uint8_t>(Channel::kShoal)) return std::nullopt;
  opened.channel = static_cast<Channel>(channel);
  opened.payload = plain->substr(1);
  return opened;
}

}  // namespace shoal::dht
