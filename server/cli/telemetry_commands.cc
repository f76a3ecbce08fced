// shoal telemetry.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"

namespace shoal::cli {
namespace {

struct TailOptions {
  std::string device;
  bool follow = false;
  uint32_t last = 10;
};

std::string SampleLines(const telemetry::v1::TailTelemetryResponse& batch) {
  std::string text;
  for (const auto& sample : batch.samples()) {
    const std::string value = sample.value_case() == records::v1::Sample::kData
                                  ? "hex:" + HexEncode(sample.data())
                                  : fmt::format("{}", sample.number());
    text += fmt::format("{} {} {} {}\n", FormatMillis(sample.time()),
                        ShortName(batch.device()), sample.name(), value);
  }
  return Printable(text, /*keep_lines=*/true);
}

absl::Status Tail(Program& program, const TailOptions& options) {
  telemetry::v1::TailTelemetryRequest request;
  if (!options.device.empty()) {
    SHOAL_ASSIGN_OR_RETURN(*request.mutable_device(),
                           DeviceName(options.device));
  }
  request.set_follow(options.follow);
  request.set_last(options.last);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  while (true) {
    const absl::Status status = plane->TailTelemetry(
        request, [&](const telemetry::v1::TailTelemetryResponse& batch) {
          // Where to go on after a break.
          request.set_after(batch.cursor());
          request.set_last(0);
          program.PrintLine(batch, [&] { return SampleLines(batch); });
          return absl::OkStatus();
        });
    const bool broken = !status.ok() && plane->reached() &&
                        ExitCodeOf(status) == kExitUnreachable;
    if (!options.follow || !broken) return status;
    program.Remark("shoald is away; waiting for it");
    absl::SleepFor(absl::Seconds(2));
  }
}

absl::Status Status(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto status, plane->GetTelemetryStatus());
  program.Print(status, [&] {
    Table table(
        {"DEVICE", "STREAM", "BATCHES", "HIGHEST", "MISSING", "DUPLICATES"});
    for (const auto& stream : status.streams()) {
      table.AddRow({ShortName(stream.device()), std::to_string(stream.stream()),
                    std::to_string(stream.batches()),
                    std::to_string(stream.highest_sequence()),
                    std::to_string(stream.missing()),
                    std::to_string(stream.duplicates())});
    }
    return table.Render(program.width());
  });
  return absl::OkStatus();
}

}  // namespace

void AddTelemetryCommands(CLI::App& app, Program& program) {
  CLI::App* group =
      AddGroup(app, "telemetry", "What devices measured, as shoald pulled it");
  auto tail = std::make_shared<TailOptions>();
  CLI::App* command = AddCommand(
      *group, "tail", "The newest samples",
      "telemetry tail\n"
      "telemetry tail --device 0123456789abcdef0123456789abcdef --last 100\n"
      "telemetry tail --follow --output json");
  command->add_option("--device", tail->device, "Only of this device");
  command->add_flag("--follow", tail->follow, "Go on until Ctrl-C");
  command->add_option("--last", tail->last,
                      "Begin with that many batches; 0: all [10]");
  OnRun(command, program, tail, Tail);
  OnRun(AddCommand(*group, "status",
                   "Per device and stream: how much arrived, what is missing",
                   "telemetry status"),
        program, std::make_shared<NoOptions>(), Status);
}

}  // namespace shoal::cli
