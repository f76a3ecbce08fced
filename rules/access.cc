#include "rules/access.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using policy::v1::AccessPolicy;
using policy::v1::Operator;
using policy::v1::Rule;

constexpr size_t kMaxPolicyBytes = 65536;
constexpr int kMaxOperators = 1000;
constexpr int kMaxRules = 1000;
constexpr uint32_t kMaxApprovals = 16;

bool ActionMatches(std::string_view pattern, std::string_view action) {
  if (!pattern.empty() && pattern.back() == '*')
    return action.substr(0, pattern.size() - 1) ==
           pattern.substr(0, pattern.size() - 1);
  return pattern == action;
}

bool PrincipalMatches(const std::string& pattern, const Principal& principal) {
  if (principal.director) return pattern == "director";
  if (pattern == "operator:" + principal.operator_name) return true;
  return std::any_of(
      principal.roles.begin(), principal.roles.end(),
      [&](const std::string& role) { return pattern == "role:" + role; });
}

std::string Describe(const Principal& principal) {
  return principal.director ? "the management plane"
                            : "operator " + principal.operator_name;
}

bool IsHexKey(const std::string& text) {
  auto bytes = HexDecode(text);
  return bytes.ok() && bytes->size() == 32 && HexEncode(*bytes) == text;
}

absl::Status Bad(const std::string& what) {
  return InvalidArgument("bad_policy", what);
}

bool ValidPrincipal(const std::string& text) {
  if (text == "director") return true;
  for (std::string_view prefix : {"operator:", "role:"})
    if (text.starts_with(prefix))
      return IsIdentifier(std::string_view(text).substr(prefix.size()));
  return false;
}

// Letters, digits, '.', '_', '-', ':' and one '*' at the end.
bool ValidAction(std::string_view text) {
  if (text.empty() || text.size() > 128) return false;
  if (text.back() == '*') text.remove_suffix(1);
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
           c == ':';
  });
}

absl::Status ValidateOperators(const AccessPolicy& policy) {
  std::set<std::string> names, keys, tls;
  for (const Operator& op : policy.operators()) {
    if (!IsIdentifier(op.name()) || !names.insert(op.name()).second)
      return Bad(fmt::format(
          "operators: \"{}\" is not an identifier or stands twice", op.name()));
    if (!IsHexKey(op.public_key()) || !keys.insert(op.public_key()).second)
      return Bad(
          fmt::format("operators: public_key of {} must be 64 "
                      "lower-case hex digits and nobody else's",
                      op.name()));
    if (!op.tls_spki_sha256().empty() &&
        (!IsHexKey(op.tls_spki_sha256()) ||
         !tls.insert(op.tls_spki_sha256()).second))
      return Bad(
          fmt::format("operators: tls_spki_sha256 of {} must be 64 "
                      "lower-case hex digits and nobody else's",
                      op.name()));
    for (const std::string& role : op.roles())
      if (!IsIdentifier(role))
        return Bad(
            fmt::format("operators: role \"{}\" of {} is not an "
                        "identifier",
                        role, op.name()));
  }
  return absl::OkStatus();
}

absl::Status ValidateRule(const Rule& rule) {
  if (!IsIdentifier(rule.name()))
    return Bad(
        fmt::format("rules: name \"{}\" is not an identifier", rule.name()));
  if (rule.principals().empty() || rule.actions().empty())
    return Bad(
        fmt::format("rules: {} needs principals and actions", rule.name()));
  for (const std::string& principal : rule.principals())
    if (!ValidPrincipal(principal))
      return Bad(
          fmt::format("rules: {}: principal \"{}\" must be "
                      "\"operator:NAME\", \"role:NAME\" or "
                      "\"director\"",
                      rule.name(), principal));
  for (const std::string& action : rule.actions())
    if (!ValidAction(action))
      return Bad(fmt::format("rules: {}: \"{}\" is not an action", rule.name(),
                             action));
  if (rule.has_devices()) {
    absl::Status status = ValidateSelector(rule.devices());
    if (!status.ok())
      return Bad(fmt::format("rules: {}: {}", rule.name(),
                             std::string(status.message())));
    // Groups come from the plane: with them it could choose who a rule is
    // about.
    if (rule.devices().groups_size() > 0)
      return Bad(fmt::format("rules: {}: access rules can't name groups",
                             rule.name()));
  }
  if (rule.conditions().approvals() > kMaxApprovals)
    return Bad(fmt::format("rules: {}: at most {} approvals", rule.name(),
                           kMaxApprovals));
  for (const auto& window : rule.conditions().windows()) {
    absl::Status status = ValidateWindow(window);
    if (!status.ok())
      return Bad(fmt::format("rules: {}: {}", rule.name(),
                             std::string(status.message())));
  }
  return absl::OkStatus();
}

}  // namespace

