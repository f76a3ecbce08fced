#include "dht/node/request_limits.h"

#include <fmt/format.h>

#include "common/status.h"

namespace shoal::dht::node {

absl::Status CheckRequest(const shoal::node::v1::PullRequest& request) {
  if (static_cast<size_t>(request.kinds_size()) > kMaxKinds)
    return InvalidArgument(
        "field_too_large",
        fmt::format("kinds holds more than {} entries", kMaxKinds));
  for (const int kind : request.kinds()) {
    if (kind < 0 || kind > kMaxKind)
      return InvalidArgument(
          "field_out_of_range",
          fmt::format("kinds holds {}: it is 0 to {}", kind, kMaxKind));
  }
  if (request.store_id().size() > kMaxStoreIdBytes)
    return InvalidArgument(
        "field_too_large",
        fmt::format("store_id holds more than {} bytes", kMaxStoreIdBytes));
  return absl::OkStatus();
}

}  // namespace shoal::dht::node
