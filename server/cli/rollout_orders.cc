#include "server/cli/rollout_orders.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/confirm.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"
#include "server/cli/rollout_view.h"

namespace shoal::cli {
namespace {

struct OrderOptions {
  std::string name;
  std::string reason;
  std::string back_to;
  bool stay = false;
  bool accept_failures = false;
  bool yes = false;
};

absl::StatusOr<rollout::v1::Rollout> Load(Program& program,
                                          const std::string& id) {
  rollout::v1::GetRolloutRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), RolloutName(id));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->GetRollout(request);
}

absl::Status Print(Program& program,
                   const absl::StatusOr<rollout::v1::Rollout>& rollout) {
  SHOAL_RETURN_IF_ERROR(rollout);
  program.Print(*rollout, [&] { return DescribeRollout(*rollout); });
  return absl::OkStatus();
}

absl::Status Pause(Program& program, const OrderOptions& options) {
  rollout::v1::PauseRolloutRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), RolloutName(options.name));
  request.set_reason(options.reason);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return Print(program, plane->PauseRollout(request));
}

absl::Status Resume(Program& program, const OrderOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto rollout, Load(program, options.name));
  const bool halted = rollout.state() == rollout::v1::ROLLOUT_STATE_HALTED;
  if (halted || options.accept_failures) {
    SHOAL_RETURN_IF_ERROR(Confirm(
        program,
        fmt::format("{} is {}{}. Let devices start it again?",
                    ShortName(rollout.name()), StateText(rollout.state()),
                    rollout.message().empty() ? "" : ": " + rollout.message()),
        options.yes));
  }
  rollout::v1::ResumeRolloutRequest request;
  request.set_name(rollout.name());
  request.set_etag(rollout.etag());
  request.set_accept_failures(options.accept_failures);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return Print(program, plane->ResumeRollout(request));
}

absl::Status Activate(Program& program, const OrderOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto rollout, Load(program, options.name));
  SHOAL_RETURN_IF_ERROR(
      Confirm(program,
              fmt::format("Let devices restart into {}/{}?",
                          rollout.document().device_type(),
                          rollout.document().release().version()),
              options.yes));
  rollout::v1::ActivateRolloutRequest request;
  request.set_name(rollout.name());
  request.set_etag(rollout.etag());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return Print(program, plane->ActivateRollout(request));
}

absl::Status Abort(Program& program, const OrderOptions& options) {
  if (options.stay && !options.back_to.empty()) {
    return UsageError("--stay and --back-to contradict each other");
  }
  SHOAL_ASSIGN_OR_RETURN(const auto rollout, Load(program, options.name));
  uint32_t succeeded = 0;
  for (const auto& phase : rollout.phases()) succeeded += phase.succeeded();
  rollout::v1::AbortRolloutRequest request;
  request.set_name(rollout.name());
  // What was asked about is what is ended.
  request.set_etag(rollout.etag());
  request.set_reason(options.reason);
  request.set_stay(options.stay);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  if (!options.back_to.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const ReleaseId release,
                           ParseReleaseId(options.back_to));
    request.set_back_to(release.Name());
  }
  SHOAL_RETURN_IF_ERROR(Confirm(
      program,
      fmt::format(
          "End {} for good, and {}?", ShortName(rollout.name()),
          options.stay
              ? "leave the devices where they are"
              : fmt::format("lead {} devices that took it back to {}",
                            succeeded,
                            options.back_to.empty() ? "the release before"
                                                    : options.back_to)),
      options.yes));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return Print(program, plane->AbortRollout(request));
}

}  // namespace

void AddOrderCommands(CLI::App& rollouts, Program& program) {
  const auto add = [&](const char* name, const char* description,
                       const char* examples, auto run) {
    auto options = std::make_shared<OrderOptions>();
    CLI::App* command = AddCommand(rollouts, name, description, examples);
    command->add_option("rollout", options->name, "Its id")->required();
    OnRun(command, program, options, run);
    return std::pair(command, options);
  };
  const auto yes = [](CLI::App* command, OrderOptions& options) {
    command->add_flag("-y,--yes", options.yes, "Do not ask");
  };
  auto [pause, pause_options] =
      add("pause", "No device starts it until it is resumed",
          "rollout pause r-7 --reason 'trade fair'", Pause);
  pause->add_option("--reason", pause_options->reason,
                    "Why, for everybody to see");
  auto [resume, resume_options] = add(
      "resume", "Go on with what was paused or halted; lifts its halts",
      "rollout resume r-7\nrollout resume r-7 --accept-failures --yes", Resume);
  resume->add_flag("--accept-failures", resume_options->accept_failures,
                   "Although too many devices failed: count those no longer");
  yes(resume, *resume_options);
  auto [activate, activate_options] =
      add("activate", "Devices that hold the installed image may restart",
          "rollout activate r-7", Activate);
  yes(activate, *activate_options);
  auto [abort, abort_options] =
      add("abort",
          "End it for good and lead the devices that took it back to the "
          "release before",
          "rollout abort r-7 --reason 'modem drops'\n"
          "rollout abort r-7 --back-to gateway/1.3.0 --yes\n"
          "rollout abort r-7 --stay",
          Abort);
  abort->add_option("--reason", abort_options->reason,
                    "Why, for everybody to see");
  abort->add_option("--back-to", abort_options->back_to,
                    "TYPE/VERSION [the release before]");
  abort->add_flag("--stay", abort_options->stay, "Lead nobody back");
  yes(abort, *abort_options);
}

}  // namespace shoal::cli
