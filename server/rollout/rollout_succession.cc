// Which rollout ends which, and which of those that ended devices still find.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "server/rollout/plan.h"
#include "server/rollout/rollout_state.h"
#include "server/rollout/rollouts.h"
#include "server/rollout/take_over.h"

namespace shoal::server {
namespace {

// Ended rollouts of a device type that its devices still find in the metadata;
// and of those that are newer than one at work, which say to devices that took
// them to leave that one alone.
constexpr size_t kEndedKept = 5;
constexpr size_t kNewerEndedKept = 64;

}  // namespace

absl::StatusOr<std::string> Rollouts::SupersededBy(
    const store::RolloutRow& row) const {
  const rollout::v1::RolloutDocument& document = row.rollout().document();
  std::string name;
  uint64_t highest = document.order();
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& other) {
        const rollout::v1::Rollout& newer = other.rollout();
        // One that was stopped, or ran out, before the devices got it from
        // storage nodes supersedes nothing.
        if ((newer.state() == rollout::v1::ROLLOUT_STATE_ACTIVE ||
             newer.state() == rollout::v1::ROLLOUT_STATE_FINISHED) &&
            newer.published_at() > 0 &&
            // One that leads back is not for everybody whom it selects.
            newer.document().only_running_sha256().empty() &&
            newer.document().device_type() == document.device_type() &&
            newer.document().order() > highest &&
            Covers(newer.document().selector(), document.selector())) {
          highest = newer.document().order();
          name = newer.name();
        }
        return true;
      }));
  return name;
}

absl::StatusOr<std::vector<std::string>> Rollouts::Retired(
    const std::string& device_type) const {
  std::vector<std::pair<uint64_t, std::string>> ended;
  uint64_t oldest_at_work = UINT64_MAX;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        const rollout::v1::RolloutDocument& document = row.rollout().document();
        if (!row.document_signed() || document.device_type() != device_type)
          return true;
        if (IsFinal(document.state()))
          ended.emplace_back(document.order(), RolloutTarget(document));
        if (!HasEnded(document.state()))
          oldest_at_work = std::min(oldest_at_work, document.order());
        return true;
      }));
  std::sort(ended.rbegin(), ended.rend());
  std::vector<std::string> targets;
  for (size_t i = kEndedKept; i < ended.size(); ++i) {
    if (ended[i].first < oldest_at_work || i >= kNewerEndedKept)
      targets.push_back(std::move(ended[i].second));
  }
  return targets;
}

}  // namespace shoal::server
