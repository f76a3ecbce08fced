// shoal device export and import.
#include <fmt/format.h>

#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/confirm.h"
#include "server/cli/device_table.h"
#include "server/cli/device_view.h"
#include "server/cli/exit_code.h"
#include "server/cli/progress.h"

namespace shoal::cli {
namespace {

constexpr size_t kMaxImportBytes = 256u << 20;

struct ExportOptions {
  std::string filter;
  std::string format;
  std::string out;
};
struct ImportOptions {
  std::string file;
  std::string format;
  bool merge = false;
  bool dry_run = false;
  bool yes = false;
};

// "csv" or "json": what was said, else what the file's name says.
std::string FormatOf(const std::string& format, const std::string& file) {
  if (!format.empty()) return format;
  return file.ends_with(".json") || file.ends_with(".jsonl") ? "json" : "csv";
}

absl::Status Export(Program& program, const ExportOptions& options) {
  fleet::v1::ExportDevicesRequest request;
  request.set_filter(options.filter);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  const bool json = FormatOf(options.format, options.out) == "json";
  // CSV: the first line needs every label key, so all devices are held.
  std::vector<fleet::v1::Device> devices;
  std::string text;
  SHOAL_RETURN_IF_ERROR(
      plane->ExportDevices(request, [&](const fleet::v1::Device& device) {
        if (json) {
          text += MessageToJson(device, /*pretty=*/false) + "\n";
        } else {
          devices.push_back(device);
        }
        return absl::OkStatus();
      }));
  if (!json) text = DevicesToCsv(devices);
  if (options.out.empty()) {
    program.PrintText(text);
    return absl::OkStatus();
  }
  return program.fs().WriteAtomic(options.out, text, 0644);
}

absl::Status Import(Program& program, const ImportOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         program.fs().Read(options.file, kMaxImportBytes));
  const bool json = FormatOf(options.format, options.file) == "json";
  const auto devices = json ? DevicesFromJson(text) : DevicesFromCsv(text);
  if (!devices.ok()) return Annotate(devices.status(), options.file);
  if (!options.dry_run) {
    SHOAL_RETURN_IF_ERROR(
        Confirm(program,
                fmt::format("{} labels and static groups of {} devices",
                            options.merge ? "Add" : "Replace", devices->size()),
                options.yes));
  }
  fleet::v1::ImportOptions how;
  how.set_merge(options.merge);
  how.set_validate_only(options.dry_run);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  size_t next = 0;
  ProgressLine progress(program.streams().err,
                        program.streams().err_is_terminal && !program.json(),
                        program.clock(), "importing", devices->size());
  SHOAL_ASSIGN_OR_RETURN(
      const auto done,
      plane->ImportDevices(how, [&]() -> const fleet::v1::DeviceImport* {
        progress.Update(next);
        return next < devices->size() ? &(*devices)[next++] : nullptr;
      }));
  program.Print(done, [&] {
    std::string report =
        fmt::format("{} devices {}, {} unchanged, {} failed\n", done.changed(),
                    options.dry_run ? "would change" : "changed",
                    done.unchanged(), done.failed());
    for (const auto& failure : done.failures()) {
      report += Printable(fmt::format(
                    "  {}: {} ({})",
                    failure.name().empty()
                        ? fmt::format("device {}", failure.position())
                        : ShortName(failure.name()),
                    failure.message(), failure.reason())) +
                "\n";
    }
    return report;
  });
  if (done.failed() == 0) return absl::OkStatus();
  return FailedPrecondition(
      "import_incomplete",
      fmt::format("{} devices were not taken over", done.failed()));
}

}  // namespace

void AddDeviceTransferCommands(CLI::App& group, Program& program) {
  const auto formats = CLI::IsMember({"csv", "json"});
  auto out = std::make_shared<ExportOptions>();
  CLI::App* command = AddCommand(
      group, "export", "Devices with labels and groups, as CSV or JSON lines",
      "device export > devices.csv\n"
      "device export --filter 'labels.site = lab' --out lab.json");
  command->add_option("--filter", out->filter,
                      "Only devices that it selects (docs/filters.md)");
  command->add_option("--format", out->format, "csv or json [by --out, csv]")
      ->check(formats);
  command->add_option("--out", out->out, "A file instead of standard output");
  OnRun(command, program, out, Export);

  auto in = std::make_shared<ImportOptions>();
  command =
      AddCommand(group, "import",
                 "Set labels and static groups of many devices from a file",
                 "device import devices.csv --dry-run\n"
                 "device import devices.csv --merge --yes");
  command->add_option("file", in->file, "What device export wrote")->required();
  command->add_option("--format", in->format, "csv or json [by the name, csv]")
      ->check(formats);
  command->add_flag("--merge", in->merge,
                    "Keep labels and groups that the file does not name");
  command->add_flag("--dry-run", in->dry_run, "Only say what would be");
  command->add_flag("-y,--yes", in->yes, "Do not ask");
  OnRun(command, program, in, Import);
}

}  // namespace shoal::cli
