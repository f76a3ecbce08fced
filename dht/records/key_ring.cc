#include "dht/records/key_ring.h"

#include <cstdlib>
#include <iterator>
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
  for (const auto& [epoch, key] : keys_) retired_.erase(epoch);
  return absl::OkStatus();
}

void KeyRing::SetRetired(const std::vector<pairing::v1::NetworkKey>& keys) {
  retired_.clear();
  for (const auto& key : keys) {
    if (key.key().size() != crypto::kAeadKeySize || keys_.contains(key.epoch()))
      continue;
    retired_.insert_or_assign(key.epoch(),
                              crypto::SecretBytes(std::string_view(key.key())));
    if (retired_.size() > kMaxRetiredKeys) retired_.erase(retired_.begin());
  }
}

const crypto::SecretBytes* KeyRing::Find(uint32_t epoch) const {
  if (const auto it = keys_.find(epoch); it != keys_.end()) return &it->second;
  const auto it = retired_.find(epoch);
  return it == retired_.end() ? nullptr : &it->second;
}

uint32_t KeyRing::Older(size_t steps) const {
  if (keys_.empty()) return kBootstrapEpoch;
  size_t count = keys_.size();
  if (count > 1 && keys_.contains(kBootstrapEpoch)) --count;
  auto it = keys_.rbegin();
  std::advance(it, steps % count);
  return it->first;
}

uint32_t KeyRing::newest() const {
  return keys_.empty() ? kBootstrapEpoch : keys_.rbegin()->first;
}

std::string KeyRing::Seal(uint32_t epoch, Channel channel,
                          std::string_view payload) const {
  const crypto::SecretBytes* key = Find(epoch);
  if (key == nullptr) {
    epoch = newest();
    key = Find(epoch);
  }
  if (key == nullptr) {
    LogError("broken_invariant", {{"what", "sealing without a network key"}});
    std::abort();
  }
  std::string datagram(1, static_cast<char>(kDatagramFormat));
  AppendBigEndian(datagram, epoch, 4);
  datagram += crypto::RandomBytes(crypto::kAeadNonceSize);
  std::string plain(1, static_cast<char>(channel));
  plain.append(payload);
  datagram +=
      crypto::AeadSeal(key->view(), datagram.substr(5), datagram, plain);
  return datagram;
}

std::optional<OpenedDatagram> KeyRing::Open(std::string_view datagram) const {
  if (datagram.size() < kDatagramOverhead ||
      static_cast<uint8_t>(datagram[0]) != kDatagramFormat)
    return std::nullopt;
  OpenedDatagram opened;
  opened.epoch = static_cast<uint32_t>(ReadBigEndian(datagram.substr(1), 4));
  const crypto::SecretBytes* key = Find(opened.epoch);
  if (key == nullptr) return std::nullopt;
  opened.retired = !keys_.contains(opened.epoch);
  const std::string_view header = datagram.substr(0, kDatagramHeader);
  auto plain = crypto::AeadOpen(key->view(), header.substr(5), header,
                                datagram.substr(kDatagramHeader));
  if (!plain.ok() || plain->empty()) return std::nullopt;
  const auto channel = static_cast<uint8_t>((*plain)[0]);
  if (channel > static_cast<uint8_t>(Channel::kShoal)) return std::nullopt;
  opened.channel = static_cast<Channel>(channel);
  opened.payload = plain->substr(1);
  return opened;
}

}  // namespace shoal::dht
