// Which network keys a device keeps when a director offers some
// (docs/adr/0013): the director may be a thief.
#ifndef SHOAL_AGENT_LINK_MEMBER_KEYS_H_
#define SHOAL_AGENT_LINK_MEMBER_KEYS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::agent {

inline constexpr size_t kMaxMemberKeys = 12;

// `held` and `offered` together, by rising epoch, at most kMaxMemberKeys: of the
// held ones the lowest epochs go, then of the offered ones. Epochs that a thief
// drove up must not keep an honest key out. The key of epoch `heard`, under which a node of the pairing
// answered last, stays what it is. With `new_director` (whoever gave the others
// is no director any more) the other held ones go. Offers of the bootstrap
// epoch or of a wrong length are left out. Pure.
std::vector<pairing::v1::NetworkKey> MergeNetworkKeys(
    const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey>& held,
    const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey>& offered,
    uint32_t heard, bool new_director);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_MEMBER_KEYS_H_
