// Which signed indexes of deltas rollouts need, and what those name.
#ifndef SHOAL_SERVER_RELEASE_SIGNED_DELTAS_H_
#define SHOAL_SERVER_RELEASE_SIGNED_DELTAS_H_

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "server/store/store.h"

namespace shoal::server {

struct SignedDeltas {
  // Targets of indexes that no rollout names which is not at its end.
  std::set<std::string> unneeded;
  // 32-byte digests of the deltas in the others.
  std::set<std::string> digests;
};
absl::StatusOr<SignedDeltas> ReadSignedDeltas(const Store& store);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_RELEASE_SIGNED_DELTAS_H_
