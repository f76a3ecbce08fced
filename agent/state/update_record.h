// The update in hand, as the journal keeps it.
#ifndef SHOAL_AGENT_STATE_UPDATE_RECORD_H_
#define SHOAL_AGENT_STATE_UPDATE_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/state/image_info.h"

namespace shoal::agent {

// engine/transitions.h says which leads where.
enum class UpdateState {
  kIdle,
  kFetching,     // bytes of the delta or the image come in
  kInstalling,   // they go into the inactive slot
  kVerifying,    // the slot is read back and compared with the signed digest
  kReady,        // whole and verified; waits until it may restart
  kRebooting,    // the slot is marked bootable, the device restarts
  kComponents,   // the new image runs; what comes with it is installed
  kChecking,     // the health check of all that is new
  kCommitting,   // healthy: it becomes the image to boot
  kRollingBack,  // sick: the old image is to boot again
  kFailed,       // given up before the switch
  kReporting,    // the outcome goes into the spool
};
std::string_view UpdateStateName(UpdateState state);
std::optional<UpdateState> UpdateStateFromName(std::string_view name);

// Bytes by which an image comes: itself, or a delta to it.
struct ArtifactSource {
  std::string sha256;  // 32 bytes
  uint64_t length = 0;
  std::string file_root;  // BEP 52; may be empty offline
  uint64_t piece_length = 0;
  // Where the bytes lie already (offline); empty: by the network.
  std::string local_path;
  // The rollout's bound of the download; 0: none but the device's own.
  uint64_t max_bytes_per_second = 0;
};

struct DeltaSource {
  ArtifactSource artifact;
  std::string from_sha256;
  uint64_t from_length = 0;
  uint64_t memory = 0;
};

// A component beside the image that the release brings: all or none.
struct ComponentUpdate {
  std::string name;
  uint64_t counter = 0;
  std::string version;  // of the release
  ArtifactSource source;
  // Its program may have been started to install it: it must be told whether
  // the update held or not. Durable before the start.
  bool begun = false;
};

// kRefused: what never began, or was withdrawn before the new image ran.
enum class UpdateResult { kNone, kSuccess, kRolledBack, kFailed, kRefused };
// "none", "success", "rolled_back", "failed", "refused"
std::string_view UpdateResultName(UpdateResult result);

struct UpdateRecord {
  UpdateState state = UpdateState::kIdle;
  std::string rollout_id;  // "offline" for an installation from a directory
  uint64_t rollout_version = 0;
  uint32_t phase = 0;
  std::string outcome_shard;
  uint32_t attempt = 1;
  uint32_t max_attempts = 1;  // of the rollout
  ImageInfo image;            // where it leads
  ImageInfo from;             // what ran when it began
  std::string target_slot;    // "a" or "b", fixed when it began
  ArtifactSource full;
  std::optional<DeltaSource> delta;  // dropped when it can't be used
  std::vector<ComponentUpdate> components;
  // The image of the release runs already, so that only components change: no
  // slot is written, nothing restarts.
  bool image_runs = false;
  bool used_delta = false;
  // Why the delta was given up, for the report; empty: it was not.
  std::string delta_failure;
  std::string resume_state;  // of shoal-patch
  uint64_t boot_count = 0;   // when the restart was asked for
  uint64_t bytes_from_peers = 0;
  uint64_t bytes_from_origin = 0;
  UpdateResult result = UpdateResult::kNone;
  std::string reason;  // of a failure
  std::string message;
  std::string health_output;
  int64_t started_ms = 0;  // wall clock
  int64_t finished_ms = 0;
  uint64_t outcome_counter = 0;  // chosen before the outcome is signed
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_UPDATE_RECORD_H_
