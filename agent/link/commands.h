// Commands: an operator's sealed, signed request to run one of the programs
// that this device's own configuration names. The device decides by its signed
// policy; default deny (T53, T54).
#ifndef SHOAL_AGENT_LINK_COMMANDS_H_
#define SHOAL_AGENT_LINK_COMMANDS_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "agent/link/record_out.h"
#include "agent/link/trust.h"
#include "agent/state/agent_config.h"
#include "agent/state/device_state.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::agent {

// Opens and checks one command. Reasons: "bad_command" (does not open, another
// device's or operator's inside: not answered), "expired", "replayed",
// "permission_denied", "unknown_command", "bad_argument".
absl::StatusOr<records::v1::Command> OpenCommand(
    const dht::VerifiedRecord& record, const BoxKeys& box,
    std::string_view device_id);
absl::Status CheckCommand(const records::v1::Command& command,
                          const AgentConfig& config, const TrustView& trust,
                          const StateData& state, std::string_view device_id,
                          absl::Time now);
// The program's arguments with "{0}", "{1}" … replaced; each stays one
// argument, whatever is in it.
std::vector<std::string> CommandLine(const CommandDefinition& definition,
                                     const records::v1::Command& command);

// Runs them one after another on a thread of its own.
class CommandRunner {
 public:
  // None is owned; all outlive it.
  CommandRunner(const AgentConfig* config, const DeviceKeys* keys,
                DeviceState* state, const TrustHolder* trust,
                const dht::PlaceNamer* places, RecordOut* out);
  ~CommandRunner();  // waits for the command that runs

  // From any thread; never blocks. At most 64 wait, more are dropped.
  void Offer(dht::VerifiedRecord record);

 private:
  void Loop();
  void Handle(const dht::VerifiedRecord& record);
  void Execute(const records::v1::Command& command,
               records::v1::CommandResult& result);

  const AgentConfig* config_;
  const DeviceKeys* keys_;
  DeviceState* state_;
  const TrustHolder* trust_;
  const dht::PlaceNamer* places_;
  RecordOut* out_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<dht::VerifiedRecord> queue_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_COMMANDS_H_
