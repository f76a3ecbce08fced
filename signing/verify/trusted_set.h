// The state of a TUF client and the rules by which it may change; no input or
// output. Reasons as in updater.h.
#ifndef SHOAL_SIGNING_VERIFY_TRUSTED_SET_H_
#define SHOAL_SIGNING_VERIFY_TRUSTED_SET_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

struct TrustedRole {
  std::string bytes;
  Targets value;
};

struct TrustedSet {
  std::string root_bytes;
  Root root;
  // Trusted in the past; rollback checks run against them even when expired.
  std::optional<Timestamp> timestamp;
  std::string timestamp_bytes;
  std::optional<Snapshot> snapshot;
  std::string snapshot_bytes;
  // Targets and delegated roles, as verified.
  std::map<std::string, TrustedRole> roles;

  // Step 5.3.4/5: the next root, signed by the old and by the new threshold.
  absl::Status AdvanceRoot(std::string_view bytes);
  // Step 5.4; kAlreadyExists "unchanged" when it is the version already
  // trusted, with the same bytes.
  absl::Status UpdateTimestamp(std::string_view bytes);
  // Step 5.5, against the trusted timestamp. `same` skips the comparison with
  // the old snapshot's versions when it is the same version.
  absl::Status UpdateSnapshot(std::string_view bytes);
  // Steps 5.6 and 5.6.7: `role` as `keys` and `role_keys` of its delegator
  // say and as the trusted snapshot pins it.
  absl::Status UpdateRole(std::string_view role, std::string_view bytes,
                          const std::map<std::string, Key>& keys,
                          const RoleKeys& role_keys);

  // What the snapshot says about `role`; "metadata_missing".
  absl::StatusOr<MetaFile> Pin(std::string_view role) const;
};

// "expired_metadata" unless `expires` is after `now`.
absl::Status CheckExpiry(std::string_view role, absl::Time expires,
                         absl::Time now);
// Length and hash of `pin`.
absl::Status CheckPin(std::string_view role, const MetaFile& pin,
                      std::string_view bytes);

// Root version 1, self-signed.
absl::StatusOr<ParsedRoot> ParseSelfSignedRoot(std::string_view bytes);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_TRUSTED_SET_H_
