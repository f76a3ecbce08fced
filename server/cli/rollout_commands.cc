// shoal rollout, but halt (rollout_halt.cc).
#include <fmt/format.h>

#include "common/status.h"
#include "rules/approval.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"
#include "server/cli/rollout_explain.h"
#include "server/cli/rollout_halt.h"
#include "server/cli/rollout_options.h"
#include "server/cli/rollout_orders.h"
#include "server/cli/rollout_plan_view.h"
#include "server/cli/rollout_view.h"
#include "server/cli/rollout_watch.h"

namespace shoal::cli {
namespace {

struct NameOptions {
  std::string name;
  std::string timeout;
  std::string phase_name;
};

void PrintRollout(Program& program, const rollout::v1::Rollout& rollout) {
  program.Print(rollout, [&] { return DescribeRollout(rollout); });
}

absl::Status DryRun(Program& program, PlaneClient& plane,
                    const rollout::v1::CreateRolloutRequest& rollout) {
  rollout::v1::PlanRolloutRequest request;
  *request.mutable_rollout() = rollout;
  SHOAL_ASSIGN_OR_RETURN(const auto plan, plane.PlanRollout(request));
  program.Remark("dry run: nothing was changed");
  program.Print(plan, [&] { return DescribePlan(plan); });
  return absl::OkStatus();
}

absl::Status Create(Program& program, const RolloutOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(
      const auto request,
      RolloutRequestOf(program.fs(), options, program.clock().WallNow()));
  if (request.phases_size() == 1) {
    program.Remark("one phase: all devices at once");
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  if (options.dry_run) return DryRun(program, *plane, request);
  SHOAL_ASSIGN_OR_RETURN(const auto rollout, plane->CreateRollout(request));
  for (const std::string& warning : rollout.warnings())
    program.Remark("warning: " + warning);
  if (!options.wait_published) {
    PrintRollout(program, rollout);
    return absl::OkStatus();
  }
  rollout::v1::Rollout last = rollout;
  SHOAL_RETURN_IF_ERROR(FollowRollout(
      program, rollout.name(), absl::InfiniteDuration(),
      [](const rollout::v1::Rollout& now) { return now.published_at() != 0; },
      &last));
  // What came after it was published is for "rollout watch": devices may well
  // halt it before the change is seen here.
  return last.published_at() != 0 ? absl::OkStatus() : ResultOf(last);
}

absl::Status List(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  rollout::v1::ListRolloutsRequest request;
  request.set_page_size(1000);
  rollout::v1::ListRolloutsResponse all;
  do {
    SHOAL_ASSIGN_OR_RETURN(auto page, plane->ListRollouts(request));
    all.mutable_rollouts()->MergeFrom(page.rollouts());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  program.Print(all, [&] {
    Table table({"ID", "RELEASE", "STATE", "PHASE", "OK", "FAILED", "CREATED"});
    for (const auto& rollout : all.rollouts()) {
      uint32_t succeeded = 0, failed = 0;
      std::string open;
      for (const auto& phase : rollout.phases()) {
        succeeded += phase.succeeded();
        failed += phase.failed();
        if (phase.open()) open = phase.name();
      }
      table.AddRow({ShortName(rollout.name()),
                    rollout.document().device_type() + "/" +
                        rollout.document().release().version(),
                    StateText(rollout.state()), open, std::to_string(succeeded),
                    std::to_string(failed),
                    FormatMillis(rollout.created_at())});
    }
    return table.Render(program.width());
  });
  return absl::OkStatus();
}

absl::StatusOr<rollout::v1::Rollout> Load(Program& program,
                                          const std::string& id) {
  rollout::v1::GetRolloutRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), RolloutName(id));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->GetRollout(request);
}

// All outcomes for whoever reads JSON or YAML; people see those that went
// wrong.
absl::Status Get(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(auto rollout, Load(program, options.name));
  if (rollout.outcome_count() >
      static_cast<uint32_t>(rollout.outcomes_size())) {
    SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
    rollout.clear_outcomes();
    rollout::v1::ListOutcomesRequest request;
    request.set_parent(rollout.name());
    request.set_page_size(1000);
    request.set_not_succeeded(!program.json());
    do {
      SHOAL_ASSIGN_OR_RETURN(auto page, plane->ListOutcomes(request));
      rollout.mutable_outcomes()->MergeFrom(page.outcomes());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
  }
  PrintRollout(program, rollout);
  return absl::OkStatus();
}

absl::Status Watch(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::string name, RolloutName(options.name));
  absl::Duration timeout = absl::InfiniteDuration();
  if (!options.timeout.empty()) {
    SHOAL_ASSIGN_OR_RETURN(timeout, ParseDuration(options.timeout));
  }
  rollout::v1::Rollout last;
  SHOAL_RETURN_IF_ERROR(FollowRollout(
      program, name, timeout, [](const rollout::v1::Rollout&) { return false; },
      &last));
  return ResultOf(last);
}

// The phase to open: a name, a number, or the first that is not open.
absl::StatusOr<uint32_t> WhichPhase(const rollout::v1::Rollout& rollout,
                                    const std::string& wanted) {
  for (int i = 0; i < rollout.phases_size(); ++i) {
    const auto& phase = rollout.phases(i);
    if (wanted.empty()
            ? !phase.open()
            : (phase.name() == wanted || std::to_string(i) == wanted)) {
      return static_cast<uint32_t>(i);
    }
  }
  if (wanted.empty()) {
    return FailedPrecondition("nothing_to_approve",
                              "every phase of the rollout is open");
  }
  return UsageError(fmt::format("the rollout has no phase '{}'", wanted));
}

absl::Status Approve(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto rollout, Load(program, options.name));
  rollout::v1::ApprovePhaseRequest request;
  request.set_name(rollout.name());
  request.set_etag(rollout.etag());
  SHOAL_ASSIGN_OR_RETURN(const uint32_t phase,
                         WhichPhase(rollout, options.phase_name));
  request.set_phase(phase);
  // Devices whose access policy asks for approvals count signed ones alone.
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto key,
                         LoadOperatorKey(program.fs(), context->operator_dir));
  request.set_signature(
      key.Sign(rules::ApprovalInput(rollout.document(), phase)));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto updated, plane->ApprovePhase(request));
  PrintRollout(program, updated);
  return absl::OkStatus();
}

