// A storage node as the plane sees it over gRPC: hands out records at a given
// rate by the nodes' own protocol, mTLS, cursors and flow control included.
// Three real nodes that take in 5,000 outcomes a second would need more than
// this machine's two cores, which are the plane's here.
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_FEED_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_FEED_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace shoal::bench {

// Several feeds may hand out the same one.
using SharedRecord = std::shared_ptr<const std::string>;

// Thread-safe.
class LoadFeed {
 public:
  // `directory`: after `shoal-node init`; serves its key at its address, to the
  // plane of this certificate alone.
  static absl::StatusOr<std::unique_ptr<LoadFeed>> Start(
      const std::string& directory, const std::string& plane_cert_pem);
  ~LoadFeed();

  // Hands out `records`, after what was offered before, `rate` a second from
  // now on; 0: at once.
  void Offer(const std::vector<SharedRecord>& records, uint32_t rate = 0);
  // How many the plane's connection has taken: it takes no more than shoald
  // reads, but for what the sockets hold.
  size_t handed() const;

 private:
  struct Impl;
  explicit LoadFeed(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_FEED_H_
