#include "server/cli/rollout_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "common/bytes.h"
#include "server/cli/output.h"
#include "server/cli/progress.h"
#include "server/rollout/rollout_state.h"

namespace shoal::cli {
namespace {

constexpr int kShownFailures = 5;

std::string DeltaText(const rollout::v1::Rollout& rollout) {
  const auto& deltas = rollout.deltas();
  return fmt::format("{}/{} made, {}; copies on {}/{} storage nodes",
                     deltas.made(), deltas.wanted(), HumanBytes(deltas.bytes()),
                     deltas.mirrors(), deltas.mirrors_wanted());
}

std::string ShortOperator(const std::string& principal) {
  return principal.substr(principal.find(':') + 1);
}

// What there is beside successes and failures, each by `format` of its name and
// number.
std::string Beside(const rollout::v1::PhaseProgress& phase,
                   fmt::string_view format) {
  std::string text;
  for (const auto& [name, number] : {std::pair("trying", phase.trying()),
                                     {"refused", phase.refused()},
                                     {"lost", phase.lost()}})
    if (number > 0) text += fmt::format(fmt::runtime(format), name, number);
  return text;
}

// What keeps a time from being said, for people.
std::string WaitText(const std::string& reason) {
  static const std::map<std::string, std::string, std::less<>> kTexts = {
      {"needs_approval", "waits for approval"},
      {"activation_held", "waits for 'rollout activate'"},
      {"success_ratio", "waits for more successes"},
      {"outside_window", "no window in sight"},
      {"devices_at_work", "takes longer than expected"},
      {"expired", "not before the rollout expires"},
      {"earlier_phase", "waits for the phase before"}};
  const auto text = kTexts.find(reason);
  return text == kTexts.end() ? "" : text->second;
}

// " (opens about T, done about T)", of a phase whose rollout goes on.
std::string TimesText(const rollout::v1::PhaseProgress& phase, bool active) {
  std::string text;
  const auto add = [&text](const std::string& more) {
    if (!more.empty()) text += (text.empty() ? "" : ", ") + more;
  };
  if (!phase.open())
    add(active && phase.opens_at() > 0
            ? "opens about " + FormatMillis(phase.opens_at())
            : "not open");
  const bool over = phase.succeeded() + phase.failed() + phase.refused() >=
                        phase.expected() &&
                    phase.trying() == 0;
  if (active && !over) {
    if (phase.answered_at() > 0)
      add("done about " + FormatMillis(phase.answered_at()));
    add(WaitText(phase.waits_for()));
  }
  return text.empty() ? "" : " (" + text + ")";
}

}  // namespace

std::string StateText(rollout::v1::RolloutState state) {
  return EnumText(rollout::v1::RolloutState_Name(state), "ROLLOUT_STATE_");
}

bool IsFinal(rollout::v1::RolloutState state) {
  return state == rollout::v1::ROLLOUT_STATE_HALTED || server::HasEnded(state);
}

std::string DescribeRollout(const rollout::v1::Rollout& rollout) {
  const auto& document = rollout.document();
  std::string text =
      fmt::format("rollout    {}  {}/{}\nstate      {}{}\n",
                  ShortName(rollout.name()), document.device_type(),
                  document.release().version(), StateText(rollout.state()),
                  rollout.message().empty() ? "" : ": " + rollout.message());
  text += fmt::format("published  {}\n", FormatMillis(rollout.published_at()));
  if (rollout.has_deltas()) {
    text += fmt::format("deltas     {}\n", DeltaText(rollout));
  }
  size_t width = 5;
  for (const auto& phase : rollout.phases()) {
    width = std::max(width, phase.name().size());
  }
  for (const auto& phase : rollout.phases()) {
    text += fmt::format(
        "  {:<{}} {} {}/{} done, {} failed{}{}\n", phase.name(), width,
        Bar(phase.succeeded() + phase.failed(), phase.expected()),
        phase.succeeded() + phase.failed(), phase.expected(), phase.failed(),
        Beside(phase, ", {1} {0}"),
        TimesText(phase, rollout.state() == rollout::v1::ROLLOUT_STATE_ACTIVE));
  }
  for (const auto& approval : rollout.approvals()) {
    text += fmt::format("  approved: phase {} by {} at {}\n", approval.phase(),
                        ShortOperator(approval.approver()),
                        FormatMillis(approval.time()));
  }
  if (!rollout.rolled_back_by().empty()) {
    text += fmt::format("  back by {}\n", ShortName(rollout.rolled_back_by()));
  }
  if (rollout.odd_outcomes() > 0 || rollout.stale_outcomes() > 0) {
    text += fmt::format(
        "  outcomes: {} late or by a wrong clock, {} old or repeated\n",
        rollout.odd_outcomes(), rollout.stale_outcomes());
  }
  int shown = 0;
  for (const auto& outcome : rollout.outcomes()) {
    if (outcome.success()) continue;
    if (++shown > kShownFailures) continue;
    text += fmt::format(
        "  {}: {} {} {}\n", outcome.refused() ? "refused" : "failed",
        ShortName(outcome.device()), outcome.reason(), outcome.message());
  }
  if (shown > kShownFailures) {
    text += fmt::format("  and {} more (--output json has all)\n",
                        shown - kShownFailures);
  }
  return Printable(text, /*keep_lines=*/true);
}

std::string RolloutLine(const rollout::v1::Rollout& rollout) {
  std::string text =
      fmt::format("rollout={} state={} published={}", ShortName(rollout.name()),
                  StateText(rollout.state()), rollout.published_at() != 0);
  for (const auto& phase : rollout.phases()) {
    text += fmt::format(
        " {}={}/{}{}{}{}", phase.name(), phase.succeeded() + phase.failed(),
        phase.expected(),
        phase.failed() > 0 ? fmt::format(",failed:{}", phase.failed()) : "",
        Beside(phase, ",{}:{}"), phase.open() ? "" : ",closed");
    if (phase.open()) continue;
    if (phase.opens_at() > 0)
      text += ",opens:" + FormatMillis(phase.opens_at());
    if (!phase.waits_for().empty()) text += ",waits:" + phase.waits_for();
  }
  if (rollout.state() == rollout::v1::ROLLOUT_STATE_PREPARING) {
    text += fmt::format(" deltas={}/{} mirrors={}/{}", rollout.deltas().made(),
                        rollout.deltas().wanted(), rollout.deltas().mirrors(),
                        rollout.deltas().mirrors_wanted());
  }
  if (rollout.phase_eta() > 0)
    text += " eta=" + FormatMillis(rollout.phase_eta());
  if (!rollout.message().empty()) text += " message=" + rollout.message();
  return Printable(text);
}

}  // namespace shoal::cli
