// Signs the device's own records and hands them to the durable outbox.
#ifndef SHOAL_AGENT_LINK_RECORD_OUT_H_
#define SHOAL_AGENT_LINK_RECORD_OUT_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/install/slots.h"
#include "agent/state/identity.h"
#include "agent/state/update_record.h"
#include "common/clock.h"
#include "dht/records/place.h"
#include "dht/records/spool.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::agent {

// Thread-safe.
class RecordOut {
 public:
  // None is owned; all outlive it.
  using Key = std::shared_ptr<const crypto::SigningKey>;
  RecordOut(Key key, const Membership* membership, dht::Spool* spool,
            Clock* clock)
      : membership_(membership),
        spool_(spool),
        clock_(clock),
        signer_{std::move(key), membership->grant.credential()} {}

  // What is signed from now on is signed by `key` and carries its credential.
  void SetSigner(Key key, const records::v1::Credential& credential) {
    std::lock_guard lock(mutex_);
    signer_ = {std::move(key), credential};
  }

  // The signed bytes, always the same for the same arguments.
  std::string Sign(records::v1::RecordKind kind, std::string place,
                   uint64_t version, std::string payload, absl::Time issued,
                   absl::Duration lifetime) const;
  // The same content under the present credential; nullopt for bytes that are
  // no record of this device's, and for a record that carries it already.
  std::optional<std::string> Resign(const std::string& record) const;
  // Resign() for a record whose credential `trust` takes no more at `now`; else
  // nullopt: one that still verifies may be on disks already, and the same
  // version of a record twice would look like a lie.
  std::optional<std::string> Revive(const std::string& record,
                                    const signing::FleetTrust& trust,
                                    absl::Time now) const;
  // Sign now, and durable in the spool on return.
  absl::Status Send(records::v1::RecordKind kind, std::string place,
                    uint64_t version, std::string payload,
                    absl::Duration lifetime);
  dht::Spool* spool() const { return spool_; }
  Clock* clock() const { return clock_; }
  // Its ids; they never change. The rest is the control thread's.
  const Membership& membership() const { return *membership_; }

 private:
  struct Signer {
    Key key;
    records::v1::Credential credential;
  };
  Signer TheSigner() const {
    std::lock_guard lock(mutex_);
    return signer_;
  }

  const Membership* membership_;
  dht::Spool* spool_;
  Clock* clock_;
  mutable std::mutex mutex_;
  Signer signer_;
};

// The outcome of a finished update, as a signed record. Deterministic: a
// repeated report after power loss is the same record.
std::string MakeOutcomeRecord(const RecordOut& out,
                              const dht::PlaceNamer& places,
                              const UpdateRecord& update,
                              const RunningImage& running);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_RECORD_OUT_H_
