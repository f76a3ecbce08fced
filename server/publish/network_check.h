// What a plane asks before it publishes anything: is what the storage nodes
// hold the past of this store? A plane over an older backup, or over a copy of
// a store that went on elsewhere, would sign a second history, and the fleet
// would never take anything of either again (docs/operations/log-fork.md).
#ifndef SHOAL_SERVER_PUBLISH_NETWORK_CHECK_H_
#define SHOAL_SERVER_PUBLISH_NETWORK_CHECK_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "server/trust/repository.h"

namespace shoal::server {

// Network::Get, and how many storage nodes are connected. Injected, so that
// tests need no network.
struct NetworkReader {
  std::function<void(std::string place, absl::Duration timeout,
                     dht::Network::GetCallback done)>
      get;
  std::function<uint64_t()> connected;
};

// One thread.
class NetworkCheck {
 public:
  // References outlive it.
  NetworkCheck(NetworkReader reader, const dht::PlaceNamer& places,
               TrustRepository& trust)
      : reader_(std::move(reader)), places_(places), trust_(trust) {}

  enum class Answer {
    // No storage node answered, or nothing was found yet: ask again. A fleet
    // whose nodes hold nothing is a new one, or was off until all had expired;
    // that is believed after three looks, since one may end early.
    kNobody,
    kPast,    // what they hold is of this store's past
    kNewer,   // the same, but Renew() must sign a newer timestamp
  };
  // Blocks `timeout` at most. kFailedPrecondition "behind_network".
  absl::StatusOr<Answer> Look(absl::Duration timeout);

 private:
  NetworkReader reader_;
  const dht::PlaceNamer& places_;
  TrustRepository& trust_;
  int empty_looks_ = 0;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_NETWORK_CHECK_H_
