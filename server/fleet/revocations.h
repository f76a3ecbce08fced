// Tells the whole fleet which devices were decommissioned, and which keys were
// replaced by the devices that had them: one signed document per device type
// (proto/shoal/trust/v1/revocations.proto), by which storage nodes and devices
// refuse what such a device, or such a key, writes.
#ifndef SHOAL_SERVER_FLEET_REVOCATIONS_H_
#define SHOAL_SERVER_FLEET_REVOCATIONS_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "server/publish/publisher.h"
#include "server/store/store.h"
#include "server/trust/repository.h"

namespace shoal::server {

// Of the keys that one device gave up the newest so many are listed: whoever
// changes its key without end takes nobody else's place.
inline constexpr int kMaxListedPerDevice = 8;

// Thread-safe.
class Revocations {
 public:
  // All outlive it.
  Revocations(Store& store, TrustRepository& trust, Publisher& publisher)
      : store_(store), trust_(trust), publisher_(publisher) {}

  // Signs and publishes the list of each device type where it has changed.
  // True: something was signed. After an error, call it again.
  absl::StatusOr<bool> Publish();

 private:
  Store& store_;
  TrustRepository& trust_;
  Publisher& publisher_;
  std::mutex mutex_;
  std::map<std::string, std::string> published_;  // target path → bytes
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_REVOCATIONS_H_
