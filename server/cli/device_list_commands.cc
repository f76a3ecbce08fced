// shoal device list, watch, label, history: devices by filters.
#include <fmt/format.h>

#include "absl/strings/ascii.h"
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

constexpr int kPage = 1000;
// From so many devices on, one command asks first.
constexpr int kAskFrom = 2;

struct ListOptions {
  std::string device_type;
  std::vector<std::string> labels;
  std::vector<std::string> states;
  std::string filter;
  std::string columns = kDeviceColumns;
  std::string sort = "name";
  int limit = 0;
};
struct WatchOptions {
  std::string filter;
  std::string resume;
};
struct LabelOptions {
  std::vector<std::string> words;
  std::string filter;
  bool dry_run = false;
  bool yes = false;
};
struct HistoryOptions {
  std::string device;
  int last = 100;
};

absl::StatusOr<fleet::v1::EnrolmentState> ParseEnrolmentState(
    const std::string& text) {
  fleet::v1::EnrolmentState state;
  if (fleet::v1::EnrolmentState_Parse(
          "ENROLMENT_STATE_" + absl::AsciiStrToUpper(text), &state) &&
      state != fleet::v1::ENROLMENT_STATE_UNSPECIFIED) {
    return state;
  }
  return InvalidArgument("bad_state",
                         "--state is pending, preauthorized, accepted, "
                         "rejected or decommissioned");
}

absl::Status List(Program& program, const ListOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  SHOAL_ASSIGN_OR_RETURN(const auto columns, ParseColumns(options.columns));
  if (options.limit < 0) return UsageError("--limit is 1 or more");
  fleet::v1::ListDevicesRequest request;
  request.set_device_type(options.device_type);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  for (const std::string& text : options.states) {
    SHOAL_ASSIGN_OR_RETURN(const auto state, ParseEnrolmentState(text));
    request.add_states(state);
  }
  request.set_filter(options.filter);
  request.set_order_by(options.sort);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  fleet::v1::ListDevicesResponse all;
  const auto wanted = [&] {
    return options.limit == 0
               ? kPage
               : std::min(kPage, options.limit - all.devices_size());
  };
  do {
    request.set_page_size(wanted());
    SHOAL_ASSIGN_OR_RETURN(const auto page, plane->ListDevices(request));
    all.mutable_devices()->MergeFrom(page.devices());
    all.set_total_size(page.total_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && wanted() > 0);
  program.Print(all, [&] {
    Table table = DeviceTable(columns);
    for (const auto& device : all.devices()) {
      AddDeviceRow(table, columns, device, program.clock().WallNow());
    }
    return table.Render(program.width());
  });
  if (!program.json() && all.total_size() > all.devices_size()) {
    program.Remark(
        fmt::format("{} of {} devices", all.devices_size(), all.total_size()));
  }
  return absl::OkStatus();
}

absl::Status Watch(Program& program, const WatchOptions& options) {
  fleet::v1::WatchDevicesRequest request;
  request.set_filter(options.filter);
  request.set_resume_token(options.resume);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->WatchDevices(request, [&](const fleet::v1::Device& device) {
    program.PrintLine(device, [&] {
      return Printable(fmt::format(
                 "{} {} {} type={} version={} labels={}{}{}",
                 FormatMillis(absl::ToUnixMillis(program.clock().WallNow())),
                 ShortName(device.name()), DeviceStateText(device),
                 device.device_type(),
                 device.running_version().empty() ? "-"
                                                  : device.running_version(),
                 FormatLabels(device.labels()),
                 device.waiting_reason().empty()
                     ? ""
                     : " waiting=" + device.waiting_reason(),
                 device.left_filter() ? " left the filter" : "")) +
             "\n";
    });
    return absl::OkStatus();
  });
}

// "k=v" sets, "k-" removes.
absl::Status ParseChanges(const std::vector<std::string>& words, size_t from,
                          fleet::v1::BatchUpdateDeviceLabelsRequest& request) {
  std::vector<std::string> set;
  for (size_t i = from; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.find('=') == word.npos && word.ends_with('-')) {
      request.add_remove_labels(word.substr(0, word.size() - 1));
    } else {
      set.push_back(word);
    }
  }
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(set));
  request.mutable_labels()->insert(labels.begin(), labels.end());
  if (words.size() == from) return UsageError("say key=value or key-");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Selected(PlaneClient& plane,
                                                  const std::string& filter) {
  std::vector<std::string> names;
  fleet::v1::ListDevicesRequest request;
  request.set_filter(filter);
  request.set_page_size(kPage);
  do {
    SHOAL_ASSIGN_OR_RETURN(const auto page, plane.ListDevices(request));
    for (const auto& device : page.devices()) names.push_back(device.name());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return names;
}

absl::Status Label(Program& program, const LabelOptions& options) {
  fleet::v1::BatchUpdateDeviceLabelsRequest request;
  const bool one = options.filter.empty();
  SHOAL_RETURN_IF_ERROR(ParseChanges(options.words, one ? 1 : 0, request));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  std::vector<std::string> names;
  if (one) {
    SHOAL_ASSIGN_OR_RETURN(const std::string name,
                           DeviceName(options.words.front()));
    names = {name};
  } else {
    SHOAL_ASSIGN_OR_RETURN(names, Selected(*plane, options.filter));
    if (static_cast<int>(names.size()) >= kAskFrom && !options.dry_run) {
      SHOAL_RETURN_IF_ERROR(Confirm(
          program, fmt::format("Change labels of {} devices", names.size()),
          options.yes));
    }
  }
  fleet::v1::BatchUpdateDeviceLabelsResponse all;
  request.set_validate_only(options.dry_run);
  for (size_t from = 0; from < names.size(); from += kPage) {
    request.clear_names();
    const size_t end = std::min(names.size(), from + kPage);
    for (size_t i = from; i < end; ++i) request.add_names(names[i]);
    request.set_request_id(HexEncode(crypto::RandomBytes(16)));
    SHOAL_ASSIGN_OR_RETURN(const auto done,
                           plane->BatchUpdateDeviceLabels(request));
    all.set_changed(all.changed() + done.changed());
    all.set_unchanged(all.unchanged() + done.unchanged());
  }
  if (one && !options.dry_run) {
    fleet::v1::GetDeviceRequest get;
    get.set_name(names.front());
    SHOAL_ASSIGN_OR_RETURN(const auto device, plane->GetDevice(get));
    program.Print(device, [&] { return DescribeDevice(device); });
    return absl::OkStatus();
  }
  program.Print(all, [&] {
    return fmt::format(
        "{} devices {}, {} had these labels already\n", all.changed(),
        options.dry_run ? "would change" : "changed", all.unchanged());
  });
  return absl::OkStatus();
}

absl::Status History(Program& program, const HistoryOptions& options) {
  if (options.last < 1) return UsageError("--last is 1 or more");
  fleet::v1::ListDeviceEventsRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_parent(), DeviceName(options.device));
  request.set_page_size(std::min(options.last, kPage));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto events, plane->ListDeviceEvents(request));
  program.Print(events,
                [&] { return EventTable(events.events(), program.width()); });
  return absl::OkStatus();
}

