// A static HTTP/1.1 origin for a published tree (metadata/…, targets/…,
// blobs/<sha256>): what every storage node and the management plane serve
// beside the swarm. GET and HEAD only; a single byte range (RFC 9110 §14);
// ETag and If-None-Match, If-Range; never a listing, never a write.
//
// A path is served when every segment of it is a name (IsIdentifier, up to
// 255 characters; no percent-encoding is needed for such names and none is
// decoded, T34), at most 8 segments, and it leads to a regular file below the
// root without crossing a symbolic link. Everything else is 404.
//
// Not secret: the bytes are verified by whoever reads them. Plain HTTP, since
// integrity comes from the metadata; put a TLS proxy in front where needed.
#ifndef SHOAL_DHT_SWARM_ORIGIN_SERVER_H_
#define SHOAL_DHT_SWARM_ORIGIN_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::dht {

struct OriginOptions {
  std::string bind = "127.0.0.1:0";  // "ip:port"; port 0: chosen by the system
  std::string root_dir;              // must exist
  int max_connections = 256;         // further ones are closed at once
  int max_connections_per_ip = 32;   // 0: no cap of its own
  size_t max_url = 512;              // bytes; longer: 414
  absl::Duration idle_timeout = absl::Seconds(15);
};

struct OriginStats {
  uint64_t requests = 0;
  uint64_t refused = 0;  // answered with 4xx
};

// Thread-safe; one thread of its own. Files may be added, replaced by rename
// and removed while it runs.
class OriginServer {
 public:
  // kInvalidArgument "bad_address", kNotFound "io_not_found" (root),
  // kUnavailable "listen" when the address can't be bound.
  static absl::StatusOr<std::unique_ptr<OriginServer>> Open(
      OriginOptions options);
  static absl::StatusOr<std::unique_ptr<OriginServer>> Open(
      const std::string& bind, const std::string& root_dir) {
    OriginOptions options;
    options.bind = bind;
    options.root_dir = root_dir;
    return Open(std::move(options));
  }
  ~OriginServer();  // closes all connections
  OriginServer(const OriginServer&) = delete;
  OriginServer& operator=(const OriginServer&) = delete;

  std::string address() const;   // "ip:port" with the real port
  std::string base_url() const;  // "http://ip:port/"
  OriginStats Stats() const;

 private:
  struct Impl;
  explicit OriginServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_ORIGIN_SERVER_H_
