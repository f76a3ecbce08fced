#include "server/cli/rollout_explain.h"

#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/parse.h"
#include "server/cli/rollout_plan_view.h"

namespace shoal::cli {
namespace {

struct ExplainOptions {
  std::string device;
  std::string rollout;
};

absl::Status ExplainRollout(Program& program, const ExplainOptions& options) {
  rollout::v1::ExplainRolloutRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), RolloutName(options.rollout));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto answer, plane->ExplainRollout(request));
  program.Print(answer, [&] { return DescribeExplanation(answer); });
  return absl::OkStatus();
}

absl::Status ExplainDevice(Program& program, const ExplainOptions& options) {
  rollout::v1::ExplainDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_device(), DeviceName(options.device));
  if (!options.rollout.empty()) {
    SHOAL_ASSIGN_OR_RETURN(*request.mutable_rollout(),
                           RolloutName(options.rollout));
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto answer, plane->ExplainDevice(request));
  program.Print(answer, [&] { return DescribeExplanation(answer); });
  return absl::OkStatus();
}

}  // namespace

void AddExplainCommands(CLI::App& rollouts, CLI::App* devices,
                        Program& program) {
  auto rollout = std::make_shared<ExplainOptions>();
  CLI::App* command =
      AddCommand(rollouts, "explain",
                 "Why a rollout is where it is: each condition, met or not",
                 "rollout explain r-7\nrollout explain r-7 --output json");
  command->add_option("rollout", rollout->rollout, "Its id")->required();
  OnRun(command, program, rollout, ExplainRollout);
  if (devices == nullptr) return;
  auto device = std::make_shared<ExplainOptions>();
  command = AddCommand(
      *devices, "explain",
      "Why a device does not update: each condition, met or not",
      "device explain 0123456789abcdef0123456789abcdef\n"
      "device explain 0123456789abcdef0123456789abcdef --rollout r-7");
  command->add_option("device", device->device, "Device id")->required();
  command->add_option("--rollout", device->rollout,
                      "This rollout [the newest that selects the device]");
  OnRun(command, program, device, ExplainDevice);
}

}  // namespace shoal::cli
