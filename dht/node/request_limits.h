// How much a field of a request to a storage node may hold. What lies beyond is
// refused before any work (docs/api.md, "Limits").
#ifndef SHOAL_DHT_NODE_REQUEST_LIMITS_H_
#define SHOAL_DHT_NODE_REQUEST_LIMITS_H_

#include <cstddef>

#include "absl/status/status.h"
#include "shoal/node/v1/node_service.pb.h"

namespace shoal::dht::node {

// All requests together, as gRPC takes them in.
inline constexpr int kMaxRequestBytes = 64 << 10;
inline constexpr size_t kMaxKinds = 64;
// Room for kinds that this node does not know yet: it has none of them.
inline constexpr int kMaxKind = 1023;
inline constexpr size_t kMaxStoreIdBytes = 64;

// kInvalidArgument "field_too_large", "field_out_of_range", as shoald's.
absl::Status CheckRequest(const shoal::node::v1::PullRequest& request);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_REQUEST_LIMITS_H_
