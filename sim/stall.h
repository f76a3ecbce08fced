// Why a rollout goes no further: what the devices whose turn it is know. Pure.
#ifndef SHOAL_SIM_STALL_H_
#define SHOAL_SIM_STALL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "sim/truth.h"

namespace shoal::sim {

// What a device knew when it last did something.
struct Knowledge {
  std::string device_id;  // empty: not in the fleet
  bool done = false;      // reported a result
  bool away = false;
  size_t socket = 0;              // the DHT client that it shares
  uint64_t metadata_version = 0;  // of its timestamp; 0: none
  uint64_t rollout_version = 0;   // of the rollout's document; 0: none
  absl::Duration looked_at;       // monotonic; for new metadata
  uint64_t looks = 0;             // how often, since it was made
  std::string metadata_trouble;   // reason of the last look; "": it went well
  std::string waiting;            // why it does not update, by its own account
};

// Devices in an open phase, as the newest document says that any of them has
// verified, which have reported nothing and are not away.
std::vector<Knowledge> WhoseTurnItIs(const std::vector<Knowledge>& devices,
                                     const RolloutFacts& facts);

// Lines for people. Devices that know and say the same are one line; `now` is
// monotonic.
std::vector<std::string> ExplainStall(const std::vector<Knowledge>& devices,
                                      const RolloutFacts& facts,
                                      absl::Duration now);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_STALL_H_
