#include "tests/bench/load/load_outcomes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "common/kv/store.h"
#include "common/status.h"
#include "dht/records/record.h"
#include "rules/facts.h"
#include "rules/outcome_shard.h"
#include "rules/position.h"
#include "rules/rollout.h"
#include "server/fleet/device_changes.h"
#include "server/identity/plane_keys.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"
#include "shoal/records/v1/payloads.pb.h"
#include "signing/sign/builder.h"

namespace shoal::bench {
namespace {

using server::Transaction;

std::string IdOf(uint32_t number) {
  return crypto::Sha256Digest(fmt::format("device {}", number)).substr(0, 16);
}

absl::StatusOr<crypto::SigningKey> KeyOf(uint32_t number) {
  return crypto::SigningKey::FromSeed(
      crypto::SecretBytes(crypto::Sha256Digest(fmt::format("key {}", number))));
}

absl::StatusOr<records::v1::Credential> CredentialOf(
    uint32_t number, const std::string& public_key,
    const crypto::SigningKey& device_ca, const std::string& fleet_id) {
  records::v1::CredentialBody body;
  body.set_public_key(public_key);
  body.set_subject_id(IdOf(number));
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(
      absl::ToUnixSeconds(SystemClock().WallNow() + absl::Hours(24 * 700)));
  body.set_serial(number);
  return signing::IssueCredential(device_ca, fleet_id, body);
}

absl::StatusOr<server::store::DeviceRow> RowOf(
    uint32_t number, const crypto::SigningKey& device_ca,
    const std::string& fleet_id) {
  server::store::DeviceRow row;
  SHOAL_ASSIGN_OR_RETURN(const auto key, KeyOf(number));
  SHOAL_ASSIGN_OR_RETURN(
      *row.mutable_credential(),
      CredentialOf(number, key.public_key(), device_ca, fleet_id));
  auto& assignment = *row.mutable_assignment();
  assignment.set_device_id(IdOf(number));
  assignment.set_version(1);
  assignment.set_device_type("gateway");
  auto& device = *row.mutable_device();
  device.set_name("devices/" + HexEncode(IdOf(number)));
  device.set_state(fleet::v1::ENROLMENT_STATE_ACCEPTED);
  device.set_device_type("gateway");
  (*device.mutable_labels())["site"] = fmt::format("site-{}", number / 100);
  device.set_running_version("1.0");
  device.set_running_sha256(HexEncode(crypto::Sha256Digest("image one")));
  device.set_public_key(HexEncode(key.public_key()));
  device.set_box_key(HexEncode(key.public_key()));
  const int64_t now = absl::ToUnixMillis(SystemClock().WallNow());
  device.set_enrolled_at(now);
  device.set_last_seen_at(now);
  row.set_revision(1);
  return row;
}

// As if storage nodes had everything.
absl::Status Acknowledge(server::Store& store) {
  std::vector<std::string> keys;
  SHOAL_RETURN_IF_ERROR(store.ScanRaw(
      server::kOutbox, "", "", [&](std::string_view key, std::string_view) {
        keys.emplace_back(key);
        return true;
      }));
  Transaction tx(store);
  for (const auto& key : keys) tx.Delete(server::kOutbox, key);
  return tx.Commit();
}

absl::StatusOr<std::vector<SharedRecord>> SignOutcomes(
    const server::PlaneKeys& keys, uint32_t number,
    const rollout::v1::RolloutDocument& document,
    const std::vector<OutcomeOptions>& options) {
  const dht::PlaceNamer places(keys.place_key.view());
  const absl::Time now = SystemClock().WallNow();
  SHOAL_ASSIGN_OR_RETURN(const auto key, KeyOf(number));
  rules::DeviceFacts facts;
  facts.id = IdOf(number);
  facts.device_type = "gateway";
  const int phase = rules::PhaseOf(document, facts);
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_OUTCOME;
  fields.place = places.Outcome(document.id(), facts.id,
                                rules::OutcomeShards(document, phase));
  fields.issued = now;
  fields.expires = now + absl::Hours(24);
  SHOAL_ASSIGN_OR_RETURN(
      fields.credential,
      CredentialOf(number, key.public_key(), keys.device_ca, document.fleet()));
  std::vector<SharedRecord> outcomes;
  for (const OutcomeOptions& one : options) {
    records::v1::Outcome outcome;
    outcome.set_rollout_id(document.id());
    outcome.set_rollout_version(document.version());
    outcome.set_device_id(facts.id);
    outcome.set_result(one.failed ? records::v1::OUTCOME_RESULT_ROLLED_BACK
                                  : records::v1::OUTCOME_RESULT_SUCCESS);
    outcome.set_reason(one.failed ? "health_failed" : "ok");
    outcome.set_running_sha256(one.failed ? crypto::Sha256Digest("image one")
                                          : document.release().sha256());
    outcome.set_running_version(one.failed ? "1.0"
                                           : document.release().version());
    outcome.set_counter(one.counter);
    outcome.set_phase(static_cast<uint32_t>(phase));
    outcome.set_bytes_downloaded(100'000);
    outcome.set_finished(absl::ToUnixMillis(now));
    fields.version = one.counter;
    fields.payload = outcome.SerializeAsString();
    outcomes.push_back(std::make_shared<const std::string>(
        dht::SignRecord(fields, key, document.fleet())));
  }
  return outcomes;
}

uint32_t Answering(uint32_t devices) {
  return std::max<uint32_t>(2, devices - devices / 100);
}

}  // namespace

absl::Status FillDevices(const std::string& directory, uint32_t devices) {
  SHOAL_ASSIGN_OR_RETURN(const auto keys,
                         server::LoadPlaneKeys(directory, RealFileSystem()));
  SHOAL_ASSIGN_OR_RETURN(auto kv,
                         kv::Store::Open(JoinPath(directory, "store"), {}));
  SHOAL_ASSIGN_OR_RETURN(auto store,
                         server::Store::Open(std::move(kv), SystemClock()));
  SHOAL_ASSIGN_OR_RETURN(auto plane, store->Get<server::store::PlaneRow>(
                                         server::kMeta, "identity"));
  const server::RecordWriter writer(keys, plane.fleet_id());
  SHOAL_ASSIGN_OR_RETURN(auto changes,
                         server::DeviceChanges::Open(*store, writer));
  for (uint32_t number = 0; number < devices;) {
    Transaction tx(*store);
    tx.SetActor("operator:bench");
    for (int i = 0; i < 500 && number < devices; ++i, ++number) {
      SHOAL_ASSIGN_OR_RETURN(const auto row,
                             RowOf(number, keys.device_ca, plane.fleet_id()));
      tx.Put(server::kDevices, HexEncode(IdOf(number)), row);
    }
    SHOAL_RETURN_IF_ERROR(tx.Commit());
    SHOAL_RETURN_IF_ERROR(Acknowledge(*store));
  }
  return absl::OkStatus();
}

uint32_t AnsweringDevices(uint32_t devices, size_t count) {
  return static_cast<uint32_t>(std::min<size_t>(Answering(devices), count));
}

std::string DeviceId(uint32_t number) { return IdOf(number); }

absl::StatusOr<std::vector<SharedRecord>> OutcomesOf(
    const std::string& directory, uint32_t number,
    const rollout::v1::RolloutDocument& document,
    const std::vector<OutcomeOptions>& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto keys,
                         server::LoadPlaneKeys(directory, RealFileSystem()));
  return SignOutcomes(keys, number, document, options);
}

absl::StatusOr<std::vector<SharedRecord>> MakeOutcomes(
    const std::string& directory, uint32_t devices, size_t count,
    const rollout::v1::RolloutDocument& document) {
  SHOAL_ASSIGN_OR_RETURN(const auto keys,
                         server::LoadPlaneKeys(directory, RealFileSystem()));
  std::vector<uint32_t> order(devices);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return rules::Position(document.id(), IdOf(a)) <
           rules::Position(document.id(), IdOf(b));
  });
  // The last of those that answer is kept for the end.
  const uint32_t in_turn = AnsweringDevices(devices, count) - 1;
  std::vector<SharedRecord> outcomes(count);
  for (uint32_t at = 0; at <= in_turn; ++at) {
    const bool last = at == in_turn;
    const uint32_t number = order[at];
    std::vector<OutcomeOptions> options;
    for (size_t i = last ? count - 1 : at; i < (last ? count : count - 1);
         i += in_turn)
      options.push_back(
          {.counter = options.size() + 1, .failed = number % 50 == 0});
    SHOAL_ASSIGN_OR_RETURN(const auto signed_ones,
                           SignOutcomes(keys, number, document, options));
    size_t i = last ? count - 1 : at;
    for (const SharedRecord& record : signed_ones) {
      outcomes[i] = record;
      i += in_turn;
    }
  }
  return outcomes;
}

}  // namespace shoal::bench
