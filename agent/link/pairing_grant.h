// What makes a grant the device's own: the checks that are the same whether it
// came through the network or in a file.
#ifndef SHOAL_AGENT_LINK_PAIRING_GRANT_H_
#define SHOAL_AGENT_LINK_PAIRING_GRANT_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/link/pairing_way.h"
#include "agent/state/identity.h"
#include "dht/records/record.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/updater.h"

namespace shoal::agent {

// By what the configuration says: a ticket, else a bootstrap file with or
// without a factory credential. Errors as those of pairing_way.h.
absl::StatusOr<std::unique_ptr<PairingWay>> OpenConfiguredWay(
    const PairingDevice& device);

// The grant in a PAIR_GRANT record: for this device, to what it said, and
// either a verdict or complete. "bad_grant".
absl::StatusOr<pairing::v1::Grant> OpenGrant(const PairingDevice& device,
                                             const PairingWay& way,
                                             const dht::VerifiedRecord& record);

// Goes through the whole TUF workflow from the fleet id on: the record's writer
// is a director, and the credential is the fleet's for this device's key.
// "fleet_mismatch", "bad_grant", the Updater's. `opened` is given the updater
// before `source` is asked for anything; the updater ends with the call.
absl::Status VerifyGrant(
    const PairingDevice& device, const PairingWay& way,
    const dht::VerifiedRecord& record, const pairing::v1::Grant& grant,
    signing::Fetcher& source,
    const std::function<void(const signing::Updater&)>& opened = nullptr);

// After VerifyGrant: keeps the membership, durably.
absl::StatusOr<Membership> BecomeMember(const PairingDevice& device,
                                        PairingWay& way,
                                        const dht::VerifiedRecord& record,
                                        const pairing::v1::Grant& grant);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_PAIRING_GRANT_H_
