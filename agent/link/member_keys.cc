#include "agent/link/member_keys.h"

#include <algorithm>
#include <map>
#include <random>

#include "common/crypto/box.h"
#include "dht/records/key_ring.h"

namespace shoal::agent {
namespace {

bool Usable(const pairing::v1::NetworkKey& key) {
  return key.epoch() != dht::kBootstrapEpoch &&
         key.key().size() == crypto::kAeadKeySize;
}

bool Same(const pairing::v1::NetworkKey& a, const pairing::v1::NetworkKey& b) {
  return a.epoch() == b.epoch() && a.key() == b.key();
}

}  // namespace

std::vector<pairing::v1::NetworkKey> MergeNetworkKeys(
    const NetworkKeyList& held, const NetworkKeyList& offered,
    const std::set<uint32_t>& heard, bool new_director) {
  std::map<uint32_t, std::string> keys;
  std::set<uint32_t> stay;
  for (const auto& key : held) {
    const bool stays = heard.contains(key.epoch());
    if (stays) stay.insert(key.epoch());
    if (stays || !new_director) keys[key.epoch()] = key.key();
  }
  std::set<uint32_t> fresh;
  for (const auto& key : offered) {
    if (!Usable(key) || stay.contains(key.epoch())) continue;
    keys[key.epoch()] = key.key();
    fresh.insert(key.epoch());
  }
  while (keys.size() > std::max(kMaxMemberKeys, stay.size())) {
    const auto goes = [&](const auto& entry) {
      return !stay.contains(entry.first);
    };
    auto lowest =
        std::find_if(keys.begin(), keys.end(), [&](const auto& entry) {
          return goes(entry) && !fresh.contains(entry.first);
        });
    if (lowest == keys.end())
      lowest = std::find_if(keys.begin(), keys.end(), goes);
    keys.erase(lowest);
  }
  std::vector<pairing::v1::NetworkKey> merged;
  for (const auto& [epoch, key] : keys) {
    merged.emplace_back().set_epoch(epoch);
    merged.back().set_key(key);
  }
  return merged;
}

bool TrialKeys::Take(const std::string& node, const NetworkKeyList& offered) {
  Offer offer{node, {}};
  for (const auto& key : offered)
    if (Usable(key)) offer.keys.push_back(key);
  std::sort(offer.keys.begin(), offer.keys.end(),
            [](const auto& a, const auto& b) { return a.epoch() > b.epoch(); });
  if (offer.keys.size() > kOfOneNode) offer.keys.resize(kOfOneNode);
  const auto before =
      std::find_if(offers_.begin(), offers_.end(),
                   [&](const Offer& one) { return one.node == node; });
  bool same = offer.keys.empty();
  if (before != offers_.end()) {
    same = std::equal(before->keys.begin(), before->keys.end(),
                      offer.keys.begin(), offer.keys.end(), Same);
    offers_.erase(before);
  }
  if (!offer.keys.empty()) offers_.push_back(std::move(offer));
  if (offers_.size() > kMaxNodes) offers_.pop_front();
  return !same || Disputed();
}

bool TrialKeys::Disputed() const {
  std::map<uint32_t, std::string> keys;
  for (const Offer& offer : offers_)
    for (const auto& key : offer.keys)
      if (keys.try_emplace(key.epoch(), key.key()).first->second != key.key())
        return true;
  return false;
}

std::vector<pairing::v1::NetworkKey> TrialKeys::With(
    const NetworkKeyList& held) const {
  std::vector<pairing::v1::NetworkKey> all(held.begin(), held.end());
  std::vector<pairing::v1::NetworkKey> tried;
  for (const Offer& offer : offers_)
    tried.insert(tried.end(), offer.keys.begin(), offer.keys.end());
  std::shuffle(tried.begin(), tried.end(),
               std::minstd_rand(std::random_device()()));
  for (const auto& key : tried) {
    const bool there = std::any_of(
        all.begin(), all.end(),
        [&](const auto& one) { return one.epoch() == key.epoch(); });
    if (!there && all.size() < dht::kMaxNetworkKeys) all.push_back(key);
  }
  return all;
}

}  // namespace shoal::agent
