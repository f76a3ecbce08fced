// In which phase of a rollout a device is, while its labels and groups change:
// what it began in a phase counts there (docs/rollouts.md, "Who is when").
#include <algorithm>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/rollout/outcome_counts.h"
#include "server/rollout/rollout_state.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

absl::StatusOr<std::shared_ptr<const Rollouts::Documents>> Rollouts::AtWork(
    const Transaction& tx) {
  std::lock_guard lock(at_work_mutex_);
  if (at_work_) return at_work_;
  auto documents = std::make_shared<Documents>();
  SHOAL_RETURN_IF_ERROR(tx.store().Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        if (row.document_signed() && !HasEnded(row.rollout().state()))
          documents->push_back(row.rollout().document());
        return true;
      }));
  at_work_ = std::move(documents);
  return at_work_;
}

absl::Status Rollouts::KeepPhases(Transaction& tx,
                                  const store::DeviceRow& before,
                                  const store::DeviceRow& after) {
  if (before.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED)
    return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const auto documents, AtWork(tx));
  const rules::DeviceFacts old_facts = FactsOf(before);
  const rules::DeviceFacts new_facts = FactsOf(after);
  const bool leaves =
      after.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED;
  for (const auto& document : *documents) {
    const int was = rules::PhaseOf(document, old_facts);
    const int is = leaves ? -1 : rules::PhaseOf(document, new_facts);
    if (was == is) continue;
    const std::string key =
        fmt::format("{}/{}", document.id(), HexEncode(old_facts.id));
    auto row = tx.Get<store::LeftPhasesRow>(kLeftPhases, key);
    if (absl::IsNotFound(row.status())) row = store::LeftPhasesRow();
    SHOAL_RETURN_IF_ERROR(row);
    auto* phases = row->mutable_phases();
    if (was >= 0 &&
        std::find(phases->begin(), phases->end(), was) == phases->end())
      row->add_phases(static_cast<uint32_t>(was));
    row->set_left_at(is < 0 ? absl::ToUnixMillis(store_.clock().WallNow()) : 0);
    bool expected = false;
    if (leaves && !tx.Has(kOutcomes, key)) {
      SHOAL_ASSIGN_OR_RETURN(expected, WasExpected(tx, document.id(), before));
    }
    if (expected) {
      // No gate waits for it any more.
      row->set_gone(true);
      SHOAL_ASSIGN_OR_RETURN(auto counts, ReadOutcomeCounts(tx, document));
      auto* phase = counts.mutable_phases(was);
      phase->set_gone(phase->gone() + 1);
      tx.Put(kOutcomeCounts, document.id(), counts);
    }
    // Whoever was in none before has nothing to keep.
    if (row->phases_size() > 0) tx.Put(kLeftPhases, key, *row);
  }
  return absl::OkStatus();
}

// Whether the device was there when the rollout was planned: those who came
// since are in no phase's number of expected devices.
absl::StatusOr<bool> Rollouts::WasExpected(const Transaction& tx,
                                           const std::string& rollout,
                                           const store::DeviceRow& device) {
  SHOAL_ASSIGN_OR_RETURN(const auto row,
                         tx.Get<store::RolloutRow>(kRollouts, rollout));
  return device.device().enrolled_at() <= row.rollout().created_at();
}

absl::StatusOr<int> Rollouts::PhaseOfOutcome(
    const Transaction& tx, const rollout::v1::RolloutDocument& document,
    const store::DeviceRow& device, uint32_t claimed,
    const store::OutcomeRow* existing) const {
  const rules::DeviceFacts facts = FactsOf(device);
  const int now = rules::PhaseOf(document, facts);
  auto left = tx.Get<store::LeftPhasesRow>(
      kLeftPhases, fmt::format("{}/{}", document.id(), HexEncode(facts.id)));
  if (absl::IsNotFound(left.status())) left = store::LeftPhasesRow();
  SHOAL_RETURN_IF_ERROR(left);
  const auto& before = left->phases();
  // Of the phases that it was in, it knows in which one it began.
  if (now == static_cast<int64_t>(claimed) ||
      std::find(before.begin(), before.end(), claimed) != before.end())
    return static_cast<int>(claimed);
  if (existing != nullptr) return static_cast<int>(existing->outcome().phase());
  if (now >= 0) return now;
  return before.empty() ? -1 : static_cast<int>(before.Get(0));
}

absl::StatusOr<std::set<std::string>> Rollouts::JustLeft(
    const store::RolloutRow& row) const {
  std::set<std::string> devices;
  const int64_t since =
      absl::ToUnixMillis(store_.clock().WallNow() - LostAfter(row));
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::LeftPhasesRow>(
      kLeftPhases, row.rollout().document().id() + "/", "",
      [&](std::string_view key, const store::LeftPhasesRow& left) {
        if (left.left_at() > since)
          devices.emplace(key.substr(key.find('/') + 1));
        return true;
      }));
  return devices;
}

}  // namespace shoal::server
