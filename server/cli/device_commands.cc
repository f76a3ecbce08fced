// shoal device.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/confirm.h"
#include "server/cli/device_view.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"

namespace shoal::cli {
namespace {

struct TicketOptions {
  std::string device_type;
  std::vector<std::string> labels;
  std::string lifetime = "24h";
  std::string out;
  bool no_qr = false;
  bool hold = false;
};
struct DeviceOptions {
  std::string device;
  std::string reason;
  bool dry_run = false;
  bool yes = false;
};

void PrintDevice(Program& program, const fleet::v1::Device& device) {
  program.Print(device, [&] { return DescribeDevice(device); });
}

absl::Status Ticket(Program& program, const TicketOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  SHOAL_ASSIGN_OR_RETURN(const absl::Duration lifetime,
                         ParseDuration(options.lifetime));
  fleet::v1::CreateClaimTicketRequest request;
  request.set_device_type(options.device_type);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  request.set_lifetime_seconds(absl::ToInt64Seconds(lifetime));
  request.set_hold(options.hold);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto ticket, plane->CreateClaimTicket(request));
  if (!options.out.empty()) {
    SHOAL_RETURN_IF_ERROR(
        program.fs().WriteAtomic(options.out, ticket.ticket() + "\n", 0600));
  }
  program.Print(ticket, [&] {
    std::string text;
    if (!options.no_qr) text += ticket.qr() + "\n";
    text += ticket.ticket() + "\n";
    return text;
  });
  program.Remark(
      fmt::format("good for one device until {}; shown once{}",
                  FormatSeconds(ticket.expires_at()),
                  options.out.empty() ? "" : ", also in " + options.out));
  return absl::OkStatus();
}

absl::Status Get(Program& program, const DeviceOptions& options) {
  fleet::v1::GetDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(options.device));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->GetDevice(request));
  PrintDevice(program, device);
  return absl::OkStatus();
}

absl::Status Decommission(Program& program, const DeviceOptions& options) {
  fleet::v1::DecommissionDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(options.device));
  request.set_reason(options.reason);
  request.set_validate_only(true);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  // First whether it could be, then the question.
  SHOAL_ASSIGN_OR_RETURN(auto device, plane->DecommissionDevice(request));
  if (!options.dry_run) {
    SHOAL_RETURN_IF_ERROR(
        Confirm(program,
                fmt::format("Decommission {} ({}, {})? It can't come back",
                            ShortName(device.name()), device.device_type(),
                            FormatLabels(device.labels())),
                options.yes));
    request.set_validate_only(false);
    SHOAL_ASSIGN_OR_RETURN(device, plane->DecommissionDevice(request));
  }
  PrintDevice(program, device);
  if (options.dry_run) program.Remark("a dry run: nothing was changed");
  return absl::OkStatus();
}

}  // namespace

void AddDeviceCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "device", "Devices of the fleet");
  auto ticket = std::make_shared<TicketOptions>();
  CLI::App* command = AddCommand(
      *group, "ticket", "A claim ticket with which one device may pair",
      "device ticket --type gateway\n"
      "device ticket --type gateway --label site=lab --lifetime 2h --out "
      "ticket.txt");
  command->add_option("--type", ticket->device_type, "Device type")->required();
  command
      ->add_option("--label", ticket->labels,
                   "key=value for the device; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--lifetime", ticket->lifetime,
                      "How long it may be used, at most 30d [24h]");
  command->add_option("--out", ticket->out, "Write the ticket to a file too");
  command->add_flag("--no-qr", ticket->no_qr, "Only the text");
  command->add_flag("--hold", ticket->hold,
                    "The device waits until 'shoal device accept'");
  OnRun(command, program, ticket, Ticket);

  AddDeviceListCommands(*group, program);
  AddDeviceTransferCommands(*group, program);

  auto get = std::make_shared<DeviceOptions>();
  command = AddCommand(*group, "get", "All about one device",
                       "device get 0123456789abcdef0123456789abcdef");
  command->add_option("device", get->device, "Device id")->required();
  OnRun(command, program, get, Get);

  auto gone = std::make_shared<DeviceOptions>();
  command = AddCommand(
      *group, "decommission", "Take a device out of the fleet; final",
      "device decommission 0123456789abcdef0123456789abcdef --reason stolen\n"
      "device decommission 0123456789abcdef0123456789abcdef --yes");
  command->add_option("device", gone->device, "Device id")->required();
  command->add_option("--reason", gone->reason, "Why, for the audit log");
  command->add_flag("--dry-run", gone->dry_run, "Only say what would be");
  command->add_flag("-y,--yes", gone->yes, "Do not ask");
  OnRun(command, program, gone, Decommission);
}

}  // namespace shoal::cli
