#include "dht/records/record.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::dht {
namespace {

using records::v1::Record;
using enum records::v1::RecordKind;

constexpr std::string_view kDomain = "shoal.record.v1";
constexpr size_t kFleetPrefix = 8;
constexpr size_t kCredentialDigestSize = 16;
constexpr size_t kSubjectIdSize = 16;
// Largest seconds-since-1970 that absl::Time and int64 milliseconds hold.
constexpr int64_t kMaxSeconds = 253402300799;  // 9999-12-31

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_record", what);
}

bool IsPadded(const records::v1::Credential& credential) {
  records::v1::Credential known = credential;
  known.DiscardUnknownFields();
  return known.ByteSizeLong() != credential.ByteSizeLong();
}

absl::Status CheckShape(const RecordBody& body) {
  if (body.kind() <= RECORD_KIND_UNSPECIFIED ||
      body.kind() > records::v1::RecordKind_MAX)
    return Bad("the record's kind is unknown");
  if (body.place().size() != kPlaceSize) return Bad("place has not 20 bytes");
  if (body.fleet().size() != kFleetPrefix) return Bad("fleet has not 8 bytes");
  if (body.version() == 0) return Bad("version 0");
  if (body.issued() < 0 || body.issued() / 1000 > kMaxSeconds ||
      body.expires() < 0 || body.expires() > kMaxSeconds)
    return Bad("a time out of range");
  if (body.payload().size() > kMaxPayloadSize)
    return ResourceExhausted("record_too_large",
                             "payload larger than 16,384 bytes");
  switch (body.writer_case()) {
    case RecordBody::kCredential:
      // Anybody could pad it, and it is known by its digest (T43).
      if (IsPadded(body.credential()))
        return Bad("a credential with fields of nobody's");
      break;
    case RecordBody::kCredentialDigest:
      if (body.credential_digest().size() != kCredentialDigestSize)
        return Bad("credential digest has not 16 bytes");
      break;
    case RecordBody::kWriterKey:
      if (body.writer_key().size() != crypto::kEd25519PublicKeySize)
        return Bad("writer key has not 32 bytes");
      break;
    case RecordBody::WRITER_NOT_SET:
      return Bad("no writer");
  }
  return absl::OkStatus();
}

// An outcome stands at its writer's place, whichever number of shards its phase
// has: only who holds the rollout knows that.
bool OutcomeFits(const RecordBody& body, const Writer& writer,
                 const PlaceNamer& places) {
  records::v1::Outcome outcome;
  if (!outcome.ParseFromString(body.payload()) ||
      outcome.device_id() != writer.id)
    return false;
  for (uint32_t shards = 1; shards <= kMaxOutcomeShards; shards *= 2)
    if (body.place() == places.Outcome(outcome.rollout_id(), writer.id, shards))
      return true;
  return false;
}

// T42: what stands at a place that belongs to someone was written by them.
bool PlaceFits(const RecordBody& body, const Writer& writer,
               const PlaceNamer* places) {
  switch (body.kind()) {
    case RECORD_KIND_DEVICE_REPORT:
      return places && body.place() == places->DeviceReport(writer.id);
    case RECORD_KIND_TELEMETRY:
      if (!places) return false;
      for (uint32_t stream = 0; stream < kMaxTelemetryStreams; ++stream)
        if (body.place() == places->Telemetry(writer.id, stream)) return true;
      return false;
    case RECORD_KIND_OUTCOME:
      return places && OutcomeFits(body, writer, *places);
    case RECORD_KIND_DOCUMENT:
      return places &&
             body.place() ==
                 places->Document(crypto::Sha256Digest(body.payload()));
    case RECORD_KIND_NODE_DIRECTORY:
      return places && body.place() == places->NodeDirectory();
    case RECORD_KIND_LOG_WITNESS:
      return places && body.place() == places->LogWitness(OutcomeShardOf(
                                           writer.id, kLogWitnessShards));
    case RECORD_KIND_PAIR_ANSWER:
      return writer.id.size() == kSubjectIdSize &&
             body.place().compare(0, kSubjectIdSize, writer.id) == 0;
    case RECORD_KIND_PAIR_REQUEST:
      return body.place() == PairRequestPlace(writer.public_key, body.fleet());
    case RECORD_KIND_NODE_KEYS:
      return places && body.place() == places->Place(body.kind(), "");
    default:
      return true;
  }
}

}  // namespace

bool MayWrite(WriterClass writer, RecordKind kind) {
  using namespace records::v1;
  switch (kind) {
    case RECORD_KIND_HEAD:
    case RECORD_KIND_METADATA:
    case RECORD_KIND_DOCUMENT:
    case RECORD_KIND_NODE_DIRECTORY:
    case RECORD_KIND_ASSIGNMENT:
    case RECORD_KIND_PAIR_OFFER:
    case RECORD_KIND_PAIR_GRANT:
    case RECORD_KIND_LOG_PROOF:
    case RECORD_KIND_LOG_ENTRIES:
    case RECORD_KIND_NODE_KEYS:
      return writer == WRITER_CLASS_DIRECTOR;
    case RECORD_KIND_DEVICE_REPORT:
    case RECORD_KIND_OUTCOME:
    case RECORD_KIND_TELEMETRY:
    case RECORD_KIND_COMMAND_RESULT:
      return writer == WRITER_CLASS_DEVICE;
    case RECORD_KIND_COMMAND:
    case RECORD_KIND_HALT:
      return writer == WRITER_CLASS_OPERATOR;
    case RECORD_KIND_PROVIDER:
      return writer == WRITER_CLASS_DEVICE || writer == WRITER_CLASS_NODE ||
             writer == WRITER_CLASS_DIRECTOR;
    case RECORD_KIND_LOG_WITNESS:
      return writer == WRITER_CLASS_DEVICE || writer == WRITER_CLASS_NODE;
    case RECORD_KIND_PAIR_ANSWER:
      return writer == WRITER_CLASS_CLAIM;
    case RECORD_KIND_PAIR_REQUEST:
      return writer == WRITER_CLASS_APPLICANT || writer == WRITER_CLASS_FACTORY;
    default:
      return false;
  }
}

