// Installs from a repository directory (USB stick, export of the plane):
// metadata/, targets/ and, for deltas, blobs/. The same trust as online: what
// an fw- role of this fleet signed for this device type, not below the floor.
#ifndef SHOAL_AGENT_ENGINE_OFFLINE_INSTALL_H_
#define SHOAL_AGENT_ENGINE_OFFLINE_INSTALL_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/engine/engine.h"
#include "agent/state/agent_config.h"
#include "signing/verify/updater.h"

namespace shoal::agent {

// The rollout id under which offline installations are remembered.
inline constexpr char kOfflineRollout[] = "offline";

struct OfflineRequest {
  std::string directory;
  std::string version;   // empty: the highest counter
  std::string fleet_id;  // 32 bytes
};

struct OfflineResult {
  // The image runs already, and what comes with it: nothing was begun.
  bool up_to_date = false;
  ImageInfo image;
  bool with_delta = false;
};

// Verifies everything and hands the update to the engine (Begin); the caller
// runs the engine. `updater`: the one that is open on the device's metadata, of
// the fleet of `request`; null: none is, and one is opened. Two at once would
// undo each other's work. Every refusal is persisted (last_refusal) and logged
// as update_refused or metadata_refused. Reasons: the Updater's, FindImage's,
// CheckImage's, "no_fleet_id", "no_source", "busy".
absl::StatusOr<OfflineResult> BeginOfflineInstall(
    const AgentConfig& config, const OfflineRequest& request, FileSystem& fs,
    Clock& clock, DeviceState& state, SlotHandler& slots,
    Components& components, Engine& engine,
    signing::Updater* updater = nullptr);

// Persists and logs a refusal: event=WHAT_refused reason=… message=….
void NoteRefusal(DeviceState& state, Clock& clock, std::string_view what,
                 const absl::Status& status);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_OFFLINE_INSTALL_H_
