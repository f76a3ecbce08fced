// Reads what `shoal --output json rollout get` says.
#ifndef SHOAL_SIM_ACCOUNT_H_
#define SHOAL_SIM_ACCOUNT_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "sim/truth.h"

namespace shoal::sim {

// "bad_account" when it is no Rollout.
absl::StatusOr<PlaneAccount> ParseAccount(std::string_view json);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_ACCOUNT_H_
