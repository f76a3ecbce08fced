// What devices could have read of the rollouts: every version that a storage
// node ever took in.
#ifndef SHOAL_TESTS_FAULT_PLANE_PUBLISHED_H_
#define SHOAL_TESTS_FAULT_PLANE_PUBLISHED_H_

#include "common/crypto/x509.h"
#include "dht/node_client/pull_client.h"

namespace shoal::testing {

// Fails the running test unless every version of a rollout's document was
// signed once, its phases opened one after the other and each once, and nothing
// went on after its end, or after a halt that it does not lift. How many
// documents.
absl::StatusOr<size_t> CheckPublished(const dht::PullTarget& node,
                                      const crypto::TlsKeyPair& caller);

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_FAULT_PLANE_PUBLISHED_H_
