// The only user of libcurl: GET requests to origins, many at a time on one
// thread. No redirects, no proxies from the environment, no cookies, no
// decoding; http and https only.
#ifndef SHOAL_DHT_SWARM_FETCH_ORIGINS_H_
#define SHOAL_DHT_SWARM_FETCH_ORIGINS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::dht {

// Takes one answer. Must outlive its transfer; must not call OriginClient
// from inside these methods.
class OriginSink {
 public:
  virtual ~OriginSink() = default;
  // Once, before the first data of a 200 or 206 answer: the bytes that follow
  // stand at `offset` of the whole, whose length is `total` when known. An
  // error ends the transfer with it.
  virtual absl::Status Begin(uint64_t offset,
                             std::optional<uint64_t> total) = 0;
  // An error ends the transfer; kCancelled "enough" means that all is there.
  virtual absl::Status Data(std::string_view bytes) = 0;
};

class OriginClient {
 public:
  static absl::StatusOr<std::unique_ptr<OriginClient>> Open(
      const std::string& ca_file);
  ~OriginClient();

  // Bytes [begin, end) of `url`; without `range` all of it. `rate`: cap in
  // bytes a second, 0: none. Returns the transfer's number.
  absl::StatusOr<uint64_t> Start(
      const std::string& url,
      std::optional<std::pair<uint64_t, uint64_t>> range, int64_t rate,
      OriginSink* sink);
  void Stop(uint64_t transfer);  // the sink is not used afterwards
  void SetRate(int64_t rate);    // of all running transfers

  // Waits for the network, for input on one of `fds`, or the timeout, and
  // moves the transfers. Returns those that ended: OK when the answer came in
  // full or the sink had enough; else "origin_http" (kNotFound: it says that
  // there is none), "origin_network", or what the sink returned.
  struct Ended {
    uint64_t transfer = 0;
    absl::Status status;
  };
  std::vector<Ended> Wait(const std::vector<int>& fds, absl::Duration timeout);

 private:
  struct Transfer;
  struct Impl;
  explicit OriginClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_FETCH_ORIGINS_H_
