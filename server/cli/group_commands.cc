// shoal group.
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

constexpr int kPage = 1000;

struct GroupOptions {
  std::string group;
  std::string filter;
  std::string description;
  std::vector<std::string> add;
  std::vector<std::string> remove;
  bool dry_run = false;
  bool yes = false;
  // Which of them the command line gave.
  CLI::Option* filter_given = nullptr;
  CLI::Option* description_given = nullptr;
};

std::string GroupName(const std::string& text) {
  return text.starts_with("groups/") ? text : "groups/" + text;
}

void PrintGroup(Program& program, const fleet::v1::Group& group, bool dry_run) {
  program.Print(group, [&] { return DescribeGroup(group); });
  if (dry_run) program.Remark("a dry run: nothing was changed");
}

absl::Status Create(Program& program, const GroupOptions& options) {
  fleet::v1::CreateGroupRequest request;
  request.set_group_id(options.group);
  request.mutable_group()->set_filter(options.filter);
  request.mutable_group()->set_description(options.description);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  request.set_validate_only(options.dry_run);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto group, plane->CreateGroup(request));
  PrintGroup(program, group, options.dry_run);
  return absl::OkStatus();
}

absl::Status List(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  fleet::v1::ListGroupsRequest request;
  request.set_page_size(kPage);
  fleet::v1::ListGroupsResponse all;
  do {
    SHOAL_ASSIGN_OR_RETURN(const auto page, plane->ListGroups(request));
    all.mutable_groups()->MergeFrom(page.groups());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  program.Print(all, [&] { return GroupTable(all.groups(), program.width()); });
  return absl::OkStatus();
}

absl::StatusOr<fleet::v1::Group> Read(Program& program,
                                      const GroupOptions& options) {
  fleet::v1::GetGroupRequest request;
  request.set_name(GroupName(options.group));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->GetGroup(request);
}

absl::Status Get(Program& program, const GroupOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto group, Read(program, options));
  PrintGroup(program, group, false);
  return absl::OkStatus();
}

absl::Status Update(Program& program, const GroupOptions& options) {
  fleet::v1::UpdateGroupRequest request;
  request.mutable_group()->set_name(GroupName(options.group));
  if (options.filter_given->count() > 0) {
    request.mutable_group()->set_filter(options.filter);
    request.mutable_update_mask()->add_paths("filter");
  }
  if (options.description_given->count() > 0) {
    request.mutable_group()->set_description(options.description);
    request.mutable_update_mask()->add_paths("description");
  }
  if (request.update_mask().paths().empty()) {
    return UsageError("say what changes: --filter or --description");
  }
  request.set_validate_only(options.dry_run);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto group, plane->UpdateGroup(request));
  PrintGroup(program, group, options.dry_run);
  return absl::OkStatus();
}

