// Which devices left the fleet and which keys were replaced, as a context has
// verified it so far: contexts/NAME/revocations.pb. A list that the newest
// metadata names and that nobody hands out brings nobody back.
#ifndef SHOAL_SERVER_CLI_KNOWN_REVOCATIONS_H_
#define SHOAL_SERVER_CLI_KNOWN_REVOCATIONS_H_

#include "absl/status/status.h"
#include "common/files.h"
#include "server/cli/context.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::cli {

// Adds what is kept to `trust`, unless another director wrote it: that one may
// have been a thief. A damaged file is "bad_context" (kInvalidArgument).
absl::Status RecallRevocations(const Context& context, FileSystem& fs,
                               signing::FleetTrust& trust);

// Keeps what `trust` says in place of what was kept before. Durable.
absl::Status KeepRevocations(const Context& context, FileSystem& fs,
                             const signing::FleetTrust& trust);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_KNOWN_REVOCATIONS_H_
