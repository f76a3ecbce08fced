#include "signing/verify/writer.h"

#include <algorithm>
#include <vector>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "rules/access.h"
#include "signing/verify/credential.h"

namespace shoal::signing {
namespace {

constexpr size_t kKeyIdSize = 16;

bool Contains(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

RecordWriter OfKey(records::v1::WriterClass kind, const std::string& key) {
  return {kind, crypto::Sha256Digest(key).substr(0, kKeyIdSize), key};
}

}  // namespace

absl::StatusOr<policy::v1::AccessPolicy> PolicyOf(const FleetTrust& trust) {
  if (trust.policy_json.empty()) return policy::v1::AccessPolicy();
  return rules::ParsePolicy(trust.policy_json);
}

absl::StatusOr<RecordWriter> ResolveKey(const FleetTrust& trust,
                                        const policy::v1::AccessPolicy& policy,
                                        const std::string& key) {
  if (Contains(trust.director_keys, key))
    return OfKey(records::v1::WRITER_CLASS_DIRECTOR, key);
  // The policy may list an operator whom it revokes.
  if (Contains(trust.revoked_operator_keys, key))
    return PermissionDenied("revoked", "the policy revokes this operator key");
  if (rules::FindOperatorByKey(policy, key) != nullptr)
    return OfKey(records::v1::WRITER_CLASS_OPERATOR, key);
  return PermissionDenied("unknown_writer",
                          "the key is neither a director's nor an operator's");
}

namespace {

absl::StatusOr<RecordWriter> Resolve(const FleetTrust& trust,
                                     const policy::v1::AccessPolicy& policy,
                                     const records::v1::RecordBody& body,
                                     absl::Time signed_at, absl::Time now,
                                     SeenSignatures* seen) {
  switch (body.writer_case()) {
    case records::v1::RecordBody::kWriterKey:
      return ResolveKey(trust, policy, body.writer_key());
    case records::v1::RecordBody::kCredential: {
      SHOAL_ASSIGN_OR_RETURN(
          const records::v1::CredentialBody subject,
          VerifyKeptCredential(body.credential(), trust, signed_at, now, seen));
      return RecordWriter{subject.kind(), subject.subject_id(),
                          subject.public_key()};
    }
    case records::v1::RecordBody::kCredentialDigest:
      return NotFound("unknown_credential",
                      "the credential of this digest was never seen in full");
    case records::v1::RecordBody::WRITER_NOT_SET:
      break;
  }
  return PermissionDenied("unknown_writer", "the record names no writer");
}

}  // namespace

absl::StatusOr<RecordWriter> ResolveWriter(
    const FleetTrust& trust, const policy::v1::AccessPolicy& policy,
    const records::v1::RecordBody& body, absl::Time now, SeenSignatures* seen) {
  return Resolve(trust, policy, body, absl::InfiniteFuture(), now, seen);
}

absl::StatusOr<RecordWriter> ResolveKeptWriter(
    const FleetTrust& trust, const policy::v1::AccessPolicy& policy,
    const records::v1::RecordBody& body, absl::Time now) {
  return Resolve(trust, policy, body, absl::FromUnixMillis(body.issued()), now,
                 nullptr);
}

}  // namespace shoal::signing
