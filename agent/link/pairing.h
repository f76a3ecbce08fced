// The device's side of pairing (docs/pairing.md, proto/shoal/pairing/v1/
// pairing.proto): says what its way in has to say, waits for the grant,
// verifies the fleet, and only then keeps anything.
#ifndef SHOAL_AGENT_LINK_PAIRING_H_
#define SHOAL_AGENT_LINK_PAIRING_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agent/link/lazy_fetch.h"
#include "agent/link/pairing_way.h"
#include "agent/link/trust.h"
#include "dht/records/network.h"
#include "dht/swarm/fetch_process.h"

namespace shoal::agent {

// One attempt at pairing, step by step. One thread; not the network's.
class Pairing {
 public:
  // The network's errors. `fetch` may be null: records only.
  static absl::StatusOr<std::unique_ptr<Pairing>> Open(
      PairingDevice device, std::unique_ptr<PairingWay> way, LazyFetch* fetch);
  // By what the configuration says: a ticket, else a bootstrap file with or
  // without a factory credential. Errors as those of pairing_way.h.
  static absl::StatusOr<std::unique_ptr<Pairing>> OpenConfigured(
      PairingDevice device, LazyFetch* fetch);

  // Goes one step further, blocking a few seconds at most; between two steps
  // it does nothing for a while, longer the longer nothing happens. nullopt:
  // not paired yet, call again. A membership: verified, saved. Errors that end
  // it: "ticket_expired", "wrong_device_type"; those worth another try:
  // "pairing_pending" (waits for an operator), "pairing_rejected", "bad_offer",
  // "bad_grant", "fleet_mismatch", the Updater's.
  absl::StatusOr<std::optional<Membership>> Step();

 private:
  Pairing(PairingDevice device, std::unique_ptr<PairingWay> way,
          LazyFetch* fetch);
  absl::StatusOr<std::optional<Membership>> StepNow();
  absl::StatusOr<std::optional<Membership>> Accept(
      const dht::VerifiedRecord& record);
  absl::Status VerifyFleet(const dht::VerifiedRecord& record,
                           const pairing::v1::Grant& grant);
  void ForgetNetwork();
  absl::Status Verdict() const;

  const PairingDevice d_;
  const std::unique_ptr<PairingWay> way_;
  LazyFetch* const fetch_;
  std::shared_ptr<TrustHolder> holder_ = std::make_shared<TrustHolder>();
  std::unique_ptr<dht::Network> network_;
  pairing::v1::Verdict verdict_ = pairing::v1::VERDICT_UNSPECIFIED;
  std::string reason_;
  std::string put_;       // the last record that a node has confirmed
  absl::Duration since_;  // the last change of verdict_, or the start
  absl::Duration next_step_;
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_PAIRING_H_
