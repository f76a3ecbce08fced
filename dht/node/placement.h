// Which storage nodes should hold a record.
#ifndef SHOAL_DHT_NODE_PLACEMENT_H_
#define SHOAL_DHT_NODE_PLACEMENT_H_

#include <string>
#include <string_view>
#include <vector>

namespace shoal::dht::node {

// Whether `self` is among the `copies` nodes closest to `place`: the distance
// is the XOR of the place with BLAKE2b-160 of the node's id. Every node that
// knows the same nodes answers alike. With at most `copies` nodes: always.
// `nodes` are ids, `self` among them.
bool ShouldHold(std::string_view place, std::string_view self,
                const std::vector<std::string>& nodes, int copies);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_PLACEMENT_H_
