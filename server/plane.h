// The management plane put together: storage, trust, network, workers, API.
// Nothing in it knows more than its neighbours need.
#ifndef SHOAL_SERVER_PLANE_H_
#define SHOAL_SERVER_PLANE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/files.h"
#include "server/plane_config.h"

namespace shoal::server {

// Takes the first offline-signed repository (REPO/metadata/*.json and
// REPO/targets/…), verifies it as a client would and signs the online roles.
// Again with a newer repository: the newer versions come in. Not while shoald
// runs ("kv_busy").
absl::Status ImportRepository(const PlaneConfig& config,
                              const std::string& repository, FileSystem& fs,
                              Clock& clock);

class Plane {
 public:
  // Everything runs on return; the addresses are in DIR/address and the log.
  static absl::StatusOr<std::unique_ptr<Plane>> Start(const PlaneConfig& config,
                                                      FileSystem& fs,
                                                      Clock& clock);
  // Why it can't go on; OK while it can. With a failure it has sent SIGTERM to
  // its process, for whoever waits for that. Thread-safe. Reasons:
  // "behind_network" (publish/network_check.h).
  absl::Status Failure() const;
  // Ends in order: no new calls, workers, network, store.
  ~Plane();

 private:
  struct Impl;
  explicit Plane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PLANE_H_
