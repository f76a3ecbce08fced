#include "server/rollout/explain_fit.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "rules/compatibility.h"

namespace shoal::server {
namespace {

void Add(rollout::v1::Explanation& out, std::string name, bool met,
         std::string reason, std::string text) {
  auto* condition = out.add_conditions();
  condition->set_name(std::move(name));
  condition->set_state(met ? rollout::v1::CONDITION_STATE_MET
                           : rollout::v1::CONDITION_STATE_UNMET);
  condition->set_reason(std::move(reason));
  condition->set_explanation(std::move(text));
}

absl::StatusOr<store::ReleaseRow> ReleaseOf(const Store& store,
                                            const std::string& type,
                                            const std::string& version) {
  return store.Get<store::ReleaseRow>(kReleases, type + "/" + version);
}

}  // namespace

absl::Status ExplainFit(const Store& store, const store::DeviceRow& device,
                        const rollout::v1::RolloutDocument& document,
                        rollout::v1::Explanation& out) {
  const std::string& type = document.device_type();
  SHOAL_ASSIGN_OR_RETURN(const auto release,
                         ReleaseOf(store, type, document.release().version()));
  const auto& inventory = device.device().inventory();
  const rules::DeviceParts parts =
      rules::ReadParts({inventory.begin(), inventory.end()});
  std::vector<rules::ReleaseArtifact> artifacts;
  for (const auto& artifact : release.release().artifacts()) {
    rules::ReleaseArtifact one{artifact.name(), artifact.counter(), {}};
    one.needs.hardware = {artifact.hardware().begin(),
                          artifact.hardware().end()};
    for (const auto& need : artifact.needs())
      one.needs.needs.push_back({need.artifact(), need.min_counter()});
    artifacts.push_back(std::move(one));
  }
  for (const rules::Condition& one : rules::ReleaseConditions(parts, artifacts))
    Add(out, one.name, one.state == rules::Condition::State::kMet, one.reason,
        one.text);
  const std::string& version = device.device().running_version();
  const auto running = ReleaseOf(store, type, version);
  if (absl::IsNotFound(running.status())) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(running);
  const uint64_t floor = running->release().min_counter();
  const bool high = document.release().counter() >= floor;
  const bool own = std::any_of(
      document.previous().begin(), document.previous().end(),
      [&](const auto& previous) { return previous.counter() >= floor; });
  Add(out, "floor", high || own, "below_floor",
      fmt::format("{} runs, so nothing below counter {} may; {} has {}{}",
                  version, floor, document.release().version(),
                  document.release().counter(),
                  !high && own ? "; what the device ran before may do" : ""));
  return absl::OkStatus();
}

absl::Status ExplainLeft(const Rollouts& rollouts,
                         const store::DeviceRow& device,
                         rollout::v1::Explanation& out) {
  SHOAL_ASSIGN_OR_RETURN(const auto rows,
                         rollouts.OfType(device.device().device_type()));
  for (const store::RolloutRow& row : rows) {
    const auto& rollout = row.rollout();
    if (rollout.state() != rollout::v1::ROLLOUT_STATE_ABORTED ||
        HexEncode(rollout.document().release().sha256()) !=
            device.device().running_sha256())
      continue;
    Add(out, "way_back", false, "left_there",
        rollout.rolled_back_by().empty()
            ? rollout.name() + " was aborted and leads nobody back"
            : fmt::format("{} was aborted; {} does not select the device or is "
                          "at its end",
                          rollout.name(), rollout.rolled_back_by()));
    break;
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
