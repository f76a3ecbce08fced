// shoal device.
#include <fmt/format.h>

#include <cctype>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
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
struct FilterOptions {
  std::string device_type;
  std::vector<std::string> labels;
  std::vector<std::string> states;
};
struct DeviceOptions {
  std::string device;
  std::vector<std::string> changes;
  std::string reason;
};

std::string StateOf(const fleet::v1::Device& device) {
  return EnumText(fleet::v1::EnrolmentState_Name(device.state()),
                  "ENROLMENT_STATE_");
}

void AddDeviceRow(Table& table, const fleet::v1::Device& device,
                  absl::Time now) {
  table.AddRow({ShortName(device.name()), StateOf(device), device.device_type(),
                device.running_version(), FormatLabels(device.labels()),
                FormatAge(device.last_seen_at(), now),
                device.waiting_reason()});
}

Table DeviceTable() {
  return Table({"ID", "STATE", "TYPE", "VERSION", "LABELS", "SEEN", "WAITING"});
}

std::string Describe(const fleet::v1::Device& device) {
  std::string text = fmt::format(
      "id               {}\nstate            {}\ntype             {}\n"
      "labels           {}\nrunning          {} (counter {})\n"
      "image            {}\npolicy version   {}\nagent            {}\n"
      "enrolled         {}\nlast seen        {}\nwaiting          {}\n",
      ShortName(device.name()), StateOf(device), device.device_type(),
      FormatLabels(device.labels()), device.running_version(),
      device.running_counter(), device.running_sha256(),
      device.policy_version(), device.agent_version(),
      FormatMillis(device.enrolled_at()), FormatMillis(device.last_seen_at()),
      device.waiting_reason().empty() ? "-" : device.waiting_reason());
  text += fmt::format("release log      {} entries\n", device.log_size());
  if (!device.log_alarm().empty()) {
    text += fmt::format("LOG ALARM        {}: {}\n", device.log_alarm(),
                        device.log_alarm_text());
  }
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<16} {}\n", name, value);
  };
  line("fingerprint", device.fingerprint());
  line("came by", device.origin());
  line("manufacturer", device.manufacturer());
  line("serial number", device.serial_number());
  line("turned away", device.reason());
  const std::map<std::string, std::string> inventory(device.inventory().begin(),
                                                     device.inventory().end());
  for (const auto& [name, value] : inventory) {
    text += fmt::format("  {:<14} {}\n", name, value);
  }
  return Printable(text, /*keep_lines=*/true);
}

void PrintDevice(Program& program, const fleet::v1::Device& device) {
  program.Print(device, [&] { return Describe(device); });
}

absl::StatusOr<fleet::v1::EnrolmentState> ParseEnrolmentState(
    const std::string& text) {
  std::string name = "ENROLMENT_STATE_";
  for (const char c : text) {
    name += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  fleet::v1::EnrolmentState state;
  if (fleet::v1::EnrolmentState_Parse(name, &state) &&
      state != fleet::v1::ENROLMENT_STATE_UNSPECIFIED) {
    return state;
  }
  return InvalidArgument("bad_state",
                         "--state is pending, preauthorized, accepted, "
                         "rejected or decommissioned");
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

absl::Status List(Program& program, const FilterOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  fleet::v1::ListDevicesRequest request;
  request.set_page_size(1000);
  request.set_device_type(options.device_type);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  for (const std::string& text : options.states) {
    SHOAL_ASSIGN_OR_RETURN(const auto state, ParseEnrolmentState(text));
    request.add_states(state);
  }
  fleet::v1::ListDevicesResponse all;
  do {
    SHOAL_ASSIGN_OR_RETURN(auto page, plane->ListDevices(request));
    all.mutable_devices()->MergeFrom(page.devices());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  program.Print(all, [&] {
    Table table = DeviceTable();
    for (const auto& device : all.devices()) {
      AddDeviceRow(table, device, program.clock().WallNow());
    }
    return table.Render();
  });
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

absl::Status Watch(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->WatchDevices([&](const fleet::v1::Device& device) {
    program.PrintLine(device, [&] {
      return Printable(fmt::format(
                 "{} {} {} type={} version={} labels={}{}",
                 FormatMillis(absl::ToUnixMillis(program.clock().WallNow())),
                 ShortName(device.name()), StateOf(device),
                 device.device_type(),
                 device.running_version().empty() ? "-"
                                                  : device.running_version(),
                 FormatLabels(device.labels()),
                 device.waiting_reason().empty()
                     ? ""
                     : " waiting=" + device.waiting_reason())) +
             "\n";
    });
    return absl::OkStatus();
  });
}

absl::Status Label(Program& program, const DeviceOptions& options) {
  fleet::v1::GetDeviceRequest get;
  SHOAL_ASSIGN_OR_RETURN(*get.mutable_name(), DeviceName(options.device));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->GetDevice(get));
  SHOAL_ASSIGN_OR_RETURN(
      const Labels labels,
      ApplyLabelChanges(Labels(device.labels().begin(), device.labels().end()),
                        options.changes));
  fleet::v1::UpdateDeviceLabelsRequest request;
  request.set_name(device.name());
  request.set_etag(device.etag());
  request.mutable_labels()->insert(labels.begin(), labels.end());
  SHOAL_ASSIGN_OR_RETURN(const auto updated,
                         plane->UpdateDeviceLabels(request));
  PrintDevice(program, updated);
  return absl::OkStatus();
}

absl::Status Decommission(Program& program, const DeviceOptions& options) {
  fleet::v1::DecommissionDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(options.device));
  request.set_reason(options.reason);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->DecommissionDevice(request));
  PrintDevice(program, device);
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

  auto filter = std::make_shared<FilterOptions>();
  command = AddCommand(*group, "list", "All devices, or some",
                       "device list\n"
                       "device list --state pending\n"
                       "device list --type gateway --label site=lab --output "
                       "json");
  command->add_option("--type", filter->device_type, "Of this device type");
  command
      ->add_option("--label", filter->labels,
                   "With this label key=value; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--state", filter->states,
                   "In this state, such as pending; may be repeated")
      ->allow_extra_args(false);
  OnRun(command, program, filter, List);

  auto get = std::make_shared<DeviceOptions>();
  command = AddCommand(*group, "get", "All about one device",
                       "device get 0123456789abcdef0123456789abcdef");
  command->add_option("device", get->device, "Device id")->required();
  OnRun(command, program, get, Get);

  OnRun(AddCommand(*group, "watch",
                   "The devices now and after every change, until Ctrl-C",
                   "device watch\ndevice watch --output json"),
        program, std::make_shared<NoOptions>(), Watch);

  auto label = std::make_shared<DeviceOptions>();
  command = AddCommand(
      *group, "label", "Set labels (key=value) and remove them (key-)",
      "device label 0123456789abcdef0123456789abcdef site=lab ring-");
  command->add_option("device", label->device, "Device id")->required();
  command->add_option("changes", label->changes, "key=value or key-")
      ->required();
  OnRun(command, program, label, Label);

  auto gone = std::make_shared<DeviceOptions>();
  command = AddCommand(
      *group, "decommission", "Take a device out of the fleet; final",
      "device decommission 0123456789abcdef0123456789abcdef --reason stolen");
  command->add_option("device", gone->device, "Device id")->required();
  command->add_option("--reason", gone->reason, "Why, for the audit log");
  OnRun(command, program, gone, Decommission);
}

}  // namespace shoal::cli
