// The device's side of pairing by claim ticket (docs/pairing.md,
// proto/shoal/pairing/v1/pairing.proto): find the offer, answer it, wait for
// the grant, verify the fleet, and only then keep anything.
#ifndef SHOAL_AGENT_LINK_PAIRING_H_
#define SHOAL_AGENT_LINK_PAIRING_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agent/link/lazy_fetch.h"
#include "agent/link/trust.h"
#include "agent/state/agent_config.h"
#include "agent/state/identity.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/records/network.h"
#include "dht/swarm/fetch_process.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::agent {

// "SHOAL1-…" as printed, blanks and dashes forgiven. "bad_ticket".
absl::StatusOr<pairing::v1::ClaimTicket> ParseTicket(std::string_view text);

struct PairingOptions {
  FileSystem* fs = nullptr;  // none is owned
  Clock* clock = nullptr;
  const AgentConfig* config = nullptr;
  const DeviceKeys* keys = nullptr;
  LazyFetch* fetch = nullptr;  // may be null: records only
  pairing::v1::ClaimTicket ticket;
  std::map<std::string, std::string> inventory;
};

// One attempt at pairing, step by step. One thread; not the network's.
class Pairing {
 public:
  // "ticket_expired", or the network's errors. What an earlier run answered is
  // taken up again.
  static absl::StatusOr<std::unique_ptr<Pairing>> Open(PairingOptions options);

  // Goes one step further, blocking a few seconds at most. nullopt: not paired
  // yet, call again. A membership: verified, saved. Errors that end it:
  // "ticket_expired", "wrong_device_type"; those worth another try:
  // "bad_offer", "bad_grant", "fleet_mismatch", the Updater's.
  absl::StatusOr<std::optional<Membership>> Step();

 private:
  explicit Pairing(PairingOptions options) : o_(std::move(options)) {}
  absl::Status Answer(const dht::VerifiedRecord& offer_record);
  absl::StatusOr<std::optional<Membership>> Accept(
      const dht::VerifiedRecord& record);
  absl::Status VerifyFleet(const dht::VerifiedRecord& record,
                           const pairing::v1::Grant& grant);
  std::string AnswerPath() const;

  PairingOptions o_;
  std::string place_;
  std::string answer_record_;  // durable before it is sent
  std::shared_ptr<TrustHolder> holder_ = std::make_shared<TrustHolder>();
  std::unique_ptr<dht::Network> network_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_PAIRING_H_
