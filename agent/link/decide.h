// Is it this device's turn? Reads what the fleet link holds and begins the
// update when every rule agrees.
#ifndef SHOAL_AGENT_LINK_DECIDE_H_
#define SHOAL_AGENT_LINK_DECIDE_H_

#include <atomic>
#include <map>
#include <string>

#include "agent/engine/engine.h"
#include "agent/install/components.h"
#include "agent/link/fleet_link.h"
#include "common/once_each.h"

namespace shoal::agent {

class Decider {
 public:
  // None is owned; all outlive it. Control thread.
  Decider(const AgentConfig* config, FileSystem* fs, DeviceState* state,
          Engine* engine, FleetLink* link, Components* components,
          const rules::DeltaAbilities* deltas)
      : config_(config),
        fs_(fs),
        state_(state),
        engine_(engine),
        link_(link),
        components_(components),
        deltas_(deltas) {}

  // Returns true when an update began. `running` was hashed by the caller.
  // waiting_reason() says why not, "" when there is nothing to do.
  bool Decide(const RunningImage& running);
  const std::string& waiting_reason() const { return waiting_; }
  // From any thread: may the update in hand restart the device, as far as its
  // rollout goes? False until Decide() looked.
  bool may_activate() const { return may_activate_; }

 private:
  absl::Status Consider(const RolloutEntry& entry, const RunningImage& running,
                        bool* began);
  absl::StatusOr<rules::StartDecision> Turn(const RolloutEntry& entry,
                                            const StateData& state);
  rules::StartInput InputFor(const rollout::v1::RolloutDocument& document,
                             const StateData& state) const;
  // Fills enough_since of `samples`, remembering it over restarts.
  absl::Status NoteEnough(const rollout::v1::RolloutDocument& document,
                          absl::Time now,
                          std::vector<rules::OutcomeCount>& samples);
  // Notes every document. False: it could not be kept on disk, so nothing may
  // start.
  bool NoteAll();
  // Why a rollout is as good as halted: two documents of one version are known
  // of it, or an older one than before came. nullptr: it is not.
  const std::string* Spoiled(const RolloutEntry& entry) const;
  // The rollout whose turn it is on this device: the newest that selects it and
  // has not ended, or that it took; where there is none, the newest that ended.
  const RolloutEntry* Newest();
  // Order of the newest rollout that this device took: none below it counts.
  // One above all that are signed now does not bind: a thief of the director's
  // key may have signed it.
  uint64_t NewestTaken(const StateData& state);
  // An update in hand: may it restart, or is its rollout over?
  void Watch(const UpdateRecord& update, const StateData& state);
  absl::Status CheckPolicy(const rollout::v1::RolloutDocument& document,
                           int phase) const;
  void Refuse(const RolloutEntry& entry, const absl::Status& status);
  bool IsForeign(const RolloutEntry& entry);
  // Tells the operator, once for each rollout and reason, restarts included.
  absl::Status ReportRefusal(const rollout::v1::RolloutDocument& document,
                             const absl::Status& why);

  const AgentConfig* config_;
  FileSystem* fs_;
  DeviceState* state_;
  Engine* engine_;
  FleetLink* link_;
  Components* components_;
  const rules::DeltaAbilities* deltas_;
  const RunningImage* running_ = nullptr;  // while Decide() runs
  std::string waiting_;
  std::map<std::string, std::string> spoiled_;  // rollout → reason; NoteAll()
  OnceEach foreign_{256};                       // digests of documents
  OnceEach refused_{256};                       // rollout and reason
  std::atomic<bool> may_activate_{false};
  absl::Time last_sample_ = absl::InfinitePast();
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_DECIDE_H_
