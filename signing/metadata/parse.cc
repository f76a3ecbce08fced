#include <fmt/format.h>

#include <charconv>
#include <set>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/json.h"
#include "signing/metadata/metadata.h"
#include "signing/metadata/parse_parts.h"

namespace shoal::signing {
namespace {

using namespace parse;  // NOLINT: this file is the parser
using nlohmann::json;

absl::StatusOr<absl::Time> Expires(const json& object) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, String(object, "expires"));
  absl::Time time;
  std::string error;
  if (text.size() != 20 || text.back() != 'Z' ||
      !absl::ParseTime("%Y-%m-%dT%H:%M:%SZ", text, &time, &error) ||
      FormatExpires(time) != text)
    return Bad("'expires' is not of the form 2026-01-01T00:00:00Z");
  return time;
}

// MAJOR.MINOR or MAJOR.MINOR.PATCH; another major may mean anything, other
// minors are compatible by the specification's own rule.
bool SpecVersionIsOurs(std::string_view text) {
  if (!text.starts_with("1.")) return false;
  text.remove_prefix(2);
  for (int part = 0; part < 2; ++part) {
    uint32_t number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number);
    const size_t length = static_cast<size_t>(end - text.data());
    if (error != std::errc() || (length > 1 && text[0] == '0')) return false;
    text.remove_prefix(length);
    if (text.empty()) return true;
    if (text[0] != '.') return false;
    text.remove_prefix(1);
  }
  return false;
}

absl::StatusOr<std::vector<std::string>> ParseHexKeys(const json& object,
                                                      const char* key) {
  std::vector<std::string> result;
  if (!object.contains(key)) return result;
  SHOAL_ASSIGN_OR_RETURN(const json* array, Array(object, key));
  for (const json& value : *array) {
    SHOAL_ASSIGN_OR_RETURN(std::string bytes, Hex(value, 32, key));
    result.push_back(std::move(bytes));
  }
  return result;
}

constexpr size_t kMaxManufacturers = 64;
constexpr size_t kMaxTypesOfManufacturer = 64;

absl::StatusOr<std::vector<Manufacturer>> ParseManufacturers(
    const json& object) {
  std::vector<Manufacturer> manufacturers;
  if (!object.contains("manufacturers")) return manufacturers;
  SHOAL_ASSIGN_OR_RETURN(const json* array, Array(object, "manufacturers"));
  if (array->size() > kMaxManufacturers) return Bad("too many manufacturers");
  for (const json& value : *array) {
    Manufacturer one;
    if (!value.is_object()) return Bad("a manufacturer is no object");
    SHOAL_ASSIGN_OR_RETURN(one.name, String(value, "name"));
    if (!IsIdentifier(one.name))
      return Bad("a manufacturer's name is unusable");
    if (!value.contains("key")) return Bad("a manufacturer without a key");
    SHOAL_ASSIGN_OR_RETURN(one.key, Hex(value["key"], 32, "key"));
    if (value.contains("device_types")) {
      SHOAL_ASSIGN_OR_RETURN(const json* types, Array(value, "device_types"));
      if (types->size() > kMaxTypesOfManufacturer)
        return Bad("too many device types of one manufacturer");
      for (const json& type : *types) {
        if (!type.is_string() || !IsIdentifier(type.get<std::string>()))
          return Bad("a manufacturer's device type is unusable");
        one.device_types.push_back(type.get<std::string>());
      }
    }
    manufacturers.push_back(std::move(one));
  }
  return manufacturers;
}

absl::StatusOr<FleetKeys> ParseFleetKeys(const json& object) {
  FleetKeys keys;
  SHOAL_ASSIGN_OR_RETURN(keys.device_ca, ParseHexKeys(object, "device_ca"));
  SHOAL_ASSIGN_OR_RETURN(keys.node_ca, ParseHexKeys(object, "node_ca"));
  SHOAL_ASSIGN_OR_RETURN(keys.time, ParseHexKeys(object, "time"));
  if (object.contains("telemetry")) {
    SHOAL_ASSIGN_OR_RETURN(keys.telemetry,
                           Hex(object["telemetry"], 32, "telemetry"));
  }
  SHOAL_ASSIGN_OR_RETURN(keys.manufacturers, ParseManufacturers(object));
  return keys;
}

