#include "server/cli/rollout_plan_view.h"

#include <fmt/format.h>

#include <map>

#include "common/bytes.h"
#include "server/cli/output.h"

namespace shoal::cli {
namespace {

constexpr int kShownDevices = 20;

std::string HowItComes(const rollout::v1::PlannedDevice& device) {
  if (device.up_to_date()) return "runs it";
  return device.delta() ? "delta" : "full";
}

}  // namespace

std::string ShortDuration(int64_t seconds) {
  constexpr std::pair<int64_t, char> kUnits[] = {
      {86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
  if (seconds <= 0) return "0s";
  std::string text;
  int units = 0;
  for (const auto& [length, letter] : kUnits) {
    if (seconds >= length) {
      text += fmt::format("{}{}", seconds / length, letter);
      seconds %= length;
      if (++units == 2) break;
    } else if (units > 0) {
      break;
    }
  }
  return text;
}

std::string DescribePlan(const rollout::v1::RolloutPlan& plan) {
  const auto& document = plan.document();
  int64_t total = 0;
  for (const auto& phase : plan.phases()) total += phase.seconds();
  std::string text = fmt::format(
      "rollout   {}  {}/{}\ndevices   {}, {} of them run it already\n"
      "bytes     {}\ntime      at least {}\n\n",
      document.id(), document.device_type(), document.release().version(),
      plan.total_devices(), plan.up_to_date(), HumanBytes(plan.total_bytes()),
      ShortDuration(total));
  Table phases({"PHASE", "DEVICES", "DELTA", "BYTES", "TIME"});
  for (const auto& phase : plan.phases()) {
    phases.AddRow({phase.name(), std::to_string(phase.devices()),
                   std::to_string(phase.with_delta()),
                   HumanBytes(phase.bytes()), ShortDuration(phase.seconds())});
  }
  text += phases.Render() + "\n";
  if (plan.devices_size() > 0) {
    Table devices({"DEVICE", "PHASE", "RUNS", "BY", "BYTES"});
    for (int i = 0; i < plan.devices_size() && i < kShownDevices; ++i) {
      const auto& device = plan.devices(i);
      const int phase = static_cast<int>(device.phase());
      devices.AddRow(
          {ShortName(device.device()),
           phase < plan.phases_size() ? plan.phases(phase).name()
                                      : std::to_string(phase),
           device.running_version().empty() ? "-" : device.running_version(),
           HowItComes(device), HumanBytes(device.bytes())});
    }
    text += devices.Render();
    if (plan.total_devices() > kShownDevices) {
      text += fmt::format("and {} more (--output json has 1,000)\n",
                          plan.total_devices() - kShownDevices);
    }
    text += "\n";
  }
  Table promises({"WITHOUT SHOALD", "HOLDS", "HOW"});
  for (const auto& promise : plan.promises()) {
    promises.AddRow({promise.name(), promise.holds() ? "yes" : "no",
                     promise.explanation()});
  }
  text += promises.Render();
  for (const std::string& warning : plan.warnings())
    text += fmt::format("warning: {}\n", warning);
  return Printable(text, /*keep_lines=*/true);
}

std::string DescribeExplanation(const rollout::v1::Explanation& explanation) {
  std::string text;
  if (!explanation.device().empty())
    text += fmt::format("device   {}\n", ShortName(explanation.device()));
  if (!explanation.rollout().empty())
    text += fmt::format("rollout  {}\n", ShortName(explanation.rollout()));
  text += explanation.summary() + "\n\n";
  Table table({"", "CONDITION", "FACTS"});
  for (const auto& condition : explanation.conditions()) {
    const bool unmet = condition.state() == rollout::v1::CONDITION_STATE_UNMET;
    table.AddRow({condition.state() == rollout::v1::CONDITION_STATE_MET ? "ok"
                  : unmet                                               ? "NO"
                                                                        : "?",
                  condition.name(),
                  condition.explanation() +
                      (unmet ? fmt::format(" ({})", condition.reason()) : "")});
  }
  text += table.Render();
  const std::map<std::string, uint32_t> waiting(explanation.waiting().begin(),
                                                explanation.waiting().end());
  if (!waiting.empty()) text += "\ndevices that have not answered:\n";
  for (const auto& [reason, count] : waiting)
    text += fmt::format("  {:>6}  {}\n", count, reason);
  return Printable(text, /*keep_lines=*/true);
}

}  // namespace shoal::cli