absl::Duration MaxLifetime(RecordKind kind) {
  switch (kind) {
    case RECORD_KIND_COMMAND:
    case RECORD_KIND_COMMAND_RESULT:
      return absl::Hours(24);
    case RECORD_KIND_LOG_WITNESS:
    case RECORD_KIND_PROVIDER:
      return absl::Hours(24 * 7);
    // What an operator stopped stays stopped.
    case RECORD_KIND_HALT:
      return absl::Hours(24 * 400);
    default:
      return absl::Hours(24 * 100);
  }
}

absl::Time KeepUntil(const RecordBody& body, absl::Time now) {
  const absl::Time from = std::min(absl::FromUnixMillis(body.issued()), now);
  return std::min(absl::FromUnixSeconds(body.expires()),
                  from + MaxLifetime(body.kind()));
}

std::optional<RecordBody> BodyOf(std::string_view bytes) {
  Record record;
  RecordBody body;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !body.ParseFromString(record.body()))
    return std::nullopt;
  return body;
}

std::string RecordDigest(std::string_view bytes) {
  return crypto::Sha256Digest(bytes);
}

std::string CredentialDigest(const records::v1::Credential& credential) {
  return crypto::Sha256Digest(credential.SerializeAsString())
      .substr(0, kCredentialDigestSize);
}

absl::StatusOr<VerifiedRecord> VerifyRecord(std::string_view bytes,
                                            const VerifyContext& context) {
  if (bytes.size() > kMaxRecordSize)
    return ResourceExhausted("record_too_large",
                             "record larger than 17,408 bytes");
  Record record;
  VerifiedRecord result;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !result.body.ParseFromString(record.body()))
    return Bad("not a serialised Record");
  // The signature covers the body alone. Whoever carries a record could make
  // any number of others of it, at the cost of its writer's quota, and of a
  // halt each would have to be lifted by itself.
  record.DiscardUnknownFields();
  if (record.SerializeAsString() != bytes)
    return Bad("not the one form that a signed body has");
  const RecordBody& body = result.body;
  SHOAL_RETURN_IF_ERROR(CheckShape(body));
  if (context.fleet_id.substr(0, kFleetPrefix) != body.fleet())
    return PermissionDenied("wrong_fleet", "the record is of another fleet");
  if (absl::FromUnixSeconds(body.expires()) <= context.now)
    return FailedPrecondition("expired_record", "the record has run out");
  if (!context.resolver)
    return FailedPrecondition("no_resolver", "no way to tell who may write");
  SHOAL_ASSIGN_OR_RETURN(result.writer, context.resolver(body, context.now));
  if (!MayWrite(result.writer.kind, body.kind()))
    return PermissionDenied("wrong_writer",
                            "writers of this class may not write this kind");
  if (!PlaceFits(body, result.writer, context.places))
    return PermissionDenied("wrong_place",
                            "the place does not belong to the writer");
  if (!crypto::Ed25519Verify(
          result.writer.public_key,
          crypto::SigningInput(kDomain, context.fleet_id, record.body()),
          record.signature()))
    return PermissionDenied("bad_signature",
                            "the record's signature does not verify");
  result.bytes.assign(bytes);
  result.digest = RecordDigest(bytes);
  return result;
}

std::string SignRecord(const RecordFields& fields,
                       const crypto::SigningKey& key,
                       std::string_view fleet_id) {
  if (fields.place.size() != kPlaceSize ||
      fields.payload.size() > kMaxPayloadSize ||
      fleet_id.size() != kDigestSize) {
    LogError("broken_invariant", {{"what", "fields of a record to sign"}});
    std::abort();
  }
  RecordBody body;
  body.set_fleet(std::string(fleet_id.substr(0, kFleetPrefix)));
  body.set_kind(fields.kind);
  body.set_place(fields.place);
  body.set_version(fields.version);
  body.set_issued(absl::ToUnixMillis(fields.issued));
  body.set_expires(absl::ToUnixSeconds(fields.expires));
  body.set_payload(fields.payload);
  if (fields.credential) {
    *body.mutable_credential() = *fields.credential;
  } else if (!fields.credential_digest.empty()) {
    body.set_credential_digest(fields.credential_digest);
  } else {
    body.set_writer_key(key.public_key());
  }
  Record record;
  body.SerializeToString(record.mutable_body());
  record.set_signature(
      key.Sign(crypto::SigningInput(kDomain, fleet_id, record.body())));
  return record.SerializeAsString();
}

}  // namespace shoal::dht
