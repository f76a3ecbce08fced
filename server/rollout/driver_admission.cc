// max_parallel: whom the plane lets begin, and when it says so.
#include <algorithm>
#include <optional>
#include <utility>

#include "common/bytes.h"
#include "rules/position.h"
#include "server/rollout/driver.h"
#include "server/rollout/driver_steps.h"

namespace shoal::server {
namespace {

// Between two signatures that only admit more devices.
constexpr absl::Duration kAdmitPause = absl::Seconds(2);
// Between two looks at who may be admitted, as a multiple of what one takes.
constexpr int kLookShare = 20;

// Positions below this were admitted before `since`.
uint64_t LostBelow(const store::RolloutRow& row, absl::Time since) {
  uint64_t below = 0;
  for (const auto& admission : row.admissions())
    if (absl::FromUnixMillis(admission.at()) < since) below = admission.below();
  return below;
}

}  // namespace

void Admit(store::RolloutRow& row,
           const std::vector<rules::ParallelMember>& members, absl::Time now,
           std::optional<uint32_t> opening) {
  auto* document = row.mutable_rollout()->mutable_document();
  if (!document->has_parallel()) return;
  const uint64_t admitted = rules::NextAdmitted(
      *document, opening.value_or(document->open_phase()), members);
  document->mutable_parallel()->set_admitted(admitted);
  document->mutable_parallel()->set_admitted_at(absl::ToUnixMillis(now));
  auto* admissions = row.mutable_admissions();
  while (admissions->size() > 1 &&
         absl::FromUnixMillis(admissions->Get(1).at()) < now - LostAfter(row))
    admissions->erase(admissions->begin());
  if (!admissions->empty() &&
      admissions->Get(admissions->size() - 1).below() == admitted)
    return;
  auto* admission = row.add_admissions();
  admission->set_below(admitted);
  admission->set_at(absl::ToUnixMillis(now));
}

absl::StatusOr<std::vector<rules::ParallelMember>> RolloutDriver::Members(
    const store::RolloutRow& row) {
  std::vector<rules::ParallelMember> members;
  const auto& document = row.rollout().document();
  if (!document.has_parallel()) return members;
  SHOAL_ASSIGN_OR_RETURN(const auto devices,
                         devices_.Accepted(document.device_type()));
  SHOAL_ASSIGN_OR_RETURN(const auto answered,
                         rollouts_.Answered(row, Rollouts::Spoke::kNotAtIt));
  const absl::Time now = store_.clock().WallNow();
  const uint64_t lost_below = LostBelow(row, now - LostAfter(row));
  for (const store::DeviceRow& device : devices) {
    const rules::DeviceFacts facts = FactsOf(device);
    rules::ParallelMember member;
    member.phase = rules::PhaseOf(document, facts);
    if (member.phase < 0) continue;
    member.position = rules::Position(document.id(), facts.id);
    // Whoever was let in long ago and waits for a window, say, will be at it.
    member.answered =
        answered.contains(HexEncode(facts.id)) ||
        (member.position < lost_below &&
         (IsSilent(row, device, now) || WaitsForItsOwner(device)));
    members.push_back(member);
  }
  return members;
}

absl::StatusOr<bool> RolloutDriver::AdmitMore(const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  if (!document.has_parallel()) return false;
  const absl::Time now = store_.clock().WallNow();
  const absl::Duration since =
      now - absl::FromUnixMillis(document.parallel().admitted_at());
  if (since < kAdmitPause && since >= absl::ZeroDuration()) return false;
  const bool renew =
      since < absl::ZeroDuration() ||
      since >= absl::Milliseconds(document.parallel().renew_ms());
  std::vector<rules::ParallelMember> members;
  if (document.parallel().admitted() < rules::kEveryPosition) {
    // Of a large fleet a look takes seconds.
    const absl::Duration begun = store_.clock().MonotonicNow();
    Looks& looks = LooksAt(document.id());
    if (!renew && begun < looks.admit) return false;
    SHOAL_ASSIGN_OR_RETURN(members, Members(row));
    const absl::Duration ended = store_.clock().MonotonicNow();
    looks.admit = ended + std::max(kAdmitPause, kLookShare * (ended - begun));
  } else if (!renew) {
    return false;  // nobody is left to be let in
  }
  if (!renew && rules::NextAdmitted(document, document.open_phase(), members) ==
                    document.parallel().admitted()) {
    return false;
  }
  SHOAL_RETURN_IF_ERROR(Sign(
      row, [&](store::RolloutRow& next) { Admit(next, members, now); },
      nullptr));
  return true;
}

}  // namespace shoal::server
