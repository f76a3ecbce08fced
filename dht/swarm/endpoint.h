// Addresses of swarm peers and origins, as provider records carry them.
#ifndef SHOAL_DHT_SWARM_ENDPOINT_H_
#define SHOAL_DHT_SWARM_ENDPOINT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::dht {

struct Endpoint {
  std::string ip;  // numeric; IPv6 without brackets
  uint16_t port = 0;
  bool v6 = false;
  std::string ToString() const;  // "1.2.3.4:5", "[::1]:5"
  bool operator==(const Endpoint&) const = default;
};

// "ip:port" or "[ip6]:port" with a numeric address: names are never resolved.
// kInvalidArgument "bad_address"; port 0 only where `allow_port_zero`.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text,
                                       bool allow_port_zero = false);

// An http:// or https:// URL of printable ASCII, at most 2,048 bytes, without
// user information or fragment. kInvalidArgument "bad_url".
absl::Status ValidateUrl(std::string_view url);

// Where an origin ("http://host:port/", as in a provider record; the slash
// may be missing) serves an artifact or document by its 32-byte SHA-256:
// "http://host:port/blobs/<hex>". "bad_url" or "bad_artifact".
absl::StatusOr<std::string> BlobUrl(std::string_view origin_url,
                                    std::string_view sha256);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_ENDPOINT_H_
