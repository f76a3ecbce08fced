// shoal policy.
#include <fmt/format.h>

#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/parse.h"

namespace shoal::cli {
namespace {

struct TestOptions {
  std::string principal;
  std::string action;
  std::string device;
};

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& all) {
  std::string out;
  for (const auto& part : all) out += (out.empty() ? "" : ",") + part;
  return out.empty() ? "-" : out;
}

std::string DevicesOf(const policy::v1::Rule& rule) {
  if (!rule.has_devices()) return "(plane)";
  const auto& devices = rule.devices();
  if (devices.all()) return "all";
  std::vector<std::string> parts;
  for (const auto& type : devices.device_types()) {
    parts.push_back("type=" + type);
  }
  for (const auto& id : devices.device_ids()) parts.push_back(id);
  for (const auto& [key, value] : devices.labels()) {
    parts.push_back(key + "=" + value);
  }
  return JoinSorted(std::move(parts));
}

std::string ConditionsOf(const policy::v1::Rule& rule) {
  std::vector<std::string> parts;
  if (rule.conditions().consent()) parts.push_back("consent");
  for (const auto& window : rule.conditions().windows()) {
    std::string days;
    for (const uint32_t day : window.weekdays()) {
      days += (days.empty() ? "" : "/") + std::to_string(day);
    }
    parts.push_back(fmt::format(
        "{}{:02}:{:02}-{:02}:{:02}", days.empty() ? "" : "days " + days + " ",
        window.from_minute() / 60, window.from_minute() % 60,
        window.to_minute() / 60, window.to_minute() % 60));
  }
  return JoinSorted(std::move(parts));
}

std::string Describe(const policy::v1::GetPolicyResponse& response) {
  const auto& policy = response.policy();
  Table operators({"OPERATOR", "ROLES", "PUBLIC KEY"});
  for (const auto& op : policy.operators()) {
    operators.AddRow({op.name(), Joined(op.roles()), op.public_key()});
  }
  Table rules({"RULE", "WHO", "MAY", "ON", "WHILE"});
  for (const auto& rule : policy.rules()) {
    rules.AddRow({rule.name(), Joined(rule.principals()),
                  Joined(rule.actions()), DevicesOf(rule), ConditionsOf(rule)});
  }
  const auto& revoked = policy.revocations();
  return fmt::format(
      "policy version {}, metadata version {}, sha256 {}\n\n{}\n{}{}",
      policy.version(), response.metadata_version(), response.sha256(),
      operators.Render(), rules.Render(),
      revoked.operator_keys_size() + revoked.node_keys_size() +
                  revoked.device_ca_keys_size() ==
              0
          ? ""
          : fmt::format("\nrevoked: {} operator keys, {} node keys, {} device "
                        "CA keys\n",
                        revoked.operator_keys_size(), revoked.node_keys_size(),
                        revoked.device_ca_keys_size()));
}

absl::Status Show(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto policy, plane->GetPolicy());
  program.Print(policy, [&] { return Describe(policy); });
  return absl::OkStatus();
}

absl::Status Test(Program& program, const TestOptions& options) {
  policy::v1::TestPolicyRequest request;
  if (options.principal != "director" &&
      !options.principal.starts_with("operator:")) {
    return UsageError("the principal is operator:NAME or director");
  }
  request.set_principal(options.principal);
  request.set_action(options.action);
  if (!options.device.empty()) {
    SHOAL_ASSIGN_OR_RETURN(*request.mutable_device(),
                           DeviceName(options.device));
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto answer, plane->TestPolicy(request));
  program.Print(answer, [&] {
    return fmt::format("{}: {}\n", answer.allowed() ? "allowed" : "denied",
                       answer.explanation());
  });
  if (answer.allowed()) return absl::OkStatus();
  return PermissionDenied(
      "not_allowed",
      fmt::format("{} may not {}{}", options.principal, options.action,
                  options.device.empty() ? "" : " on " + options.device));
}

}  // namespace

void AddPolicyCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "policy", "The access policy in force");
  OnRun(AddCommand(*group, "show", "Operators, rules and revocations",
                   "policy show\npolicy show --output json"),
        program, std::make_shared<NoOptions>(), Show);
  auto test = std::make_shared<TestOptions>();
  CLI::App* command = AddCommand(
      *group, "test",
      "Explain a decision without doing anything; exit code 4 when denied",
      "policy test operator:alice rollout.create\n"
      "policy test operator:bob command.run:reboot --device "
      "0123456789abcdef0123456789abcdef");
  command
      ->add_option("principal,--principal", test->principal,
                   "operator:NAME or director")
      ->required();
  command->add_option("action,--action", test->action, "The action")
      ->required();
  command->add_option("--device", test->device,
                      "Device id, for actions on devices");
  OnRun(command, program, test, Test);
}

}  // namespace shoal::cli