absl::StatusOr<LogHead> ParseLogHead(const json& object) {
  SHOAL_ASSIGN_OR_RETURN(const json* log, Object(object, "log"));
  LogHead head;
  SHOAL_ASSIGN_OR_RETURN(head.size, Number(*log, "size", 1));
  SHOAL_ASSIGN_OR_RETURN(head.snapshot, Number(*log, "snapshot", 0));
  if (!log->contains("root")) return Bad("'log' lacks its root");
  SHOAL_ASSIGN_OR_RETURN(head.root, Hex((*log)["root"], 32, "root"));
  if (head.snapshot >= head.size || head.size > kMaxLogHeadSize)
    return Bad("'log' has an impossible size");
  return head;
}

struct Envelope {
  SignedBytes bytes;
  json content;  // "signed"
};

absl::StatusOr<Envelope> ParseEnvelope(std::string_view text,
                                       uint64_t max_bytes,
                                       std::string_view type, Dialect dialect) {
  SHOAL_ASSIGN_OR_RETURN(
      json file, ParseStrictJson(text, max_bytes,
                                 dialect == Dialect::kFleet ? JsonKeys::kAscii
                                                            : JsonKeys::kUtf8));
  Envelope envelope;
  SHOAL_ASSIGN_OR_RETURN(const json* signatures, Array(file, "signatures"));
  if (signatures->size() > kMaxSignatures) return Bad("too many signatures");
  std::set<std::string> signers;
  for (const json& value : *signatures) {
    Signature signature;
    SHOAL_ASSIGN_OR_RETURN(signature.key_id, String(value, "keyid"));
    SHOAL_ASSIGN_OR_RETURN(const std::string hex, String(value, "sig"));
    // The specification forbids it, and it has no honest use (T11).
    if (!signers.insert(signature.key_id).second)
      return Bad("two signatures by one key id");
    // "" is what stock tools write for "not signed yet"; a scheme that nobody
    // here knows may have another form than hex.
    if (auto bytes = HexDecode(hex); bytes.ok())
      signature.bytes = *std::move(bytes);
    envelope.bytes.signatures.push_back(std::move(signature));
  }
  SHOAL_RETURN_IF_ERROR(Object(file, "signed"));
  envelope.content = std::move(file["signed"]);
  envelope.bytes.canonical_signed = Canonicalize(envelope.content);
  SHOAL_ASSIGN_OR_RETURN(envelope.bytes.type,
                         String(envelope.content, "_type"));
  if (envelope.bytes.type != type)
    return Bad(fmt::format("a file of type '{:.20}' where {} is expected",
                           envelope.bytes.type, type));
  SHOAL_ASSIGN_OR_RETURN(const std::string spec,
                         String(envelope.content, "spec_version"));
  if (!SpecVersionIsOurs(spec))
    return Bad(fmt::format("spec_version '{:.20}' is not 1.x", spec));
  return envelope;
}

absl::Status ParseCommon(const json& content, SignedCommon& common) {
  SHOAL_ASSIGN_OR_RETURN(common.version, Number(content, "version", 1));
  SHOAL_ASSIGN_OR_RETURN(common.expires, Expires(content));
  return absl::OkStatus();
}

}  // namespace

uint64_t MaxMetadataBytes(std::string_view role) {
  if (role == "root") return kMaxRootBytes;
  if (role == "timestamp") return kMaxTimestampBytes;
  if (role == "snapshot") return kMaxSnapshotBytes;
  return kMaxTargetsBytes;
}

