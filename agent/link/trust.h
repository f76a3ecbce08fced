// What the device believes right now about its fleet, shared between threads
// as one immutable value that is replaced whole.
#ifndef SHOAL_AGENT_LINK_TRUST_H_
#define SHOAL_AGENT_LINK_TRUST_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/time/time.h"
#include "dht/records/record.h"
#include "rules/access.h"
#include "shoal/policy/v1/policy.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::agent {

struct TrustView {
  signing::FleetTrust trust;
  policy::v1::AccessPolicy policy;  // empty (deny all) without a policy
  std::string policy_sha256;        // empty without one
  absl::Time time_floor;            // no moment before this is believed
};

// "bad_policy", or an empty policy when the fleet has none.
absl::StatusOr<TrustView> MakeTrustView(signing::FleetTrust trust,
                                        absl::Time time_floor);

// Thread-safe.
class TrustHolder {
 public:
  std::shared_ptr<const TrustView> Get() const {
    std::lock_guard lock(mutex_);
    return view_;
  }
  void Set(TrustView view) {
    auto next = std::make_shared<const TrustView>(std::move(view));
    std::lock_guard lock(mutex_);
    view_ = std::move(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const TrustView> view_;
};

// Who wrote a record, by the trust in `holder` at that moment. Before there is
// any (pairing) a bare key passes as a director's for what is checked
// otherwise: metadata (TUF), and the offer and the grant of pairing, whose
// writer pairing itself compares with the director role. Reasons: "no_trust",
// signing::ResolveWriter's.
dht::WriterResolver MakeResolver(std::shared_ptr<const TrustHolder> holder);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_TRUST_H_
