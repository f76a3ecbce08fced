#include "agent/link/record_out.h"

#include "common/status.h"
#include "signing/verify/credential.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kOutcomeLifetime = absl::Hours(24 * 30);

records::v1::OutcomeResult ResultOf(UpdateResult result) {
  switch (result) {
    case UpdateResult::kSuccess:
      return records::v1::OUTCOME_RESULT_SUCCESS;
    case UpdateResult::kRolledBack:
      return records::v1::OUTCOME_RESULT_ROLLED_BACK;
    case UpdateResult::kFailed:
      return records::v1::OUTCOME_RESULT_FAILED;
    case UpdateResult::kRefused:
      return records::v1::OUTCOME_RESULT_REFUSED;
    case UpdateResult::kNone:
      break;
  }
  return records::v1::OUTCOME_RESULT_UNSPECIFIED;
}

// Protobuf text must be UTF-8; the output of programs may be anything.
std::string Printable(std::string text, size_t max) {
  if (text.size() > max) text.erase(0, text.size() - max);
  for (char& c : text)
    if (static_cast<unsigned char>(c) >= 0x7f ||
        (static_cast<unsigned char>(c) < 0x20 && c != '\n'))
      c = '?';
  return text;
}

}  // namespace

std::string RecordOut::Sign(records::v1::RecordKind kind, std::string place,
                            uint64_t version, std::string payload,
                            absl::Time issued, absl::Duration lifetime) const {
  dht::RecordFields fields;
  fields.kind = kind;
  fields.place = std::move(place);
  fields.version = version;
  fields.issued = issued;
  fields.expires = issued + lifetime;
  fields.payload = std::move(payload);
  const Signer signer = TheSigner();
  fields.credential = signer.credential;
  return dht::SignRecord(fields, *signer.key, membership_->fleet_id);
}

std::optional<std::string> RecordOut::Resign(const std::string& bytes) const {
  records::v1::Record record;
  records::v1::RecordBody body;
  if (!record.ParseFromString(bytes) || !body.ParseFromString(record.body()) ||
      !body.has_credential())
    return std::nullopt;
  dht::RecordFields fields;
  const Signer signer = TheSigner();
  fields.credential = signer.credential;
  if (fields.credential->body() == body.credential().body() &&
      fields.credential->signature() == body.credential().signature())
    return std::nullopt;
  fields.kind = body.kind();
  fields.place = body.place();
  fields.version = body.version();
  fields.issued = absl::FromUnixMillis(body.issued());
  fields.expires = absl::FromUnixSeconds(body.expires());
  fields.payload = body.payload();
  return dht::SignRecord(fields, *signer.key, membership_->fleet_id);
}

std::optional<std::string> RecordOut::Revive(const std::string& bytes,
                                             const signing::FleetTrust& trust,
                                             absl::Time now) const {
  records::v1::Record record;
  records::v1::RecordBody body;
  if (!record.ParseFromString(bytes) || !body.ParseFromString(record.body()) ||
      !body.has_credential() ||
      signing::VerifyCredential(body.credential(), trust, now).ok())
    return std::nullopt;
  return Resign(bytes);
}

absl::Status RecordOut::Send(records::v1::RecordKind kind, std::string place,
                             uint64_t version, std::string payload,
                             absl::Duration lifetime) {
  return spool_->Add(Sign(kind, std::move(place), version, std::move(payload),
                          clock_->WallNow(), lifetime));
}

std::string MakeOutcomeRecord(const RecordOut& out,
                              const dht::PlaceNamer& places,
                              const UpdateRecord& update,
                              const RunningImage& running) {
  records::v1::Outcome outcome;
  outcome.set_rollout_id(update.rollout_id);
  outcome.set_rollout_version(update.rollout_version);
  outcome.set_device_id(out.membership().device_id());
  outcome.set_result(ResultOf(update.result));
  outcome.set_reason(update.reason);
  std::string message = update.message;
  if (!update.delta_failure.empty())
    message += (message.empty() ? "" : "; ") + std::string("delta not used: ") +
               update.delta_failure;
  outcome.set_message(Printable(message, 512));
  outcome.set_running_sha256(running.info.sha256);
  outcome.set_running_version(running.info.version);
  outcome.set_boot_count(update.boot_count);
  outcome.set_counter(update.outcome_counter);
  outcome.set_bytes_from_peers(update.bytes_from_peers);
  outcome.set_bytes_from_origin(update.bytes_from_origin);
  outcome.set_bytes_downloaded(update.bytes_from_peers +
                               update.bytes_from_origin);
  outcome.set_used_delta(update.used_delta);
  outcome.set_phase(update.phase);
  outcome.set_started(update.started_ms);
  outcome.set_finished(update.finished_ms);
  outcome.set_health_output(Printable(update.health_output, 1024));
  if ((update.result == UpdateResult::kFailed ||
       update.result == UpdateResult::kRolledBack) &&
      update.max_attempts > update.attempt)
    outcome.set_tries_left(update.max_attempts - update.attempt);
  const std::string shard =
      update.outcome_shard.empty() ? "0" : update.outcome_shard;
  return out.Sign(records::v1::RECORD_KIND_OUTCOME,
                  places.Place(records::v1::RECORD_KIND_OUTCOME,
                               update.rollout_id + "/" + shard),
                  update.outcome_counter, outcome.SerializeAsString(),
                  absl::FromUnixMillis(update.finished_ms), kOutcomeLifetime);
}

}  // namespace shoal::agent