std::string FormatExpires(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::StatusOr<ParsedRoot> ParseRootAs(Dialect dialect,
                                       std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(Envelope envelope,
                         ParseEnvelope(bytes, kMaxRootBytes, "root", dialect));
  ParsedRoot parsed{std::move(envelope.bytes), {}};
  Root& root = parsed.value;
  const json& content = envelope.content;
  SHOAL_RETURN_IF_ERROR(ParseCommon(content, root));
  // Repositories from before the field have files without versions.
  root.consistent_snapshot = false;
  if (content.contains("consistent_snapshot")) {
    SHOAL_ASSIGN_OR_RETURN(
        const json* consistent,
        Member(content, "consistent_snapshot", json::value_t::boolean));
    root.consistent_snapshot = consistent->get<bool>();
  }
  SHOAL_ASSIGN_OR_RETURN(root.keys, Keys(content));
  SHOAL_ASSIGN_OR_RETURN(const json* roles, Object(content, "roles"));
  for (const char* name : {"root", "timestamp", "snapshot", "targets"}) {
    SHOAL_ASSIGN_OR_RETURN(const json* role, Object(*roles, name));
    SHOAL_ASSIGN_OR_RETURN(root.roles[name], Role(*role));
  }
  return parsed;
}

absl::StatusOr<ParsedTimestamp> ParseTimestampAs(Dialect dialect,
                                                 std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(
      Envelope envelope,
      ParseEnvelope(bytes, kMaxTimestampBytes, "timestamp", dialect));
  ParsedTimestamp parsed{std::move(envelope.bytes), {}};
  SHOAL_RETURN_IF_ERROR(ParseCommon(envelope.content, parsed.value));
  SHOAL_ASSIGN_OR_RETURN(const json* meta, Object(envelope.content, "meta"));
  SHOAL_ASSIGN_OR_RETURN(const json* file, Object(*meta, "snapshot.json"));
  SHOAL_ASSIGN_OR_RETURN(parsed.value.snapshot, File(*file, dialect));
  if (dialect == Dialect::kFleet && envelope.content.contains("shoal")) {
    SHOAL_ASSIGN_OR_RETURN(const json* ours, Object(envelope.content, "shoal"));
    if (ours->contains("log")) {
      SHOAL_ASSIGN_OR_RETURN(parsed.value.log, ParseLogHead(*ours));
    }
  }
  return parsed;
}

absl::StatusOr<ParsedSnapshot> ParseSnapshotAs(Dialect dialect,
                                               std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(
      Envelope envelope,
      ParseEnvelope(bytes, kMaxSnapshotBytes, "snapshot", dialect));
  ParsedSnapshot parsed{std::move(envelope.bytes), {}};
  SHOAL_RETURN_IF_ERROR(ParseCommon(envelope.content, parsed.value));
  SHOAL_ASSIGN_OR_RETURN(const json* meta, Object(envelope.content, "meta"));
  for (const auto& [name, value] : meta->items()) {
    if (!name.ends_with(".json") || !value.is_object())
      return Bad("'meta' has an unusable entry");
    const std::string role = name.substr(0, name.size() - 5);
    // Some repositories list root too; it is fetched in its own way.
    if (role == "root") continue;
    if (role != "targets" && !UsableRoleName(role, dialect))
      return Bad("'meta' has an unusable entry");
    SHOAL_ASSIGN_OR_RETURN(parsed.value.meta[role], File(value, dialect));
  }
  return parsed;
}

absl::StatusOr<ParsedTargets> ParseTargetsAs(Dialect dialect,
                                             std::string_view bytes) {
  SHOAL_ASSIGN_OR_RETURN(
      Envelope envelope,
      ParseEnvelope(bytes, kMaxTargetsBytes, "targets", dialect));
  ParsedTargets parsed{std::move(envelope.bytes), {}};
  Targets& targets = parsed.value;
  const json& content = envelope.content;
  SHOAL_RETURN_IF_ERROR(ParseCommon(content, targets));
  SHOAL_ASSIGN_OR_RETURN(const json* files, Object(content, "targets"));
  for (const auto& [path, value] : files->items()) {
    SHOAL_ASSIGN_OR_RETURN(TargetFile file, Target(path, value, dialect));
    targets.targets.emplace(path, std::move(file));
  }
  if (content.contains("delegations")) {
    SHOAL_ASSIGN_OR_RETURN(const json* object, Object(content, "delegations"));
    SHOAL_ASSIGN_OR_RETURN(targets.delegations,
                           AllDelegations(*object, dialect));
  }
  if (dialect == Dialect::kFleet && content.contains("shoal")) {
    SHOAL_ASSIGN_OR_RETURN(const json* object, Object(content, "shoal"));
    SHOAL_ASSIGN_OR_RETURN(targets.fleet_keys, ParseFleetKeys(*object));
  }
  return parsed;
}

absl::StatusOr<ParsedRoot> ParseRoot(std::string_view bytes) {
  return ParseRootAs(Dialect::kFleet, bytes);
}
absl::StatusOr<ParsedTimestamp> ParseTimestamp(std::string_view bytes) {
  return ParseTimestampAs(Dialect::kFleet, bytes);
}
absl::StatusOr<ParsedSnapshot> ParseSnapshot(std::string_view bytes) {
  return ParseSnapshotAs(Dialect::kFleet, bytes);
}
absl::StatusOr<ParsedTargets> ParseTargets(std::string_view bytes) {
  return ParseTargetsAs(Dialect::kFleet, bytes);
}

}  // namespace shoal::signing
