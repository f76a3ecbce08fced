// What the tool knows of the fleet without asking shoald: metadata that it
// verified itself, from the context's root on, and who may write records by it.
#ifndef SHOAL_SERVER_CLI_FLEET_VIEW_H_
#define SHOAL_SERVER_CLI_FLEET_VIEW_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "dht/records/record.h"
#include "server/cli/context.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::cli {

// Verifies `network` as a device would and keeps what is proven in the
// context's trust directory. A network of another fleet than the context's is
// "wrong_fleet".
absl::StatusOr<signing::FleetTrust> VerifyNetwork(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock);

// What the context keeps of the fleet's metadata; neither Refresh nor UseStored
// was called yet.
absl::StatusOr<std::unique_ptr<signing::Updater>> OpenTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock);

// What a role signed by `network`, verified as a device would.
absl::StatusOr<std::vector<signing::TargetFile>> SignedTargets(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    const std::string& role, FileSystem& fs, Clock& clock);

// For reading records with shoald down: what the context holds, verified
// again; expired metadata is good enough to read, and said in `expired`.
struct StoredTrust {
  signing::FleetTrust trust;
  bool expired = false;
  // Device types whose list of devices that left and of keys that were replaced
  // could not be had as the metadata names it. What the context knew of it
  // before counts.
  std::vector<std::string> unread;
};
absl::StatusOr<StoredTrust> LoadTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    FileSystem& fs, Clock& clock);

// As LoadTrust, and what was published since, as far as the storage nodes have
// it: a revocation reaches the tool with shoald down. Blocks for a look-up, and
// some more when there is news.
absl::StatusOr<StoredTrust> LoadNewestTrust(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    dht::Network& nodes, const dht::PlaceNamer& places, FileSystem& fs,
    Clock& clock);

// How many entries of the release log the context has proven; 0: none.
uint64_t KnownLogSize(const Context& context, FileSystem& fs);

// Device type of a rollout by the director's metadata of the context;
// kNotFound "unknown_rollout".
absl::StatusOr<std::string> RolloutDeviceType(
    const Context& context, const fleet::v1::GetNetworkResponse& network,
    std::string_view rollout_id, FileSystem& fs, Clock& clock);

// Who may write records, by `trust` (and the policy in it). Thread-safe.
absl::StatusOr<dht::WriterResolver> MakeResolver(signing::FleetTrust trust);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_FLEET_VIEW_H_