Decision Evaluate(const AccessPolicy& policy, const Principal& principal,
                  std::string_view action, const DeviceFacts* device,
                  const LocalTime& time) {
  Decision decision;
  bool outside_window = false;
  for (const Rule& rule : policy.rules()) {
    if (rule.has_devices() != (device != nullptr)) continue;
    if (std::none_of(rule.actions().begin(), rule.actions().end(),
                     [&](const std::string& pattern) {
                       return ActionMatches(pattern, action);
                     }))
      continue;
    if (std::none_of(rule.principals().begin(), rule.principals().end(),
                     [&](const std::string& pattern) {
                       return PrincipalMatches(pattern, principal);
                     }))
      continue;
    if (device != nullptr && !Matches(rule.devices(), *device)) continue;
    const auto& windows = rule.conditions().windows();
    if (!windows.empty() &&
        std::none_of(windows.begin(), windows.end(), [&](const auto& window) {
          return InWindow(window, time);
        })) {
      outside_window = true;
      continue;
    }
    // A rule that asks for less beats one that asks for more.
    const auto asks = [](bool consent, uint32_t approvals) {
      return std::pair((consent ? 1 : 0) + (approvals > 0 ? 1 : 0), approvals);
    };
    const auto& conditions = rule.conditions();
    if (decision.allowed &&
        asks(conditions.consent(), conditions.approvals()) >=
            asks(decision.needs_consent, decision.approvals))
      continue;
    decision.allowed = true;
    decision.needs_consent = conditions.consent();
    decision.approvals = conditions.approvals();
    decision.rule = rule.name();
    if (!decision.needs_consent && decision.approvals == 0) break;
  }
  if (decision.allowed)
    decision.explanation = fmt::format(
        "rule {} allows {} to {}{}{}", decision.rule, Describe(principal),
        action, decision.needs_consent ? " after consent" : "",
        decision.approvals > 0
            ? fmt::format(" with {} signed approvals", decision.approvals)
            : "");
  else
    decision.explanation =
        fmt::format("no rule allows {} to {}{}", Describe(principal), action,
                    outside_window ? " at this time" : "");
  return decision;
}

DeviceFacts FactsFromPolicy(const AccessPolicy& policy,
                            std::string_view device_id,
                            std::string_view device_type) {
  DeviceFacts facts;
  facts.id = std::string(device_id);
  facts.device_type = std::string(device_type);
  const std::string hex = HexEncode(device_id);
  for (const auto& entry : policy.device_labels())
    if (entry.device_id() == hex)
      for (const auto& [key, value] : entry.labels()) facts.labels[key] = value;
  return facts;
}

const Operator* FindOperatorByKey(const AccessPolicy& policy,
                                  std::string_view public_key) {
  const std::string hex = HexEncode(public_key);
  const auto& revoked = policy.revocations().operator_keys();
  if (std::find(revoked.begin(), revoked.end(), hex) != revoked.end())
    return nullptr;
  for (const Operator& op : policy.operators())
    if (op.public_key() == hex) return &op;
  return nullptr;
}

const Operator* FindOperatorByTls(const AccessPolicy& policy,
                                  std::string_view spki_sha256) {
  const std::string hex = HexEncode(spki_sha256);
  const auto& revoked = policy.revocations().operator_keys();
  for (const Operator& op : policy.operators())
    if (op.tls_spki_sha256() == hex &&
        std::find(revoked.begin(), revoked.end(), op.public_key()) ==
            revoked.end())
      return &op;
  return nullptr;
}

Principal PrincipalOf(const Operator& op) {
  Principal principal;
  principal.operator_name = op.name();
  principal.roles.assign(op.roles().begin(), op.roles().end());
  return principal;
}

absl::StatusOr<AccessPolicy> ParsePolicy(std::string_view json) {
  if (json.size() > kMaxPolicyBytes)
    return Bad(fmt::format("the policy has {} bytes, at most {} are allowed",
                           json.size(), kMaxPolicyBytes));
  AccessPolicy policy;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage(
      std::string(json), &policy, options);
  if (!status.ok()) return Bad(status.ToString());
  SHOAL_RETURN_IF_ERROR(ValidatePolicy(policy));
  return policy;
}

absl::Status ValidatePolicy(const AccessPolicy& policy) {
  if (policy.version() == 0) return Bad("version must be at least 1");
  if (policy.operators_size() > kMaxOperators ||
      policy.rules_size() > kMaxRules)
    return Bad(fmt::format("at most {} operators and {} rules", kMaxOperators,
                           kMaxRules));
  SHOAL_RETURN_IF_ERROR(ValidateOperators(policy));
  std::set<std::string> names;
  for (const Rule& rule : policy.rules()) {
    SHOAL_RETURN_IF_ERROR(ValidateRule(rule));
    if (!names.insert(rule.name()).second)
      return Bad(fmt::format("rules: the name {} stands twice", rule.name()));
  }
  for (const auto& entry : policy.device_labels()) {
    auto id = HexDecode(entry.device_id());
    if (!id.ok() || id->size() != 16)
      return Bad(fmt::format("device_labels: \"{}\" is not a device id",
                             entry.device_id()));
  }
  const auto& revocations = policy.revocations();
  for (const auto* keys :
       {&revocations.operator_keys(), &revocations.node_keys(),
        &revocations.device_ca_keys()})
    for (const std::string& key : *keys)
      if (!IsHexKey(key))
        return Bad(
            fmt::format("revocations: \"{}\" is not 64 lower-case hex "
                        "digits",
                        key));
  return absl::OkStatus();
}

}  // namespace shoal::rules
