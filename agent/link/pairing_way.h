// The ways into a fleet (docs/pairing.md), as far as they differ: what the
// device says, where, and how the answer to it is opened. Pairing does the
// rest.
#ifndef SHOAL_AGENT_LINK_PAIRING_WAY_H_
#define SHOAL_AGENT_LINK_PAIRING_WAY_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/state/agent_config.h"
#include "agent/state/identity.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/records/record.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::agent {

struct PairingDevice {
  FileSystem* fs = nullptr;  // none is owned
  Clock* clock = nullptr;
  const AgentConfig* config = nullptr;
  const DeviceKeys* keys = nullptr;
  std::map<std::string, std::string> inventory;
};

// One thread.
class PairingWay {
 public:
  virtual ~PairingWay() = default;

  // Whom to believe and where to find them.
  virtual std::string fleet_id() const = 0;
  virtual std::string bootstrap_key() const = 0;
  virtual std::vector<std::string> endpoints() const = 0;
  virtual std::string place() const = 0;

  // Makes what the device says, or makes it anew, by what lies at the place.
  // It is on disk before this returns. `answered`: the fleet has said what
  // became of it.
  virtual absl::Status Prepare(const std::vector<dht::VerifiedRecord>& at_place,
                               bool answered) = 0;
  // The record to put; empty: nothing to say yet.
  virtual std::string outgoing() const = 0;
  // What a grant must name: binds it to all that was said.
  virtual std::string transcript() const = 0;
  // A grant's outer layer: the bytes sealed to the device's box key.
  virtual absl::StatusOr<std::string> Unwrap(
      std::string_view payload) const = 0;
  // Paired: what was kept for it goes.
  virtual absl::Status Forget() = 0;
};

// "SHOAL1-…" as printed, blanks and dashes forgiven. "bad_ticket".
absl::StatusOr<pairing::v1::ClaimTicket> ParseTicket(std::string_view text);
// What an earlier run answered is taken up again. "ticket_expired".
absl::StatusOr<std::unique_ptr<PairingWay>> OpenTicketWay(
    PairingDevice device, pairing::v1::ClaimTicket ticket);

// "SHOALB1-…". "bad_bootstrap_file".
absl::StatusOr<pairing::v1::BootstrapFile> ParseBootstrapFile(
    std::string_view text);
// "SHOALF1-…": a factory credential. "bad_credential".
absl::StatusOr<records::v1::Credential> ParseFactoryCredential(
    std::string_view text);
// With a factory credential the device names its manufacturer; without one it
// asks through the file's door. The request of an earlier run is taken up
// again. "no_door", "wrong_device_type", "wrong_key" (the factory credential is
// for another key), "bootstrap_expired".
absl::StatusOr<std::unique_ptr<PairingWay>> OpenRequestWay(
    PairingDevice device, pairing::v1::BootstrapFile file,
    const records::v1::Credential* factory);

// Maps have no order of their own: both sides sign the deterministic form.
std::string DeterministicBytes(const google::protobuf::MessageLite& message);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_PAIRING_WAY_H_
