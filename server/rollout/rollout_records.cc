// What comes from storage nodes: halts and outcomes, and how they count.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"
#include "rules/access.h"
#include "rules/outcome_shard.h"
#include "rules/outcomes.h"
#include "server/rollout/driver_steps.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollout_state.h"
#include "server/rollout/rollouts.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::server {
namespace {

std::string OutcomeKey(std::string_view rollout, std::string_view device_hex) {
  return fmt::format("{}/{}", rollout, device_hex);
}

// As rules::ValidateRollout allows.
constexpr size_t kMaxLiftedHalts = 64;

// How wrong a device's clock may be before it is shown.
constexpr int64_t kClockSlackMs = 5 * 60 * 1000;

static_assert(rules::kMaxOutcomeShards == dht::kMaxOutcomeShards);

// T42: at the writer's place of one of the phases. Which phase the device
// believed to be in is not asked: its labels may have changed on the way.
bool AtOwnPlace(const rollout::v1::RolloutDocument& document,
                const dht::VerifiedRecord& record,
                const dht::PlaceNamer& places) {
  // A phase's size says how many places it has; phases may have the same ones.
  std::set<uint32_t> tried;
  for (int phase = 0; phase < document.phases_size(); ++phase) {
    const uint32_t shards = rules::OutcomeShards(document, phase);
    if (tried.insert(shards).second &&
        record.body.place() ==
            places.Outcome(document.id(), record.writer.id, shards))
      return true;
  }
  return false;
}

// Of one device: more keys and rollouts than that at once has a thief alone.
constexpr size_t kMaxHeld = 64;

// A key that the plane knows for the device's: in force, certified to be the
// next one, or given up. The device CA alone says nothing of it: whoever stole
// its key makes credentials for any device (T20).
bool IsDevicesKey(const store::DeviceRow& row, const std::string& key) {
  return HexEncode(key) == row.device().public_key() ||
         (!row.next_key().empty() && row.next_key() == key) ||
         std::any_of(row.superseded().begin(), row.superseded().end(),
                     [&](const auto& one) { return one.key() == key; });
}

std::string HeldPrefix(const std::string& device_hex, const std::string& key) {
  return fmt::format("{}/{}/", device_hex, HexEncode(signing::KeyDigest(key)));
}

// What an outcome must exceed; nullopt: it counts for nothing beside the one
// that is here. Whoever once had a key that the device gave up may have driven
// its counters to the end, so those of another key than the one in force are
// kept as 0 (OnOutcome), and those from before the last change don't bind.
std::optional<uint64_t> CounterToExceed(const store::DeviceRow& device,
                                        const store::OutcomeRow& existing,
                                        bool in_force) {
  const int changes = device.superseded_size();
  const bool before_change =
      changes > 0 && existing.outcome().received_at() / 1000 <=
                         device.superseded(changes - 1).learned_at();
  if (before_change) return in_force ? 0 : existing.counter();
  if (!in_force && existing.counter() > 0) return std::nullopt;
  return existing.counter();
}

// A failure that was accepted and is none any more makes no room for another.
// Devices learn of it with the document's next version.
absl::Status LowerAccepted(Transaction& tx, const store::RolloutRow& row,
                           const store::OutcomeCountsRow& counts) {
  if (row.accepted_failures().empty()) return absl::OkStatus();
  store::RolloutRow lower = row;
  auto* document = lower.mutable_rollout()->mutable_document();
  auto* entries = document->mutable_accepted_failures();
  bool lowered = false;
  for (int i = 0; i < row.accepted_failures_size(); ++i) {
    const uint32_t failed = counts.phases(i).failed();
    if (row.accepted_failures(i) <= failed) continue;
    lower.set_accepted_failures(i, failed);
    lowered = true;
    const auto entry =
        std::find_if(entries->begin(), entries->end(), [i](const auto& one) {
          return one.phase() == static_cast<uint32_t>(i);
        });
    if (entry == entries->end()) continue;
    entry->set_count(failed);
    if (failed == 0) entries->erase(entry);
  }
  if (!lowered) return absl::OkStatus();
  lower.set_revision(row.revision() + 1);
  tx.Put(kRollouts, document->id(), lower);
  return absl::OkStatus();
}

}  // namespace

std::set<std::string> HaltDigests(const store::RolloutRow& row) {
  std::set<std::string> digests;
  for (const std::string& halt : row.halt_records())
    digests.insert(halt.size() == 32 ? halt : dht::RecordDigest(halt));
  return digests;
}