absl::Status Delete(Program& program, const GroupOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(auto group, Read(program, options));
  fleet::v1::DeleteGroupRequest request;
  request.set_name(group.name());
  request.set_etag(group.etag());
  request.set_validate_only(options.dry_run);
  if (!options.dry_run) {
    SHOAL_RETURN_IF_ERROR(
        Confirm(program,
                fmt::format("Delete the group {} of {} devices",
                            ShortName(group.name()), group.member_count()),
                options.yes));
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(group, plane->DeleteGroup(request));
  PrintGroup(program, group, options.dry_run);
  return absl::OkStatus();
}

// At most a thousand a call.
template <typename Request>
absl::Status Change(
    const GroupOptions& options, const std::vector<std::string>& devices,
    const std::function<absl::StatusOr<fleet::v1::Group>(const Request&)>&
        call) {
  for (size_t from = 0; from < devices.size(); from += kPage) {
    Request request;
    request.set_name(GroupName(options.group));
    request.set_request_id(HexEncode(crypto::RandomBytes(16)));
    request.set_validate_only(options.dry_run);
    const size_t end = std::min(devices.size(), from + kPage);
    for (size_t i = from; i < end; ++i) {
      SHOAL_ASSIGN_OR_RETURN(*request.add_devices(), DeviceName(devices[i]));
    }
    SHOAL_RETURN_IF_ERROR(call(request));
  }
  return absl::OkStatus();
}

absl::Status Members(Program& program, const GroupOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_RETURN_IF_ERROR(Change<fleet::v1::AddGroupMembersRequest>(
      options, options.add,
      [&](const auto& request) { return plane->AddGroupMembers(request); }));
  SHOAL_RETURN_IF_ERROR(Change<fleet::v1::RemoveGroupMembersRequest>(
      options, options.remove,
      [&](const auto& request) { return plane->RemoveGroupMembers(request); }));
  fleet::v1::ListGroupMembersRequest request;
  request.set_parent(GroupName(options.group));
  request.set_page_size(kPage);
  fleet::v1::ListGroupMembersResponse all;
  do {
    SHOAL_ASSIGN_OR_RETURN(const auto page, plane->ListGroupMembers(request));
    all.mutable_devices()->MergeFrom(page.devices());
    all.set_total_size(page.total_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  program.Print(all, [&] {
    std::string text;
    for (const auto& device : all.devices()) text += ShortName(device) + "\n";
    return text;
  });
  if (options.dry_run) program.Remark("a dry run: nothing was changed");
  return absl::OkStatus();
}

}  // namespace

void AddGroupCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "group", "Groups of devices");
  const auto add = [&](const std::string& name, const std::string& description,
                       const std::string& examples, bool changes) {
    auto options = std::make_shared<GroupOptions>();
    CLI::App* command = AddCommand(*group, name, description, examples);
    command->add_option("group", options->group, "Group id")->required();
    if (changes) {
      command->add_flag("--dry-run", options->dry_run,
                        "Only say what would be");
    }
    return std::make_pair(command, options);
  };
  const auto add_fields = [](CLI::App* command,
                             const std::shared_ptr<GroupOptions>& options) {
    options->filter_given = command->add_option(
        "--filter", options->filter,
        "Who is in it (docs/filters.md); without: a static group");
    options->description_given = command->add_option(
        "--description", options->description, "For people");
  };

  auto [create, create_options] =
      add("create", "A group: dynamic with --filter, else static",
          "group create lab --filter 'labels.site = lab'\n"
          "group create pilots --description 'Friendly users'\n"
          "group create old --filter 'running_version < 2.0' --dry-run",
          true);
  add_fields(create, create_options);
  OnRun(create, program, create_options, Create);

  OnRun(AddCommand(*group, "list", "All groups", "group list"), program,
        std::make_shared<NoOptions>(), List);

  auto [get, get_options] =
      add("get", "All about one group", "group get lab", false);
  OnRun(get, program, get_options, Get);

  auto [update, update_options] = add(
      "update", "Change a group's filter or description",
      "group update lab --filter 'labels.site = lab AND labels.ring:*'", true);
  add_fields(update, update_options);
  OnRun(update, program, update_options, Update);

  auto [remove, remove_options] =
      add("delete", "Delete a group; its devices stay",
          "group delete lab\ngroup delete lab --yes", true);
  remove->add_flag("-y,--yes", remove_options->yes, "Do not ask");
  OnRun(remove, program, remove_options, Delete);

  auto [members, member_options] =
      add("members", "Who is in a group; puts devices in and takes them out",
          "group members lab\n"
          "group members pilots --add 0123456789abcdef0123456789abcdef",
          true);
  members
      ->add_option("--add", member_options->add,
                   "Device id to put in; may be repeated")
      ->allow_extra_args(false);
  members
      ->add_option("--remove", member_options->remove,
                   "Device id to take out; may be repeated")
      ->allow_extra_args(false);
  OnRun(members, program, member_options, Members);
}

}  // namespace shoal::cli
