// Which network keys a device keeps when a director offers some
// (docs/adr/0013): the director may be a thief.
#ifndef SHOAL_AGENT_LINK_MEMBER_KEYS_H_
#define SHOAL_AGENT_LINK_MEMBER_KEYS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::agent {

using NetworkKeyList =
    google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey>;

inline constexpr size_t kMaxMemberKeys = 12;

// `held` and `offered` together, by rising epoch, at most kMaxMemberKeys: of
// the held ones the lowest epochs go, then of the offered ones. Epochs that a
// thief drove up must not keep an honest key out. Held keys of the epochs
// `heard`, under which nodes of the pairing answered last, stay what they are,
// however many they are. With `new_director` (whoever gave the others is no
// director any more) the other held ones go. Offers of the bootstrap epoch or
// of a wrong length are left out. Pure.
std::vector<pairing::v1::NetworkKey> MergeNetworkKeys(
    const NetworkKeyList& held, const NetworkKeyList& offered,
    const std::set<uint32_t>& heard, bool new_director);

// Keys that storage nodes brought in the name of a director that this device
// does not know: of a new one, or made up. They take nothing away, not even
// each other's room: a node that lies has its own. In memory alone; those that
// lead to the fleet come again, from a director that the device knows by then.
class TrialKeys {
 public:
  static constexpr size_t kMaxNodes = 4;
  static constexpr size_t kOfOneNode = 2;  // the highest epochs

  // In the place of what `node` offered before. Whether there is anything else
  // to be tried now.
  bool Take(const std::string& node, const NetworkKeyList& offered);
  // `held` and as many of the others as a network takes. Of two for one epoch
  // one, by chance.
  std::vector<pairing::v1::NetworkKey> With(const NetworkKeyList& held) const;

 private:
  struct Offer {
    std::string node;
    std::vector<pairing::v1::NetworkKey> keys;
  };
  bool Disputed() const;
  std::deque<Offer> offers_;  // the oldest first
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_MEMBER_KEYS_H_
