// How fast strangers may write: pairing records come from keys that nobody has
// let in yet (T50). Beside the quotas of the record store, which bound what
// lies here at a time, this bounds what comes in an hour.
#ifndef SHOAL_DHT_NODE_PAIRING_GUARD_H_
#define SHOAL_DHT_NODE_PAIRING_GUARD_H_

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "dht/records/record.h"

namespace shoal::dht::node {

struct PairingLimits {
  // New answers at one ticket's place: so many at once, then one a minute.
  int answers_per_place = 4;
  // New requests without a ticket, from one address (IPv6: its /64) and from
  // all of them.
  int requests_per_address_per_hour = 120;
  int requests_per_hour = 600;
};

// Thread-safe; remembers at most 65,536 places and addresses.
class PairingGuard {
 public:
  PairingGuard(PairingLimits limits, Clock& clock)
      : limits_(limits), clock_(clock) {}

  // Whether a record that is new here may be kept; counts it then. `from`:
  // "host:port", or "" for this process. Records of other kinds are OK.
  // kResourceExhausted "pairing_rate".
  absl::Status May(const VerifiedRecord& record, std::string_view from);

 private:
  struct Bucket {
    double tokens = 0;
    absl::Duration at;
  };
  bool Take(const std::string& name, double size, absl::Duration refill);

  const PairingLimits limits_;
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_PAIRING_GUARD_H_
