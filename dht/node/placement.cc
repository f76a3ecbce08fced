#include "dht/node/placement.h"

#include "common/crypto/hash.h"
#include "dht/records/place.h"

namespace shoal::dht::node {
namespace {

std::string Distance(std::string_view place, std::string_view node) {
  std::string distance = crypto::Blake2b("", node, kPlaceSize);
  for (size_t i = 0; i < distance.size() && i < place.size(); ++i) {
    distance[i] = static_cast<char>(distance[i] ^ place[i]);
  }
  return distance;
}

}  // namespace

bool ShouldHold(std::string_view place, std::string_view self,
                const std::vector<std::string>& nodes, int copies) {
  if (nodes.size() <= static_cast<size_t>(copies)) return true;
  // std::string compares as unsigned bytes.
  const std::string own = Distance(place, self);
  int closer = 0;
  for (const std::string& node : nodes) {
    if (node != self && Distance(place, node) < own) ++closer;
  }
  return closer < copies;
}

}  // namespace shoal::dht::node
