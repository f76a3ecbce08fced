#include "server/rollout/take_over.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/rollout/rollout_state.h"

namespace shoal::server {
namespace {

// Whether the device would still follow `document`, were there no newer one.
bool Follows(const store::DeviceRow& row,
             const rollout::v1::RolloutDocument& document) {
  return row.device().running_sha256() !=
             HexEncode(document.release().sha256()) &&
         Concerns(document, row);
}

}  // namespace

bool Covers(const policy::v1::DeviceSelector& newer,
            const policy::v1::DeviceSelector& older) {
  return newer.all() ||
         google::protobuf::util::MessageDifferencer::Equals(newer, older);
}

absl::StatusOr<std::vector<std::string>> TakeOverWarnings(
    const Rollouts::Draft& draft, const Rollouts& rollouts) {
  SHOAL_ASSIGN_OR_RETURN(const auto others,
                         rollouts.OfType(draft.document.device_type()));
  std::vector<std::string> warnings;
  for (const store::RolloutRow& other : others) {
    const auto& document = other.rollout().document();
    // One that leads back supersedes none whole.
    if (HasEnded(other.rollout().state()) ||
        (draft.document.only_running_sha256().empty() &&
         Covers(draft.document.selector(), document.selector())))
      continue;
    const auto taken = std::count_if(
        draft.devices.begin(), draft.devices.end(), [&](const auto& row) {
          return Follows(row, document) &&
                 rules::PhaseOf(draft.document, FactsOf(row)) >= 0;
        });
    if (taken == 0) continue;
    warnings.push_back(
        fmt::format("takes over {} {} from {}, which goes on without {}", taken,
                    taken == 1 ? "device" : "devices", other.rollout().name(),
                    taken == 1 ? "it" : "them"));
  }
  return warnings;
}

}  // namespace shoal::server
