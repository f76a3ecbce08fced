// Who wrote a record, by what the fleet trusts: the one place that decides it
// for devices, storage nodes, the management plane and the fleet tool.
#ifndef SHOAL_SIGNING_VERIFY_WRITER_H_
#define SHOAL_SIGNING_VERIFY_WRITER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "shoal/policy/v1/policy.pb.h"
#include "shoal/records/v1/record.pb.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/seen_signatures.h"

namespace shoal::signing {

struct RecordWriter {
  records::v1::WriterClass kind = records::v1::WRITER_CLASS_UNSPECIFIED;
  // 16 bytes: the subject id of a credential; of a director's or an operator's
  // key the head of its SHA-256.
  std::string id;
  std::string public_key;  // ed25519, 32 bytes
};

// The policy in `trust`; without one an empty policy, which names nobody.
// "bad_policy" (kInvalidArgument).
absl::StatusOr<policy::v1::AccessPolicy> PolicyOf(const FleetTrust& trust);

// What a bare key is: a director's (FleetTrust.director_keys) or an operator's
// (`policy`, the one of `trust`). kPermissionDenied "revoked" or
// "unknown_writer".
absl::StatusOr<RecordWriter> ResolveKey(const FleetTrust& trust,
                                        const policy::v1::AccessPolicy& policy,
                                        const std::string& key);

// The writer that `body` names by key or by a credential in full. Whoever
// keeps credentials replaces a digest by its credential first; a digest is
// kNotFound "unknown_credential" here. Further reasons are ResolveKey's and
// VerifyCredential's. The record's own signature is the caller's to check, with
// the key answered. `seen`: as in VerifyCredential. Pure; thread-safe.
absl::StatusOr<RecordWriter> ResolveWriter(
    const FleetTrust& trust, const policy::v1::AccessPolicy& policy,
    const records::v1::RecordBody& body, absl::Time now,
    SeenSignatures* seen = nullptr);
// The same of a record that a storage node has had on disk: what a device
// signed before it replaced its key stays good (VerifyKeptCredential).
absl::StatusOr<RecordWriter> ResolveKeptWriter(
    const FleetTrust& trust, const policy::v1::AccessPolicy& policy,
    const records::v1::RecordBody& body, absl::Time now);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_WRITER_H_
