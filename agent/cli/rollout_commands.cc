// shoal-agent consent and postpone: the owner's word on a rollout.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>

#include "agent/cli/command.h"
#include "agent/link/requests.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/files.h"

namespace shoal::agent {
namespace {

struct Flags {
  std::string rollout;
  std::string length = "24h";
};

int Consent(const Shared& shared, const Flags& flags) {
  const auto config = shared.Config();
  if (!config.ok()) return PrintError(config.status(), false);
  const absl::Status given =
      GiveConsent(RealFileSystem(), *config, flags.rollout);
  return given.ok() ? 0 : PrintError(given, false);
}

int PutOff(const Shared& shared, const Flags& flags) {
  const auto config = shared.Config();
  if (!config.ok()) return PrintError(config.status(), false);
  absl::Duration length;
  if (!absl::ParseDuration(flags.length, &length) ||
      length < absl::ZeroDuration()) {
    std::cerr << "shoal-agent: --for is a time such as 4h or 30m\n";
    return kExitUsage;
  }
  const absl::Time now = SystemClock().WallNow();
  const absl::Status done =
      Postpone(RealFileSystem(), *config, flags.rollout, now + length, now);
  if (!done.ok()) return PrintError(done, false);
  std::cout << fmt::format(
      "{} is put off until {}, if it is optional.\n", flags.rollout,
      absl::FormatTime("%Y-%m-%d %H:%M", now + length, absl::LocalTimeZone()));
  return 0;
}

}  // namespace

void AddRolloutCommands(CLI::App& app, Shared& shared, Commands& commands) {
  auto consent_flags = std::make_shared<Flags>();
  CLI::App* consent =
      app.add_subcommand("consent", "Consent to a rollout at the device");
  AddConfig(consent, shared)->required();
  consent->add_option("rollout", consent_flags->rollout, "Rollout")->required();
  commands.push_back({consent, [consent_flags, &shared] {
                        return Consent(shared, *consent_flags);
                      }});

  auto flags = std::make_shared<Flags>();
  CLI::App* postpone = app.add_subcommand(
      "postpone",
      "Put off a rollout that is optional, at most 7 days and not beyond its "
      "deadline");
  AddConfig(postpone, shared)->required();
  postpone->add_option("--for", flags->length,
                       "How long from now, such as 4h; 0s ends it [24h]");
  postpone->add_option("rollout", flags->rollout, "Rollout")->required();
  commands.push_back(
      {postpone, [flags, &shared] { return PutOff(shared, *flags); }});
}

}  // namespace shoal::agent
