// One simulated device: the agent's own code over a directory that stands for
// its flash; power, boot loader, link and health are the simulator's.
#ifndef SHOAL_SIM_DEVICE_H_
#define SHOAL_SIM_DEVICE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/link/agent.h"
#include "agent/link/pairing.h"
#include "sim/artifacts.h"
#include "sim/options.h"
#include "sim/sockets.h"
#include "sim/stall.h"
#include "sim/truth.h"

namespace shoal::sim {

// What all devices share. None is owned.
struct World {
  const SimOptions* options = nullptr;
  std::string flash;      // the devices' directories are below it
  std::string bootstrap;  // path of the bootstrap file
  std::string old_image;  // what is in slot a at first
  Sockets* sockets = nullptr;
  Artifacts* artifacts = nullptr;
  agent::LazyFetch* fetch = nullptr;
  std::function<void(size_t device)> wake;  // numbers beyond the last: nobody
  std::atomic<size_t> may_pair{0};          // devices below this number
  std::atomic<int> switched_off_and_on{0};  // while they paired
  std::atomic<bool> rollout{false};  // was created: who is to be away, goes
  // What the signed versions of the rollout say, from whoever verified them.
  std::mutex facts_mutex;
  RolloutFacts facts;
  void Offer(const rollout::v1::RolloutDocument& document);
};

enum class DeviceState {
  kUnpaired,
  kIdle,
  kDownloading,
  kInstalling,  // and waiting to restart
  kRestarting,
  kReporting,  // checking and reporting
  kOff,        // away
};
inline constexpr int kDeviceStates = 7;
std::string_view DeviceStateName(DeviceState state);

class SimDevice {
 public:
  SimDevice(size_t index, World* world);
  ~SimDevice();

  // Directory, keys, first image. Once, before Work().
  absl::Status Manufacture();
  const std::string& public_key() const {  // after Manufacture()
    return public_key_;
  }

  // Does what there is to do; until when it may be left alone. One thread at a
  // time.
  absl::Duration Work();

  // From any thread.
  DeviceState state() const { return state_; }
  bool updated() const { return updated_; }  // reported a success
  bool failed() const { return failed_; }    // its newest report is a failure
  bool paired() const { return state_ != DeviceState::kUnpaired; }
  Truth truth() const;
  std::string last_trouble() const;  // "reason: message"
  Knowledge knowledge() const;       // after its last work
  // SHA-256 of the bytes in the slot that boots next; the flash itself is read.
  absl::StatusOr<std::string> CommittedDigest() const;

 private:
  enum class Fate { kGood, kSick, kNoBoot };
  absl::Duration Pair();
  absl::Status Boot();
  absl::Duration Drive();
  void PowerOff(absl::Duration time, DeviceState shown);
  void Note();
  void NoteKnowledge();
  agent::AgentParts Parts(const agent::SharedLink& link);
  absl::StatusOr<agent::FetchStats> Fetch(const agent::ArtifactSource& source,
                                          const std::string& path);
  absl::Duration Later(absl::Duration mean);
  void Trouble(const absl::Status& status);

  const size_t index_;
  World* const world_;
  const Fate fate_;
  const double bytes_per_second_;
  agent::AgentConfig config_;
  std::string public_key_;
  // Only while it pairs: each secret costs some mappings of guarded memory, and
  // a process may have 65,530 (vm.max_map_count).
  std::optional<agent::DeviceKeys> keys_;
  std::unique_ptr<agent::Pairing> pairing_;
  std::unique_ptr<agent::Agent> agent_;
  absl::Duration pairing_began_;
  absl::Duration off_until_;
  bool was_away_ = false;
  std::string downloading_;  // digest
  absl::Duration download_end_;
  uint32_t work_ = 0;

  std::atomic<DeviceState> state_{DeviceState::kUnpaired};
  std::atomic<bool> updated_{false};
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  Truth truth_;
  std::string trouble_;
  Knowledge knowledge_;
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_DEVICE_H_
