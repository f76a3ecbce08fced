#include "signing/tool/difference.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/image_info.h"
#include "signing/metadata/json.h"
#include "signing/tool/report.h"

namespace shoal::signing {
namespace {

using Json = JsonRest::Json;
using Pointer = JsonRest::Pointer;
constexpr JsonRest::Side kSides[] = {JsonRest::kBefore, JsonRest::kAfter};

// The "signed" of a file. The delegated roles stand under their names: their
// order is told in words.
absl::StatusOr<Json> SignedOf(const std::string& bytes) {
  SHOAL_ASSIGN_OR_RETURN(Json file, ParseStrictJson(bytes, kMaxTargetsBytes));
  Json content = file.value("signed", Json::object());
  const Pointer roles = Pointer() / "delegations" / "roles";
  if (!content.contains(roles)) return content;
  Json by_name = Json::object();
  for (const Json& role : content[roles])
    by_name[role.at("name").get<std::string>()] = role;
  content[roles] = std::move(by_name);
  return content;
}

std::string ManufacturerLine(char sign, const Manufacturer& one) {
  std::string types;
  for (const std::string& type : one.device_types)
    types += (types.empty() ? "" : ",") + type;
  return fmt::format("{} manufacturer {} {} for {}", sign, one.name,
                     HexEncode(one.key),
                     types.empty() ? "any device type" : types);
}

// All that the target's custom object says; as it is, where it says more than
// people know names for.
std::string CustomOf(const TargetFile& target) {
  if (target.custom.empty()) return "";
  const Json custom = Json::parse(target.custom);
  if (const auto info = ParseImageInfo(target);
      info.ok() && Json::parse(FormatImageInfo(*info)) == custom) {
    std::string text = fmt::format(", counter {}, min_counter {}",
                                   info->counter, info->min_counter);
    for (const std::string& hardware : info->hardware)
      text += ", for " + hardware;
    for (const ImageNeed& need : info->needs)
      text += fmt::format(", requires {} {}", need.artifact, need.min_counter);
    return text + fmt::format(", pieces of {} under {}", info->piece_length,
                              HexEncode(info->file_root));
  }
  return fmt::format("{}, custom {}",
                     IsAttachment(target) ? ", attachment" : "",
                     custom.dump(-1, ' ', /*ensure_ascii=*/true));
}

std::map<std::string, std::string> Images(const Targets& targets) {
  std::map<std::string, std::string> lines;
  for (const auto& [path, target] : targets.targets)
    lines[path] = fmt::format("{} bytes, sha256 {}{}", target.length,
                              HexEncode(target.sha256), CustomOf(target));
  return lines;
}

// For which paths a role speaks.
std::string Scope(const DelegatedRole& role) {
  std::string text;
  for (const std::string& path : role.paths)
    text += (text.empty() ? "" : ", ") + Printable(path);
  for (const std::string& prefix : role.path_hash_prefixes)
    text += fmt::format("{}paths whose hash begins with \"{}\"",
                        text.empty() ? "" : ", ", Printable(prefix));
  return fmt::format("{}{}", text.empty() ? "nothing" : text,
                     role.terminating ? " (terminating)" : "");
}

std::string Names(const std::vector<DelegatedRole>& roles) {
  std::string names;
  for (const DelegatedRole& role : roles)
    names += (names.empty() ? "" : ", ") + role.name;
  return names;
}

void DelegationDifference(const Delegations& old, const Delegations& next,
                          Report& report) {
  const Pointer keys = Pointer() / "delegations" / "keys";
  const Pointer roles = Pointer() / "delegations" / "roles";
  for (const DelegatedRole& one : old.roles) {
    if (FindDelegation(next, one.name)) continue;
    report.Line(fmt::format("- role {}", one.name));
    report.rest().Told(JsonRest::kBefore, roles, one.name);
    for (const std::string& id : one.keys.key_ids)
      if (const auto key = old.keys.find(id);
          key != old.keys.end() && !next.keys.contains(id)) {
        report.OneKey('-', "  key", key->second.public_key);
        report.rest().Told(JsonRest::kBefore, keys, id);
      }
  }
  for (const DelegatedRole& one : next.roles) {
    const auto was = FindDelegation(old, one.name);
    const Pointer place = roles / one.name;
    report.Keys(one.name, place, keys, was ? was->keys : RoleKeys{}, old.keys,
                one.keys, next.keys);
    if (was && was->paths == one.paths &&
        was->path_hash_prefixes == one.path_hash_prefixes &&
        was->terminating == one.terminating)
      continue;
    if (was) report.Line(fmt::format("~ role {}", one.name));
    report.Line(fmt::format("    speaks for {}", Scope(one)));
    if (was) report.Line(fmt::format("    was: {}", Scope(*was)));
    for (const JsonRest::Side side : kSides)
      for (const char* told :
           {"name", "terminating", "paths", "path_hash_prefixes"})
        report.rest().Told(side, place, told);
  }
  const std::string is = Names(next.roles);
  const std::string was = Names(old.roles);
  if (is != was && !was.empty() && !is.empty())
    report.Line(
        fmt::format("~ roles are asked in the order: {}; was: {}", is, was));
}

void FleetKeyDifference(const FleetKeys& was, const FleetKeys& is,
                        Report& report) {
  const Pointer place = Pointer() / "shoal";
  report.KeyList("device_ca", place / "device_ca", was.device_ca, is.device_ca);
  report.KeyList("node_ca", place / "node_ca", was.node_ca, is.node_ca);
  report.KeyList("time", place / "time", was.time, is.time);
  const auto only_in = [&](const auto& here, const auto& there, char sign,
                           JsonRest::Side side) {
    for (const Manufacturer& one : here) {
      if (std::find(there.begin(), there.end(), one) != there.end()) continue;
      report.Line(ManufacturerLine(sign, one));
      Json plain = {{"name", one.name}, {"key", HexEncode(one.key)}};
      if (!one.device_types.empty()) plain["device_types"] = one.device_types;
      report.rest().ToldElement(side, place / "manufacturers", plain);
    }
  };
  only_in(was.manufacturers, is.manufacturers, '-', JsonRest::kBefore);
  only_in(is.manufacturers, was.manufacturers, '+', JsonRest::kAfter);
  if (was.telemetry == is.telemetry) return;
  if (!was.telemetry.empty()) report.OneKey('-', "telemetry", was.telemetry);
  if (!is.telemetry.empty()) report.OneKey('+', "telemetry", is.telemetry);
  for (const JsonRest::Side side : kSides)
    report.rest().Told(side, place, "telemetry");
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
  // Before the first there is what no root can do without.
  Json was = Json::parse(FormatRoot(Root{}));
  if (!before.empty()) {
    SHOAL_ASSIGN_OR_RETURN(was, SignedOf(before));
  }
  SHOAL_ASSIGN_OR_RETURN(Json is, SignedOf(after));
  Report report(tree, JsonRest(std::move(was), std::move(is)));
  report.Common(old, next.value);
  for (const auto& [name, role] : next.value.roles)
    report.Keys(name, Pointer() / "roles" / name, Pointer() / "keys",
                old.roles[name], old.keys, role, next.value.keys);
  return report.Take();
}

absl::StatusOr<std::string> TargetsDifference(const Tree& tree,
                                              const std::string& role,
                                              const std::string& before,
                                              const std::string& after) {
  Targets old;
  Json was = Json::parse(FormatTargets(Targets{}));
  if (!before.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, ParseTargets(before));
    old = std::move(parsed.value);
    SHOAL_ASSIGN_OR_RETURN(was, SignedOf(before));
  }
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets next, ParseTargets(after));
  SHOAL_ASSIGN_OR_RETURN(Json is, SignedOf(after));
  Report report(tree, JsonRest(std::move(was), std::move(is)));
  report.Common(old, next.value);
  DelegationDifference(old.delegations.value_or(Delegations{}),
                       next.value.delegations.value_or(Delegations{}), report);
  FleetKeyDifference(old.fleet_keys.value_or(FleetKeys{}),
                     next.value.fleet_keys.value_or(FleetKeys{}), report);
  report.Entries(Images(old), Images(next.value),
                 [&](JsonRest::Side side, const std::string& path) {
                   const Pointer place = Pointer() / "targets" / path;
                   report.rest().Told(side, place, "length");
                   report.rest().Told(side, place / "hashes", "sha256");
                   report.rest().Told(side, place, "custom");
                 });
  if (role == "policy")
    SHOAL_RETURN_IF_ERROR(PolicyDifference(tree, old, next.value, report));
  return report.Take();
}

}  // namespace

absl::StatusOr<std::string> Difference(const Tree& tree,
                                       const std::string& role,
                                       const std::string& before,
                                       const std::string& after) {
  if (role == "root") return RootDifference(tree, before, after);
  if (role != "snapshot" && role != "timestamp")
    return TargetsDifference(tree, role, before, after);
  SHOAL_ASSIGN_OR_RETURN(Json was, SignedOf(before));
  SHOAL_ASSIGN_OR_RETURN(Json is, SignedOf(after));
  return JsonRest(std::move(was), std::move(is)).Lines();
}

}  // namespace shoal::signing
