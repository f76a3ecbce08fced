#include "signing/tool/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/image_info.h"
#include "signing/tool/checks.h"

namespace shoal::signing {
namespace {

std::string ManufacturerLine(char sign, const Manufacturer& one) {
  std::string types;
  for (const std::string& type : one.device_types)
    types += (types.empty() ? "" : ",") + type;
  return fmt::format("{} manufacturer {} {} for {}", sign, one.name,
                     HexEncode(one.key),
                     types.empty() ? "any device type" : types);
}

// Lines in the making.
class Report {
 public:
  explicit Report(const Tree& tree) : tree_(tree) {}
  std::string Take() { return std::move(text_); }

  void Line(std::string_view line) { text_ += fmt::format("  {}\n", line); }
  // Entries of two maps from a name to a text.
  void Entries(const std::map<std::string, std::string>& before,
               const std::map<std::string, std::string>& after) {
    for (const auto& [name, text] : before)
      if (!after.contains(name)) Line(fmt::format("- {} {}", name, text));
    for (const auto& [name, text] : after) {
      const auto old = before.find(name);
      if (old == before.end()) {
        Line(fmt::format("+ {} {}", name, text));
      } else if (old->second != text) {
        Line(fmt::format("~ {} {}", name, text));
        Line(fmt::format("    was: {}", old->second));
      }
    }
  }
  void Common(const SignedCommon& before, const SignedCommon& after) {
    if (before.version == 0)
      Line(fmt::format("expires {}", FormatExpires(after.expires)));
    else if (before.expires != after.expires)
      Line(fmt::format("expires {}, was {}", FormatExpires(after.expires),
                       FormatExpires(before.expires)));
  }
  // One role's threshold and keys.
  void Keys(const std::string& name, const RoleKeys& before,
            const std::map<std::string, Key>& old_keys, const RoleKeys& after,
            const std::map<std::string, Key>& keys) {
    const std::set<std::string> was = Publics(before, old_keys);
    const std::set<std::string> is = Publics(after, keys);
    if (before.key_ids.empty())
      Line(fmt::format("+ role {}: {} of {} keys", name, after.threshold,
                       is.size()));
    else if (before.threshold != after.threshold || was.size() != is.size())
      Line(fmt::format("~ role {}: {} of {} keys, was {} of {}", name,
                       after.threshold, is.size(), before.threshold,
                       was.size()));
    else if (was != is)
      Line(fmt::format("~ role {}: other keys", name));
    for (const std::string& key : was)
      if (!is.contains(key)) Line(fmt::format("    - key {}", NameAndKey(key)));
    for (const std::string& key : is)
      if (!was.contains(key))
        Line(fmt::format("    + key {}", NameAndKey(key)));
  }
  void KeyList(const std::string& name, const std::vector<std::string>& before,
               const std::vector<std::string>& after) {
    const auto has = [](const auto& list, const std::string& key) {
      return std::find(list.begin(), list.end(), key) != list.end();
    };
    for (const std::string& key : before)
      if (!has(after, key)) Line(fmt::format("- {} {}", name, NameAndKey(key)));
    for (const std::string& key : after)
      if (!has(before, key))
        Line(fmt::format("+ {} {}", name, NameAndKey(key)));
  }

