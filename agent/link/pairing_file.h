// Pairing without a network (docs/pairing.md, "By hand"): the request and the
// answer to it travel as files that a person carries. The same request, the
// same proofs, the same checks as through the storage nodes.
#ifndef SHOAL_AGENT_LINK_PAIRING_FILE_H_
#define SHOAL_AGENT_LINK_PAIRING_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/link/pairing_way.h"
#include "agent/state/identity.h"

namespace shoal::agent {

inline constexpr size_t kMaxPairAnswer = 8u << 20;

// The PAIR_REQUEST record to carry to the plane; durable before it is answered
// here, and the same until it has run out. "needs_bootstrap_file" for a device
// with a ticket; errors as those of pairing_way.h.
absl::StatusOr<std::string> MakePairRequestFile(const PairingDevice& device);

// What the plane made of it (proto PairAnswer): verified, kept. "bad_answer",
// "bad_grant", "fleet_mismatch", "no_request", the Updater's.
absl::StatusOr<Membership> TakePairAnswerFile(const PairingDevice& device,
                                              std::string_view bytes);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_PAIRING_FILE_H_