absl::StatusOr<std::vector<rules::OutcomeCount>> Rollouts::Counts(
    const store::RolloutRow& row) const {
  SHOAL_ASSIGN_OR_RETURN(const auto counts,
                         ReadOutcomeCounts(store_, row.rollout().document()));
  std::vector<rules::OutcomeCount> by_phase = CountsByPhase(counts);
  SHOAL_ASSIGN_OR_RETURN(const auto lost, lost_.InPhases(row, by_phase));
  for (size_t i = 0; i < by_phase.size(); ++i) by_phase[i].lost = lost[i];
  return by_phase;
}

absl::StatusOr<bool> Rollouts::AllAnswered(const store::RolloutRow& row) const {
  const auto& document = row.rollout().document();
  SHOAL_ASSIGN_OR_RETURN(const auto done, Answered(row, Spoke::kForGood));
  if (done.empty()) return false;
  SHOAL_ASSIGN_OR_RETURN(const auto devices,
                         devices_.Accepted(document.device_type()));
  SHOAL_ASSIGN_OR_RETURN(const auto left, JustLeft(row));
  const std::string image = HexEncode(document.release().sha256());
  return std::all_of(
      devices.begin(), devices.end(), [&](const store::DeviceRow& device) {
        const std::string id = HexEncode(FactsOf(device).id);
        // Who left a group by running the image has a word to say yet.
        const bool at_it =
            left.contains(id) && device.device().running_sha256() == image;
        return done.contains(id) || !(at_it || Concerns(document, device));
      });
}

absl::StatusOr<std::set<std::string>> Rollouts::Answered(
    const store::RolloutRow& row, Spoke spoke) const {
  std::set<std::string> devices;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::OutcomeRow>(
      kOutcomes, row.rollout().document().id() + "/", "",
      [&](std::string_view key, const store::OutcomeRow& stored) {
        const rollout::v1::DeviceOutcome& outcome = stored.outcome();
        if (outcome.tries_left() == 0 &&
            (spoke == Spoke::kNotAtIt ||
             VerdictOf(outcome) != rules::OutcomeVerdict::kWaiting))
          devices.emplace(key.substr(key.find('/') + 1));
        return true;
      }));
  return devices;
}

