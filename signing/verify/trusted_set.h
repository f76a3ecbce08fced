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
#include "signing/verify/algorithms.h"

namespace shoal::signing {

struct TrustedRole {
  std::string bytes;
  Targets value;
  // By whom it was verified, so that nobody inherits another's word: a second
  // delegator with other keys has it verified again.
  RoleKeys verified_by;
  std::map<std::string, std::string> verified_keys;  // id → identity
};

struct TrustedSet {
  VerifierPolicy policy;
  // What is expired at this time is not taken (T05); none: expiry is not
  // looked at, as for what was trusted before and is only a lower bound now.
  std::optional<absl::Time> expired_at;

  std::string root_bytes;
  Root root;
  // Whether the last AdvanceRoot took a key away from timestamp, or raised its
  // threshold above what the trusted one is signed by.
  bool timestamp_key_lost = false;
  // Trusted in the past; rollback checks run against them even when expired.
  std::optional<Timestamp> timestamp;
  std::string timestamp_bytes;
  std::optional<Snapshot> snapshot;
  std::string snapshot_bytes;
  // Targets and delegated roles, as verified.
  std::map<std::string, TrustedRole> roles;

  // Every Update… leaves the set as it was when it fails.

  // Step 5.3.4/5: the next root, signed by the old and by the new threshold.
  // Its expiry is the caller's to check, once it is the last one (5.3.10).
  // When a key of timestamp or snapshot is dropped, or what one of them said is
  // not signed by enough of the new root's keys, what the two said before is
  // forgotten (T04); a key that is only added changes nothing.
  absl::Status AdvanceRoot(std::string_view bytes);
  // Step 5.4; kAlreadyExists when it is the version already trusted:
  // "unchanged", or "equivocation" when its content is another one.
  absl::Status UpdateTimestamp(std::string_view bytes);
  // Step 5.5, against the trusted timestamp.
  absl::Status UpdateSnapshot(std::string_view bytes);
  // Signatures only: the snapshot of an earlier run, which versions are
  // compared with whatever the timestamp pins now.
  absl::Status AdoptOldSnapshot(std::string_view bytes);
  // Steps 5.6 and 5.6.7: `role` as `keys` and `role_keys` of its delegator
  // say and as the trusted snapshot pins it.
  absl::Status UpdateRole(std::string_view role, std::string_view bytes,
                          const std::map<std::string, Key>& keys,
                          const RoleKeys& role_keys);
  // Whether roles[role] was verified by these very keys.
  bool VerifiedBy(std::string_view role, const std::map<std::string, Key>& keys,
                  const RoleKeys& role_keys) const;

  // What the snapshot says about `role`; "metadata_missing".
  absl::StatusOr<MetaFile> Pin(std::string_view role) const;

 private:
  absl::Status NotExpired(std::string_view role, absl::Time expires) const;
};

// "expired_metadata" unless `expires` is after `now`.
absl::Status CheckExpiry(std::string_view role, absl::Time expires,
                         absl::Time now);
// Length and hashes of `pin`; "unsupported_hash" when it gives none that is
// known here.
absl::Status CheckPin(std::string_view role, const MetaFile& pin,
                      std::string_view bytes);

// A root that its own keys sign.
absl::StatusOr<ParsedRoot> ParseSelfSignedRoot(std::string_view bytes,
                                               const VerifierPolicy& policy);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_TRUSTED_SET_H_
