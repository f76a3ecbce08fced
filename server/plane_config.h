// shoald.toml: docs/operations/management-plane.md lists every key.
#ifndef SHOAL_SERVER_PLANE_CONFIG_H_
#define SHOAL_SERVER_PLANE_CONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/fleet/enrolment.h"
#include "server/fleet/network_keys.h"
#include "server/release/deltas.h"

namespace shoal::server {

struct PlaneConfig {
  std::string fleet;
  std::string data_dir;
  std::string api_listen;
  std::string dht_listen;
  std::string http_listen;
  std::string swarm_listen;
  // "host" that others reach this machine by; empty: as bound.
  std::string advertise_host;
  std::string fetch_program;   // shoal-fetch; empty: beside shoald
  std::string metrics_listen;  // empty: no metrics
  std::string log_level;
  absl::Duration timestamp_lifetime;
  absl::Duration timestamp_renewal;
  EnrolmentOptions enrolment;
  NetworkKeyOptions network_keys;
  DeltaOptions deltas;
};

// kInvalidArgument "bad_config".
absl::StatusOr<PlaneConfig> LoadPlaneConfig(const std::string& path);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PLANE_CONFIG_H_
