#include "server/plane_config.h"

#include <filesystem>
#include <system_error>

#include "common/config.h"
#include "common/status.h"

namespace shoal::server {

absl::StatusOr<PlaneConfig> LoadPlaneConfig(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(Config file, Config::Load(path));
  PlaneConfig config;
  config.fleet = file.RequiredString("fleet");
  // Absolute: child processes and links are given paths below it.
  std::error_code error;
  config.data_dir = std::filesystem::absolute(file.Path("data.dir", "."), error)
                        .lexically_normal();
  if (error) return ErrnoError(error.value(), "data.dir");
  config.api_listen = file.String("api.listen", "127.0.0.1:0");
  config.dht_listen = file.String("dht.listen", "127.0.0.1:0");
  config.http_listen = file.String("http.listen", "127.0.0.1:0");
  config.swarm_listen = file.String("swarm.listen", "127.0.0.1:0");
  config.advertise_host = file.String("network.advertise_host");
  config.fetch_program = file.Path("swarm.program");
  config.metrics_listen = file.String("metrics.listen");
  config.log_level = file.String("log.level", "info");
  config.timestamp_lifetime =
      file.Duration("trust.timestamp_lifetime", absl::Hours(24 * 7));
  config.timestamp_renewal =
      file.Duration("trust.timestamp_renewal", absl::Hours(1));
  config.network_keys.overlap =
      file.Duration("network.key_overlap", config.network_keys.overlap);
  config.deltas.threads =
      static_cast<int>(file.Integer("deltas.threads", 1, 1, 16));
  config.deltas.grace = file.Duration("deltas.grace", config.deltas.grace);
  EnrolmentOptions& enrolment = config.enrolment;
  enrolment.max_pending = static_cast<size_t>(
      file.Integer("pairing.max_pending", 1000, 1, 100'000));
  enrolment.pending_lifetime =
      file.Duration("pairing.pending_lifetime", enrolment.pending_lifetime);
  enrolment.credential_lifetime = file.Duration("pairing.credential_lifetime",
                                                enrolment.credential_lifetime);
  const std::string factory = file.String("pairing.factory", "pending");
  enrolment.accept_factory = factory == "accept";
  SHOAL_RETURN_IF_ERROR(file.Finish());
  if (factory != "accept" && factory != "pending") {
    return InvalidArgument("bad_config",
                           "pairing.factory is \"pending\" or \"accept\"");
  }
  if (config.network_keys.overlap < absl::Seconds(1) ||
      config.network_keys.overlap > absl::Hours(24 * 365)) {
    return InvalidArgument("bad_config",
                           "network.key_overlap is one second to a year");
  }
  if (config.deltas.grace < absl::ZeroDuration() ||
      config.deltas.grace > absl::Hours(24 * 365)) {
    return InvalidArgument("bad_config", "deltas.grace is 0 to a year");
  }
  if (enrolment.credential_lifetime < absl::Hours(1) ||
      enrolment.credential_lifetime > absl::Hours(24 * 365 * 10)) {
    return InvalidArgument(
        "bad_config", "pairing.credential_lifetime is one hour to ten years");
  }
  if (enrolment.pending_lifetime < absl::Minutes(1)) {
    return InvalidArgument("bad_config",
                           "pairing.pending_lifetime is at least one minute");
  }
  if (config.timestamp_lifetime < absl::Seconds(10) ||
      config.timestamp_lifetime > absl::Hours(24 * 90) ||
      config.timestamp_renewal < absl::Seconds(1) ||
      config.timestamp_renewal > config.timestamp_lifetime / 2) {
    return InvalidArgument(
        "bad_config",
        "trust.timestamp_lifetime is ten seconds to 90 days, and "
        "timestamp_renewal at most half of it");
  }
  return config;
}

}  // namespace shoal::server
