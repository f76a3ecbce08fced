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

namespace shoal::agent {

// Thread-safe.
class RecordOut {
 public:
  // None is owned; all outlive it.
  RecordOut(const DeviceKeys* keys, const Membership* membership,
            dht::Spool* spool, Clock* clock)
      : keys_(keys),
        membership_(membership),
        spool_(spool),
        clock_(clock),
        credential_(membership->grant.credential()) {}

  // What is signed from now on carries this one.
  void SetCredential(const records::v1::Credential& credential) {
    std::lock_guard lock(mutex_);
    credential_ = credential;
  }

  // The signed bytes, always the same for the same arguments.
  std::string Sign(records::v1::RecordKind kind, std::string place,
                   uint64_t version, std::string payload, absl::Time issued,
                   absl::Duration lifetime) const;
  // The same content under the present credential; nullopt for bytes that are
  // no record of this device's, and for a record that carries it already.
  std::optional<std::string> Resign(const std::string& record) const;
  // Sign now, and durable in the spool on return.
  absl::Status Send(records::v1::RecordKind kind, std::string place,
                    uint64_t version, std::string payload,
                    absl::Duration lifetime);
  dht::Spool* spool() const { return spool_; }
  Clock* clock() const { return clock_; }
  // Its ids; they never change. The rest is the control thread's.
  const Membership& membership() const { return *membership_; }

 private:
  const DeviceKeys* keys_;
  const Membership* membership_;
  dht::Spool* spool_;
  Clock* clock_;
  mutable std::mutex mutex_;
  records::v1::Credential credential_;
};

// The outcome of a finished update, as a signed record. Deterministic: a
// repeated report after power loss is the same record.
std::string MakeOutcomeRecord(const RecordOut& out,
                              const dht::PlaceNamer& places,
                              const UpdateRecord& update,
                              const RunningImage& running);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_RECORD_OUT_H_
