// Makes signed metadata files. Used by shoal-sign with offline keys and by the
// management plane with its online ones. Functions are thread-safe.
#ifndef SHOAL_SIGNING_SIGN_BUILDER_H_
#define SHOAL_SIGNING_SIGN_BUILDER_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "shoal/records/v1/credential.pb.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

using Signers = std::vector<const crypto::SigningKey*>;

// The bytes of a complete metadata file. Version and expiry are the caller's;
// a value that this library's own parser would refuse, or one beyond its
// type's size cap, is kInvalidArgument "bad_metadata" /
// kResourceExhausted "metadata_too_large".
absl::StatusOr<std::string> SignRoot(const Root& root, const Signers& signers);
absl::StatusOr<std::string> SignTargets(const Targets& targets,
                                        const Signers& signers);
absl::StatusOr<std::string> SignSnapshot(const Snapshot& snapshot,
                                         const Signers& signers);
absl::StatusOr<std::string> SignTimestamp(const Timestamp& timestamp,
                                          const Signers& signers);

// The same file with one more signature over the same content (M of N signers
// who never meet). A signature by a key that has one already is replaced. The
// signatures are sorted by key id, so that the bytes don't depend on who signed
// first.
absl::StatusOr<std::string> AddSignature(std::string_view metadata,
                                         const crypto::SigningKey& signer);
// `metadata` with the signatures of `other` by keys that it lacks. The caller
// knows that both sign the same content.
absl::StatusOr<std::string> MergeSignatures(std::string_view metadata,
                                            std::string_view other);

// The pin of a file that was just made: length and SHA-256 included.
MetaFile PinOf(uint64_t version, std::string_view bytes);

// A snapshot over `roles` (name → newest version and bytes) and the timestamp
// over it.
struct RoleFile {
  uint64_t version = 0;
  std::string bytes;
};
absl::StatusOr<std::string> BuildSnapshot(
    uint64_t version, absl::Time expires,
    const std::map<std::string, RoleFile>& roles, const Signers& signers);
absl::StatusOr<std::string> BuildTimestamp(uint64_t version, absl::Time expires,
                                           uint64_t snapshot_version,
                                           std::string_view snapshot_bytes,
                                           const Signers& signers,
                                           std::optional<LogHead> log = {});

// Signs a credential. kInvalidArgument "bad_credential" for a kind that no CA
// may issue or fields out of range.
absl::StatusOr<records::v1::Credential> IssueCredential(
    const crypto::SigningKey& ca, std::string_view fleet_id,
    const records::v1::CredentialBody& body);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_SIGN_BUILDER_H_