void AddCreate(CLI::App* group, Program& program) {
  auto options = std::make_shared<RolloutOptions>();
  CLI::App* command = AddCommand(
      *group, "create", "Start a rollout of a release",
      "rollout create --release gateway/1.4.0 --phase "
      "'canary:count=5,soak=1h,success=100%,min=5' --phase 'all:percent=100'\n"
      "rollout create --release gateway/1.4.0 --label site=lab --unattended "
      "--wait-published\n"
      "rollout create -f canary.yaml --dry-run");
  command->add_option("-f,--file", options->file,
                      "YAML file with the whole policy (docs/rollouts.md), or "
                      "TOML file with these options; flags win");
  command->add_option("--release", options->release, "TYPE/VERSION");
  command->add_option("--id", options->id, "Its id [shoald makes one]");
  const auto repeated = [command](const char* name,
                                  std::vector<std::string>& values,
                                  const char* help) {
    command->add_option(name, values, help)->allow_extra_args(false);
  };
  repeated("--phase", options->phases,
           "NAME:count=N or NAME:percent=P, then soak=10m, success=95%, "
           "min=20, manual, label.KEY=VALUE; may be repeated "
           "[all:percent=100]");
  repeated("--label", options->labels,
           "Only devices with this label; may be repeated");
  repeated("--device", options->devices, "Only this device; may be repeated");
  repeated("--group", options->groups,
           "Only devices of this group; one of several is enough");
  repeated("--window", options->windows,
           "Device-local time: '22:00-04:00', '1-5 22:00-04:00'");
  command->add_option("--error-threshold", options->error_threshold,
                      "Share of failures that halts it [10%]");
  command->add_option("--lifetime", options->lifetime,
                      "Nothing starts after that [30d]");
  command->add_option("--max-attempts", options->max_attempts,
                      "Tries of one device, 1 to 10 [3]");
  command->add_option("--delta-wait", options->delta_wait,
                      "How long to wait for deltas before devices without one "
                      "take the full image: all, none, 30m [all]");
  command->add_flag("--unattended", options->unattended,
                    "Time gates may open while shoald is down");
  command->add_flag("--wait-published", options->wait_published,
                    "Return when the fleet can go on without shoald");
  command->add_flag("--dry-run", options->dry_run,
                    "Say which devices, bytes, time, and what holds without "
                    "shoald; change nothing");
  OnRun(command, program, options, Create);
}

// Null when the tool has no "device" commands.
CLI::App* DeviceGroup(CLI::App& app) {
  const auto groups = app.get_subcommands(
      [](const CLI::App* group) { return group->get_name() == "device"; });
  return groups.empty() ? nullptr : groups.front();
}

}  // namespace

void AddRolloutCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "rollout", "Staged updates of devices");
  AddCreate(group, program);
  OnRun(AddCommand(*group, "list", "All rollouts", "rollout list"), program,
        std::make_shared<NoOptions>(), List);

  auto get = std::make_shared<NameOptions>();
  CLI::App* command =
      AddCommand(*group, "get", "All about one rollout",
                 "rollout get r-7\nrollout get r-7 --output json");
  command->add_option("rollout", get->name, "Its id")->required();
  OnRun(command, program, get, Get);

  auto watch = std::make_shared<NameOptions>();
  command = AddCommand(*group, "watch",
                       "Follow a rollout to its end; exit code 0 when it "
                       "finished, 1 when it failed or was halted",
                       "rollout watch r-7\n"
                       "rollout watch r-7 --timeout 2h --output json");
  command->add_option("rollout", watch->name, "Its id")->required();
  command->add_option("--timeout", watch->timeout, "Give up then (exit 3)");
  OnRun(command, program, watch, Watch);

  auto approve = std::make_shared<NameOptions>();
  command = AddCommand(*group, "approve",
                       "Approve a phase, signed with your own key: opens a "
                       "manual gate, and counts at devices whose policy asks "
                       "for approvals",
                       "rollout approve r-7\nrollout approve r-7 --phase all");
  command->add_option("rollout", approve->name, "Its id")->required();
  command->add_option("--phase", approve->phase_name,
                      "Name or number of the phase to open [the next]");
  OnRun(command, program, approve, Approve);

  AddHaltCommand(*group, program);
  AddOrderCommands(*group, program);
  AddExplainCommands(*group, DeviceGroup(app), program);
}

}  // namespace shoal::cli
