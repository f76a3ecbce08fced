// Components beside the image (a modem, a microcontroller behind the gateway,
// a container): each has a program of the device's own configuration that
// installs it. Nothing from the network names a program.
//
//   PROGRAM counter         prints the counter that the component runs, "0"
//                           for none; within 10 s
//   PROGRAM install FILE    brings it to FILE, whose bytes were verified
//   PROGRAM commit          what `install` brought holds; drop what was before
//   PROGRAM rollback        back to what ran before `install`
//
// One call of all programs at a time. Exit code 0 is success. Power may fail at
// any moment: each may be called again, and `rollback` without anything to undo
// does nothing. The environment has SHOAL_COMPONENT, SHOAL_COUNTER and
// SHOAL_VERSION of what is brought.
#ifndef SHOAL_AGENT_INSTALL_COMPONENTS_H_
#define SHOAL_AGENT_INSTALL_COMPONENTS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "agent/state/agent_config.h"
#include "agent/state/update_record.h"
#include "common/clock.h"
#include "rules/compatibility.h"

namespace shoal::agent {

enum class ComponentAction { kInstall, kCommit, kRollback };
std::string_view ComponentActionName(ComponentAction action);

// Thread-safe.
class Components {
 public:
  // Both outlive it.
  Components(const AgentConfig& config, Clock& clock)
      : config_(config), clock_(clock) {}

  // What the device consists of now: the owner's word, and what the programs
  // say. Each is asked once and again after it did something. One that fails
  // is logged, asked again after a minute, and counts as a component that is
  // not there and that the agent can't install. Blocks while it asks, never for
  // Run: as long as that is at work, what was known before counts.
  rules::DeviceParts Parts();

  // Blocks as long as the program runs. `file` is for kInstall.
  // "component_failed" with what the program said last; "unknown_component"
  // without a program for it.
  absl::Status Run(const ComponentUpdate& update, ComponentAction action,
                   const std::string& file);

 private:
  struct Answer {
    std::optional<uint64_t> counter;  // none: it failed
    absl::Duration asked;             // monotonic
    bool over = false;                // the program did something since
  };
  // nullptr: never heard of.
  const Answer* Ask(const std::string& name, const ComponentProgram& program);

  const AgentConfig& config_;
  Clock& clock_;
  std::mutex at_work_;  // a program runs
  std::mutex mutex_;
  std::map<std::string, Answer> answers_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_INSTALL_COMPONENTS_H_
