#include "agent/link/member_keys.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "common/crypto/box.h"
#include "dht/records/key_ring.h"

namespace shoal::agent {

std::vector<pairing::v1::NetworkKey> MergeNetworkKeys(
    const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey>& held,
    const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey>& offered,
    uint32_t heard, bool new_director) {
  std::map<uint32_t, std::string> keys;
  for (const auto& key : held)
    if (!new_director || key.epoch() == heard) keys[key.epoch()] = key.key();
  const bool keep = keys.contains(heard);
  std::set<uint32_t> fresh;
  for (const auto& key : offered) {
    if (key.epoch() == dht::kBootstrapEpoch ||
        key.key().size() != crypto::kAeadKeySize ||
        (keep && key.epoch() == heard))
      continue;
    keys[key.epoch()] = key.key();
    fresh.insert(key.epoch());
  }
  while (keys.size() > kMaxMemberKeys) {
    const auto goes = [&](const auto& entry) {
      return !keep || entry.first != heard;
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

}  // namespace shoal::agent