absl::Status Rollouts::OnHalt(Transaction& tx,
                              const dht::VerifiedRecord& record) {
  records::v1::Halt halt;
  if (!halt.ParseFromString(record.body.payload()) ||
      !IsIdentifier(halt.rollout_id())) {
    return absl::OkStatus();
  }
  auto found = tx.Get<store::RolloutRow>(kRollouts, halt.rollout_id());
  if (absl::IsNotFound(found.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(found);
  store::RolloutRow row = *std::move(found);
  const auto view = trust_.View();
  const auto* op =
      rules::FindOperatorByKey(view->policy, record.writer.public_key);
  if (op == nullptr || !rules::Evaluate(view->policy, rules::PrincipalOf(*op),
                                        "rollout.halt", nullptr, {})
                            .allowed) {
    LogWarn("halt_refused", {{"rollout", halt.rollout_id()}});
    return absl::OkStatus();
  }
  std::set<std::string> known = HaltDigests(row);
  const auto& lifted = row.rollout().document().lifted_halts();
  known.insert(lifted.begin(), lifted.end());
  // With more of them than a document lifts it is over for good, as devices see
  // it: a stolen key shall not make the row grow.
  if (known.contains(record.digest) || known.size() > kMaxLiftedHalts)
    return absl::OkStatus();
  row.add_halt_records(record.digest);
  if (!HasEnded(row.rollout().state())) {
    row.mutable_rollout()->set_state(rollout::v1::ROLLOUT_STATE_HALTED);
    row.mutable_rollout()->set_message(
        fmt::format("halted by {}: {}", op->name(), halt.reason()));
  }
  row.set_revision(row.revision() + 1);
  tx.Put(kRollouts, halt.rollout_id(), row);
  LogInfo("rollout_halted",
          {{"rollout", halt.rollout_id()}, {"by", op->name()}});
  return absl::OkStatus();
}

absl::Status Rollouts::OnOutcome(Transaction& tx,
                                 const dht::VerifiedRecord& record) {
  records::v1::Outcome outcome;
  const std::string device = HexEncode(record.writer.id);
  if (!outcome.ParseFromString(record.body.payload()) ||
      outcome.device_id() != record.writer.id ||
      !IsIdentifier(outcome.rollout_id())) {
    LogWarn("outcome_refused", {{"device", device}, {"reason", "bad_outcome"}});
    return absl::OkStatus();
  }
  const auto parsed = ParsedRow(tx, outcome.rollout_id());
  if (absl::IsNotFound(parsed.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(parsed);
  const store::RolloutRow* const row = parsed->get();
  auto device_row = tx.Get<store::DeviceRow>(kDevices, device);
  if (absl::IsNotFound(device_row.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(device_row);
  if (!IsDevicesKey(*device_row, record.writer.public_key))
    return Hold(tx, record, outcome.rollout_id());
  const auto& document = row->rollout().document();
  const std::string key = OutcomeKey(outcome.rollout_id(), device);
  const auto existing = tx.Get<store::OutcomeRow>(kOutcomes, key);
  if (!existing.ok() && !absl::IsNotFound(existing.status()))
    return existing.status();
  // The phase is computed, not believed.
  SHOAL_ASSIGN_OR_RETURN(
      const int phase,
      PhaseOfOutcome(tx, document, *device_row, outcome.phase(),
                     existing.ok() ? &*existing : nullptr));
  if (phase < 0) {
    LogWarn("outcome_refused", {{"device", device},
                                {"rollout", outcome.rollout_id()},
                                {"reason", "not_selected"}});
    return absl::OkStatus();
  }
  if (!AtOwnPlace(document, record, writer_.places())) {
    LogWarn("outcome_refused", {{"device", device},
                                {"rollout", outcome.rollout_id()},
                                {"reason", "wrong_place"}});
    return absl::OkStatus();
  }
  store::OutcomeRow stored;
  const bool in_force =
      HexEncode(record.writer.public_key) == device_row->device().public_key();
  stored.set_counter(in_force ? outcome.counter() : 0);
  rollout::v1::DeviceOutcome& view = *stored.mutable_outcome();
  const bool claimed = outcome.result() == records::v1::OUTCOME_RESULT_SUCCESS;
  const rules::OutcomeVerdict verdict = rules::JudgeOutcome(
      document, outcome.result(), outcome.running_sha256(), outcome.reason());
  const bool success = verdict == rules::OutcomeVerdict::kSucceeded;
  SHOAL_ASSIGN_OR_RETURN(store::OutcomeCountsRow counts,
                         ReadOutcomeCounts(tx, document));
  const std::optional<uint64_t> known =
      existing.ok() ? CounterToExceed(*device_row, *existing, in_force)
                    : std::optional<uint64_t>(0);
  if (outcome.counter() == 0 || !known ||
      (existing.ok() && !rules::SaysMore(outcome.counter(), verdict, *known,
                                         VerdictOf(existing->outcome())))) {
    // What it tried counts, but it will not try again.
    if (existing.ok() && known && outcome.counter() > *known &&
        verdict == rules::OutcomeVerdict::kRefused &&
        existing->outcome().tries_left() > 0) {
      store::OutcomeRow last = *existing;
      last.set_counter(in_force ? outcome.counter() : 0);
      last.mutable_outcome()->set_tries_left(0);
      CountOutcome(&existing->outcome(), last.outcome(), counts);
      tx.Put(kOutcomes, key, last);
    } else {
      counts.set_stale(counts.stale() + 1);
    }
    tx.Put(kOutcomeCounts, outcome.rollout_id(), counts);
    return absl::OkStatus();
  }
  auto left = tx.Get<store::LeftPhasesRow>(kLeftPhases, key);
  if (left.ok() && left->gone()) {
    // Its answer was under way when it was decommissioned.
    left->set_gone(false);
    tx.Put(kLeftPhases, key, *left);
    auto* of = counts.mutable_phases(phase);
    if (of->gone() > 0) of->set_gone(of->gone() - 1);
  }
  view.set_device("devices/" + device);
  view.set_success(success);
  view.set_refused(outcome.result() == records::v1::OUTCOME_RESULT_REFUSED);
  if (verdict == rules::OutcomeVerdict::kFailed)
    view.set_tries_left(outcome.tries_left());
  view.set_reason(claimed && !success ? "wrong_digest" : outcome.reason());
  view.set_message(outcome.message());
  view.set_running_sha256(HexEncode(outcome.running_sha256()));
  view.set_running_version(outcome.running_version());
  view.set_bytes_downloaded(outcome.bytes_downloaded());
  view.set_bytes_from_peers(outcome.bytes_from_peers());
  view.set_bytes_from_origin(outcome.bytes_from_origin());
  view.set_used_delta(outcome.used_delta());
  view.set_phase(static_cast<uint32_t>(phase));
  view.set_finished_at(outcome.finished());
  const int64_t now = absl::ToUnixMillis(store_.clock().WallNow());
  view.set_received_at(now);
  view.set_late(row->rollout().state() != rollout::v1::ROLLOUT_STATE_HALTED &&
                IsFinal(row->rollout().state()));
  view.set_wrong_clock(outcome.finished() > now + kClockSlackMs ||
                       outcome.finished() <
                           row->rollout().created_at() - kClockSlackMs);
  tx.Put(kOutcomes, key, stored);
  // The rollout's own row stays as it is: what is signed meanwhile, and an
  // operator's etag, need not be done again for every outcome that comes in.
  CountOutcome(existing.ok() ? &existing->outcome() : nullptr, view, counts);
  tx.Put(kOutcomeCounts, outcome.rollout_id(), counts);
  return LowerAccepted(tx, *row, counts);
}

absl::StatusOr<std::shared_ptr<const store::RolloutRow>> Rollouts::ParsedRow(
    const Transaction& tx, const std::string& id) const {
  constexpr size_t kMost = 16;
  SHOAL_ASSIGN_OR_RETURN(auto bytes, tx.GetRaw(kRollouts, id));
  if (!bytes) return NotFound("not_found", "no rollout " + id);
  std::lock_guard lock(parsed_mutex_);
  if (const auto it = parsed_.find(id);
      it != parsed_.end() && it->second.bytes == *bytes)
    return it->second.row;
  auto row = std::make_shared<store::RolloutRow>();
  if (!row->ParseFromString(*bytes))
    return DataLoss("bad_row", "the row of rollout " + id + " is damaged");
  if (parsed_.size() >= kMost) parsed_.clear();
  parsed_[id] = {*std::move(bytes), row};
  return row;
}

absl::Status Rollouts::Hold(Transaction& tx, const dht::VerifiedRecord& record,
                            const std::string& rollout) {
  const std::string device = HexEncode(record.writer.id);
  const std::string key =
      HeldPrefix(device, record.writer.public_key) + rollout;
  size_t held = 0;
  std::vector<std::string> expired;
  const absl::Time now = store_.clock().WallNow();
  SHOAL_RETURN_IF_ERROR(store_.ScanRaw(
      kHeldOutcomes, device + "/", "",
      [&](std::string_view at, std::string_view bytes) {
        const auto body = dht::BodyOf(bytes);
        const bool over =
            !body || absl::FromUnixSeconds(body->expires()) <= now;
        if (over) expired.emplace_back(at);
        held += !over;
        return true;
      }));
  for (const std::string& at : expired) tx.Delete(kHeldOutcomes, at);
  LogWarn(
      "outcome_held",
      {{"device", device}, {"rollout", rollout}, {"reason", "unknown_key"}});
  if (held < kMaxHeld) tx.PutRaw(kHeldOutcomes, key, record.bytes);
  return absl::OkStatus();
}

absl::Status Rollouts::TakeHeld(Transaction& tx,
                                const dht::VerifiedRecord& report) {
  const std::string device = HexEncode(report.writer.id);
  const std::string& key = report.writer.public_key;
  std::map<std::string, std::string> held;
  SHOAL_RETURN_IF_ERROR(
      store_.ScanRaw(kHeldOutcomes, HeldPrefix(device, key), "",
                     [&](std::string_view at, std::string_view bytes) {
                       held.emplace(at, bytes);
                       return true;
                     }));
  if (held.empty()) return absl::OkStatus();
  const auto row = tx.Get<store::DeviceRow>(kDevices, device);
  if (!row.ok() || HexEncode(key) != row->device().public_key())
    return absl::OkStatus();
  for (const auto& [at, bytes] : held) {
    tx.Delete(kHeldOutcomes, at);
    // It was verified before it was held.
    const auto body = dht::BodyOf(bytes);
    if (!body) continue;
    SHOAL_RETURN_IF_ERROR(
        OnOutcome(tx, {*body, report.writer, bytes, dht::RecordDigest(bytes)}));
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