constexpr char kFilterHelp[] =
    "Such as 'labels.site = lab AND running_version < 2.0' (docs/filters.md)";

}  // namespace

void AddDeviceListCommands(CLI::App& group, Program& program) {
  auto list = std::make_shared<ListOptions>();
  CLI::App* command = AddCommand(
      group, "list", "All devices, or some",
      "device list\n"
      "device list --state pending\n"
      "device list --filter 'labels.site = lab AND running_version < 2.0'\n"
      "device list --filter 'last_seen < -7d' --sort last_seen --columns "
      "id,seen,labels.site,inventory.kernel\n"
      "device list --type gateway --label site=lab --output yaml");
  command->add_option("--filter", list->filter, kFilterHelp);
  command->add_option("--type", list->device_type, "Of this device type");
  command
      ->add_option("--label", list->labels,
                   "With this label key=value; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--state", list->states,
                   "In this state, such as pending; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--columns", list->columns,
                      "Columns of the table [id,state,type,version,labels,"
                      "seen,waiting]; also groups, image, agent, counter, "
                      "policy, enrolled, labels.KEY, inventory.KEY");
  command
      ->add_option("--sort", list->sort,
                   "name, last_seen or 'last_seen desc' [name]")
      ->check(CLI::IsMember({"name", "last_seen", "last_seen desc"}));
  command->add_option("--limit", list->limit, "At most so many devices");
  OnRun(command, program, list, List);

  auto watch = std::make_shared<WatchOptions>();
  command = AddCommand(group, "watch",
                       "The devices now and after every change, until Ctrl-C",
                       "device watch\n"
                       "device watch --filter 'state = accepted' --output "
                       "json");
  command->add_option("--filter", watch->filter, kFilterHelp);
  command->add_option("--resume", watch->resume,
                      "Go on where a watch ended: the resume_token of its "
                      "last device");
  OnRun(command, program, watch, Watch);

  auto label = std::make_shared<LabelOptions>();
  command = AddCommand(
      group, "label", "Set labels (key=value) and remove them (key-)",
      "device label 0123456789abcdef0123456789abcdef site=lab ring-\n"
      "device label --filter 'labels.site = lab' ring=canary --dry-run");
  command
      ->add_option("words", label->words,
                   "Device id (not with --filter), then key=value or key-")
      ->required();
  command->add_option("--filter", label->filter, "All devices that it selects");
  command->add_flag("--dry-run", label->dry_run, "Only say what would be");
  command->add_flag("-y,--yes", label->yes, "Do not ask");
  OnRun(command, program, label, Label);

  auto history = std::make_shared<HistoryOptions>();
  command =
      AddCommand(group, "history", "What happened to a device, newest first",
                 "device history 0123456789abcdef0123456789abcdef "
                 "--last 10");
  command->add_option("device", history->device, "Device id")->required();
  command->add_option("--last", history->last, "At most so many [100]");
  OnRun(command, program, history, History);
}

}  // namespace shoal::cli
