// Which of several files found under one name is worth a try.
#include <fmt/format.h>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/verify/updater_impl.h"

namespace shoal::signing {
namespace {

absl::Status RightVersion(std::string_view role, uint64_t version,
                          std::optional<uint64_t> wanted) {
  if (!wanted || version == *wanted) return absl::OkStatus();
  return DataLoss("wrong_version", fmt::format("{} {} where {} is expected",
                                               role, version, *wanted));
}

}  // namespace

absl::Status Updater::MayBe(std::string_view role,
                            std::optional<uint64_t> version,
                            std::string_view bytes) const {
  const Impl& impl = *impl_;
  const TrustedSet& state = impl.state;
  const VerifierPolicy& policy = impl.options.policy;
  const KeyAlgorithms& algorithms = *policy.algorithms;
  if (role == "root") {
    if (!impl.has_root) {
      if (crypto::Sha256Digest(bytes) == fleet_id()) return absl::OkStatus();
      return PermissionDenied("wrong_fleet", "not the root of the fleet id");
    }
    TrustedSet next;
    next.policy = policy;
    next.root = state.root;
    return next.AdvanceRoot(bytes);
  }
  if (!impl.has_root)
    return FailedPrecondition("not_refreshed", "no root is known yet");
  if (role == "timestamp") return impl.SignedTimestamp(bytes).status();
  if (role == "snapshot") {
    SHOAL_ASSIGN_OR_RETURN(const ParsedSnapshot parsed,
                           ParseSnapshotAs(policy.dialect, bytes));
    SHOAL_RETURN_IF_ERROR(VerifySignatures(parsed.envelope, state.root.keys,
                                           state.root.roles.at("snapshot"),
                                           role, algorithms));
    SHOAL_RETURN_IF_ERROR(RightVersion(role, parsed.value.version, version));
    return state.timestamp ? CheckPin(role, state.timestamp->snapshot, bytes)
                           : absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets parsed,
                         ParseTargetsAs(policy.dialect, bytes));
  const bool top = role == "targets";
  if (top)
    SHOAL_RETURN_IF_ERROR(VerifySignatures(parsed.envelope, state.root.keys,
                                           state.root.roles.at("targets"), role,
                                           algorithms));
  SHOAL_RETURN_IF_ERROR(RightVersion(role, parsed.value.version, version));
  // Delegated roles are asked for once there is a whole set.
  const auto pin = (top ? state : impl.view).Pin(role);
  return pin.ok() ? CheckPin(role, *pin, bytes) : absl::OkStatus();
}

}  // namespace shoal::signing