 private:
  std::string NameAndKey(const std::string& key) const {
    const std::string name = tree_.NameOf(key);
    const std::string hex = HexEncode(key);
    return hex.starts_with(name) ? hex : fmt::format("{} {}", name, hex);
  }
  static std::set<std::string> Publics(const RoleKeys& role,
                                       const std::map<std::string, Key>& keys) {
    std::set<std::string> result;
    for (const std::string& id : role.key_ids)
      if (const auto it = keys.find(id); it != keys.end())
        result.insert(it->second.public_key);
    return result;
  }
  const Tree& tree_;
  std::string text_;
};

std::map<std::string, std::string> Images(const Targets& targets) {
  std::map<std::string, std::string> lines;
  for (const auto& [path, target] : targets.targets) {
    std::string text = fmt::format("{} bytes, sha256 {}", target.length,
                                   HexEncode(target.sha256));
    if (const auto info = ParseImageInfo(target); info.ok()) {
      text += fmt::format(", counter {}, min_counter {}", info->counter,
                          info->min_counter);
      for (const std::string& hardware : info->hardware)
        text += ", for " + hardware;
      for (const ImageNeed& need : info->needs)
        text +=
            fmt::format(", requires {} {}", need.artifact, need.min_counter);
    } else if (IsAttachment(target)) {
      text += ", attachment";
    }
    lines[path] = std::move(text);
  }
  return lines;
}

// The message in one line of text.
template <typename Messages, typename Name>
std::map<std::string, std::string> ByName(const std::string& what,
                                          const Messages& messages, Name name) {
  std::map<std::string, std::string> lines;
  for (const auto& message : messages)
    lines[what + " " + name(message)] = message.ShortDebugString();
  return lines;
}

absl::Status PolicyDifference(const Tree& tree, const Targets& before,
                              const Targets& after, Report& report) {
  const auto read =
      [&](const Targets& t) -> absl::StatusOr<policy::v1::AccessPolicy> {
    SHOAL_ASSIGN_OR_RETURN(const std::string json, ReadPolicyOf(tree, t));
    if (json.empty()) return policy::v1::AccessPolicy();
    return ParseAccessPolicy(json);
  };
  SHOAL_ASSIGN_OR_RETURN(const auto old, read(before));
  SHOAL_ASSIGN_OR_RETURN(const auto next, read(after));
  if (old.version() != next.version())
    report.Line(fmt::format("access policy version {}, was {}", next.version(),
                            old.version()));
  const auto name = [](const auto& m) { return m.name(); };
  report.Entries(ByName("operator", old.operators(), name),
                 ByName("operator", next.operators(), name));
  report.Entries(ByName("rule", old.rules(), name),
                 ByName("rule", next.rules(), name));
  const auto device = [](const auto& m) { return m.device_id(); };
  report.Entries(ByName("labels of", old.device_labels(), device),
                 ByName("labels of", next.device_labels(), device));
  const auto revoked = [](const policy::v1::Revocations& r) {
    std::map<std::string, std::string> lines;
    for (const auto& key : r.operator_keys())
      lines["revoked operator " + key] = "";
    for (const auto& key : r.node_keys()) lines["revoked node " + key] = "";
    for (const auto& key : r.device_ca_keys())
      lines["revoked device_ca " + key] = "";
    return lines;
  };
  report.Entries(revoked(old.revocations()), revoked(next.revocations()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> RootDifference(const Tree& tree,
                                           const std::string& before,
                                           const std::string& after) {
  Root old;
  if (!before.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ParsedRoot parsed, ParseRoot(before));
    old = std::move(parsed.value);
  }
  SHOAL_ASSIGN_OR_RETURN(const ParsedRoot next, ParseRoot(after));
  Report report(tree);
  report.Common(old, next.value);
  for (const auto& [name, role] : next.value.roles)
    report.Keys(name, old.roles[name], old.keys, role, next.value.keys);
  return report.Take();
}

}  // namespace

absl::StatusOr<std::string> Difference(const Tree& tree,
                                       const std::string& role,
                                       const std::string& before,
                                       const std::string& after) {
  if (role == "root") return RootDifference(tree, before, after);
  Targets old;
  if (!before.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, ParseTargets(before));
    old = std::move(parsed.value);
  }
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, ParseTargets(after));
  Targets& next = parsed.value;
  Report report(tree);
  report.Common(old, next);
  if (next.delegations) {
    if (!old.delegations) old.delegations.emplace();
    for (const DelegatedRole& one : old.delegations->roles)
      if (FindDelegation(next, one.name) == nullptr)
        report.Line(fmt::format("- role {}", one.name));
    for (const DelegatedRole& one : next.delegations->roles) {
      const DelegatedRole* was = FindDelegation(old, one.name);
      report.Keys(one.name, was == nullptr ? RoleKeys{} : was->keys,
                  old.delegations->keys, one.keys, next.delegations->keys);
      if (was == nullptr || was->paths != one.paths)
        for (const std::string& path : one.paths)
          report.Line(fmt::format("    speaks for {}{}", path,
                                  one.terminating ? " (terminating)" : ""));
    }
  }
  const FleetKeys was = old.fleet_keys.value_or(FleetKeys{});
  const FleetKeys is = next.fleet_keys.value_or(FleetKeys{});
  report.KeyList("device_ca", was.device_ca, is.device_ca);
  report.KeyList("node_ca", was.node_ca, is.node_ca);
  report.KeyList("time", was.time, is.time);
  for (const Manufacturer& one : was.manufacturers)
    if (std::find(is.manufacturers.begin(), is.manufacturers.end(), one) ==
        is.manufacturers.end())
      report.Line(ManufacturerLine('-', one));
  for (const Manufacturer& one : is.manufacturers)
    if (std::find(was.manufacturers.begin(), was.manufacturers.end(), one) ==
        was.manufacturers.end())
      report.Line(ManufacturerLine('+', one));
  if (was.telemetry != is.telemetry) {
    if (!was.telemetry.empty())
      report.KeyList("telemetry", {was.telemetry}, {});
    if (!is.telemetry.empty()) report.KeyList("telemetry", {}, {is.telemetry});
  }
  report.Entries(Images(old), Images(next));
  if (role == "policy")
    SHOAL_RETURN_IF_ERROR(PolicyDifference(tree, old, next, report));
  return report.Take();
}

}  // namespace shoal::signing
