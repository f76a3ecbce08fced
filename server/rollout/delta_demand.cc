#include "server/rollout/delta_demand.h"

#include <algorithm>
#include <iterator>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/rollout/plan.h"

namespace shoal::server {

absl::StatusOr<std::vector<DeltaDemand>> DemandOfRollout(
    const Releases& releases, const store::RolloutRow& row) {
  const auto& document = row.rollout().document();
  std::vector<DeltaDemand> demands;
  const auto add = [&](const rollout::v1::ReleaseRef& ref) -> absl::Status {
    DeltaDemand demand;
    SHOAL_ASSIGN_OR_RETURN(
        demand.release,
        releases.Row(fmt::format("releases/{}/{}", document.device_type(),
                                 ref.version())));
    demand.only_from = HexEncode(document.only_running_sha256());
    demands.push_back(std::move(demand));
    return absl::OkStatus();
  };
  SHOAL_RETURN_IF_ERROR(add(document.release()));
  for (const auto& previous : document.previous())
    SHOAL_RETURN_IF_ERROR(add(previous));
  return demands;
}

absl::StatusOr<std::vector<DeltaDemand>> DemandOfPlane(
    const Rollouts& rollouts, const Releases& releases) {
  SHOAL_ASSIGN_OR_RETURN(auto rows, rollouts.Live());
  std::erase_if(rows, [](const store::RolloutRow& row) {
    return IsFinal(row.rollout().state());
  });
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.document_signed() != b.document_signed() ? !a.document_signed()
                                                      : Rank(a) > Rank(b);
  });
  std::vector<DeltaDemand> demands;
  for (const store::RolloutRow& row : rows) {
    SHOAL_ASSIGN_OR_RETURN(auto own, DemandOfRollout(releases, row));
    demands.insert(demands.end(), std::make_move_iterator(own.begin()),
                   std::make_move_iterator(own.end()));
  }
  SHOAL_ASSIGN_OR_RETURN(auto all, releases.All());
  std::map<std::string, store::ReleaseRow> newest;  // by device type
  for (store::ReleaseRow& row : all) {
    const auto& release = row.release();
    auto& best = newest[release.device_type()];
    if (best.release().name().empty() ||
        release.counter() >= best.release().counter())
      best = std::move(row);
  }
  for (auto& [type, row] : newest) demands.push_back({std::move(row), ""});
  return demands;
}

uint32_t DeltaIndexes::deltas() const {
  uint32_t count = 0;
  for (const auto& [target, index] : by_target)
    count += static_cast<uint32_t>(index.deltas_size());
  return count;
}

absl::StatusOr<DeltaIndexes> IndexesOf(const Releases& releases,
                                       const Deltas& deltas,
                                       const store::RolloutRow& row) {
  SHOAL_ASSIGN_OR_RETURN(const auto demands, DemandOfRollout(releases, row));
  DeltaIndexes indexes;
  for (const DeltaDemand& demand : demands) {
    SHOAL_ASSIGN_OR_RETURN(auto progress, deltas.ProgressOf(demand));
    indexes.wanted += progress.wanted;
    indexes.made += progress.made;
    indexes.bytes += progress.bytes;
    if (progress.index.deltas().empty()) continue;
    const auto& release = demand.release.release();
    indexes
        .by_target[DeltaIndexTarget(release.device_type(), release.version())] =
        std::move(progress.index);
  }
  return indexes;
}

}  // namespace shoal::server
