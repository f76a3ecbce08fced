// Tells the whole fleet which devices were decommissioned: one signed document
// per device type (proto/shoal/trust/v1/revocations.proto), by which storage
// nodes and devices refuse what such a device writes.
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

// Thread-safe.
class Revocations {
 public:
  // All outlive it.
  Revocations(Store& store, TrustRepository& trust, Publisher& publisher)
      : store_(store), trust_(trust), publisher_(publisher) {}

  // Signs and publishes the list of each device type where it has grown. True:
  // something was signed. After an error, call it again.
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
