// Records: what a writer signs, and what every reader checks, whoever carried
// the bytes (T40, T42). Knows no TUF: who may write is answered by the
// caller's WriterResolver. docs/records.md is the byte-exact page.
#ifndef SHOAL_DHT_RECORDS_RECORD_H_
#define SHOAL_DHT_RECORDS_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/ed25519.h"
#include "dht/records/place.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::dht {

using records::v1::RecordBody;
using records::v1::WriterClass;

inline constexpr size_t kMaxPayloadSize = 16384;
// A serialised Record: the payload and at most 1 KiB around it.
inline constexpr size_t kMaxRecordSize = kMaxPayloadSize + 1024;
inline constexpr size_t kDigestSize = 32;

// Who wrote a record.
struct Writer {
  WriterClass kind = records::v1::WRITER_CLASS_UNSPECIFIED;
  // Device, node, claim: the 16-byte subject id. Director, operator: what the
  // resolver says (their key id). Never empty.
  std::string id;
  std::string public_key;  // ed25519, 32 bytes
};

// Finds the writer that `body` names and decides whether it may write at all
// at `now`: a credential of this fleet's CA that has not run out, a key of the
// director role, an operator of the policy; not revoked. The signature of the
// record itself is checked afterwards by VerifyRecord with the key returned.
// Errors keep their reason ("revoked", "expired_credential", …). Called from
// the network's thread: must be thread-safe and must not block.
using WriterResolver = std::function<absl::StatusOr<Writer>(
    const RecordBody& body, absl::Time now)>;

// The first 16 bytes of SHA-256 of the serialised Credential, for
// RecordBody.credential_digest.
std::string CredentialDigest(const records::v1::Credential& credential);

// Wraps `inner` so that records which carry only a credential's digest
// resolve once their credential was seen in full (and accepted by `inner`)
// through the same resolver: the digest is replaced by the credential, and
// `inner` decides again each time (so revocation and expiry hold). Remembers
// the last `capacity` credentials; an unknown digest: kNotFound
// "unknown_credential". The result is thread-safe if `inner` is.
WriterResolver CachingResolver(WriterResolver inner, size_t capacity = 65536);

// A record that passed VerifyRecord.
struct VerifiedRecord {
  RecordBody body;
  Writer writer;
  std::string bytes;   // the serialised Record, as received
  std::string digest;  // SHA-256 of `bytes`
};

struct VerifyContext {
  std::string_view fleet_id;  // 32 bytes
  // Checks the places that are bound to their writer or content. nullptr (a
  // device that has no place key yet): those kinds are refused.
  const PlaceNamer* places = nullptr;
  const WriterResolver& resolver;
  absl::Time now;
};

// Checks, in this order; code kInvalidArgument unless said otherwise:
//   "record_too_large"  more than kMaxRecordSize, or its payload than
//                       kMaxPayloadSize (kResourceExhausted)
//   "bad_record"        does not parse, unknown kind, a field of wrong length,
//                       other bytes than body and signature give serialised
//   "wrong_fleet"       (kPermissionDenied)
//   "expired_record"    `expires` is not after `now` (kFailedPrecondition)
//   "wrong_writer"      this class may not write this kind (kPermissionDenied)
//   "wrong_place"       a device's report or telemetry at another's place, a
//                       claim outside its place, a document elsewhere than its
//                       digest says (T42) (kPermissionDenied)
//   "bad_signature"     (kPermissionDenied)
// and the resolver's own errors between "expired_record" and "wrong_writer".
absl::StatusOr<VerifiedRecord> VerifyRecord(std::string_view bytes,
                                            const VerifyContext& context);

// The body of a serialised Record that was verified before it was kept; nullopt
// when it does not parse.
std::optional<RecordBody> BodyOf(std::string_view bytes);

// SHA-256 of a serialised Record: its identity everywhere.
std::string RecordDigest(std::string_view bytes);

// Which classes may write a kind; false for unknown kinds.
bool MayWrite(WriterClass writer, RecordKind kind);

// How long a record of this kind may live, from `issued` on: what honest
// writers give it, with room. docs/records.md has the table.
absl::Duration MaxLifetime(RecordKind kind);
// Until when a node keeps a record that reaches it at `now`: until it expires,
// but no longer than its kind may live, from `issued` or, when that lies in the
// future, from now on. Not after `now`: it is not kept at all.
absl::Time KeepUntil(const RecordBody& body, absl::Time now);

struct RecordFields {
  RecordKind kind = records::v1::RECORD_KIND_UNSPECIFIED;
  std::string place;     // PlaceNamer, or the claim ticket's
  uint64_t version = 0;  // from 1
  absl::Time issued;
  absl::Time expires;   // rounded down to the second
  std::string payload;  // at most kMaxPayloadSize
  // Device, node and claim writers give one of these; a director or operator
  // neither: the key's public half names it.
  std::optional<records::v1::Credential> credential;
  std::string credential_digest;
};

// The serialised Record, signed by `key`. Wrong sizes of place, payload or
// fleet id are a broken invariant and abort.
std::string SignRecord(const RecordFields& fields,
                       const crypto::SigningKey& key,
                       std::string_view fleet_id);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_RECORD_H_
