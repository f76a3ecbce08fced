#include "agent/status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "agent/install/slots.h"
#include "agent/state/device_state.h"
#include "agent/state/identity.h"
#include "common/bytes.h"
#include "common/status.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/verify/entry_credential.h"

namespace shoal::agent {
namespace {

using nlohmann::json;

json Show(const UpdateRecord& update) {
  return {{"rollout", update.rollout_id},
          {"state", std::string(UpdateStateName(update.state))},
          {"phase", update.phase},
          {"version", update.image.version},
          {"sha256", HexEncode(update.image.sha256)},
          {"from_version", update.from.version},
          {"attempt", update.attempt},
          {"result", std::string(UpdateResultName(update.result))},
          {"reason", update.reason},
          {"message", update.message},
          {"used_delta", update.used_delta},
          {"delta_failure", update.delta_failure},
          {"bytes_from_peers", update.bytes_from_peers},
          {"bytes_from_origin", update.bytes_from_origin},
          {"health_output", update.health_output},
          {"started_ms", update.started_ms},
          {"finished_ms", update.finished_ms}};
}

absl::StatusOr<json> Collect(FileSystem& fs, const AgentConfig& config) {
  json j = {{"device_type", config.device_type}};
  SHOAL_ASSIGN_OR_RETURN(const auto membership,
                         LoadMembership(fs, config.StateDirectory()));
  j["paired"] = membership.has_value();
  if (membership) {
    j["device_id"] = HexEncode(membership->device_id());
    j["fleet_id"] = HexEncode(membership->fleet_id);
    j["labels"] = std::map<std::string, std::string>(
        membership->grant.assignment().labels().begin(),
        membership->grant.assignment().labels().end());
  } else if (!config.fleet_id.empty()) {
    j["fleet_id"] = HexEncode(config.fleet_id);
  }
  if (DeviceKeys::Exist(fs, config.StateDirectory())) {
    SHOAL_ASSIGN_OR_RETURN(
        const DeviceKeys keys,
        DeviceKeys::LoadOrCreate(fs, config.StateDirectory()));
    j["fingerprint"] = signing::FingerprintOf(keys.signing.public_key());
    if (keys.next)
      j["next_fingerprint"] = signing::FingerprintOf(keys.next->public_key());
  }
  FileSlots slots(fs, config.data_directory);
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, slots.Running());
  j["running"] = {{"slot", running.slot},
                  {"trial", running.trial},
                  {"version", running.info.version},
                  {"sha256", HexEncode(running.info.sha256)},
                  {"counter", running.info.counter},
                  {"boot_count", running.boot_count}};
  SHOAL_ASSIGN_OR_RETURN(
      const std::unique_ptr<DeviceState> opened,
      DeviceState::Open(fs, JoinPath(config.StateDirectory(), "journal.json")));
  const StateData state = opened->Get();
  j["floor"] = state.floor;
  j["update"] = state.update ? Show(*state.update) : json(nullptr);
  j["last_update"] =
      state.last_update ? Show(*state.last_update) : json(nullptr);
  j["last_refusal"] = nullptr;
  if (state.last_refusal)
    j["last_refusal"] = {{"case", state.last_refusal->what},
                         {"reason", state.last_refusal->reason},
                         {"message", state.last_refusal->message},
                         {"time_ms", state.last_refusal->time_ms}};
  j["tally"] = {{"updates", state.tally.updates},
                {"refusals", state.tally.refusals},
                {"bytes_from_peers", state.tally.bytes_from_peers},
                {"bytes_from_origin", state.tally.bytes_from_origin}};
  j["log"] = nullptr;
  const std::string log_path = JoinPath(config.MetadataDirectory(), "log");
  if (fs.Exists(log_path)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string bytes, fs.Read(log_path, 1 << 20));
    log::v1::LogMemory memory;
    json& log = j["log"];
    // The agent forgets a damaged one, and says so.
    log = json::object();
    if (memory.ParseFromString(bytes))
      log = {{"size", memory.head().size()},
             {"root", HexEncode(memory.head().root())},
             {"restarts", memory.restarts_size()}};
    if (memory.has_fork())
      log["fork"] = {{"seen_ms", memory.fork().seen_at()},
                     {"explanation", memory.fork().explanation()},
                     {"evidence", log_path + "_fork.jsonl"}};
  }
  j["halts"] = json::array();
  for (const auto& [digest, halt] : state.halts)
    j["halts"].push_back({{"digest", digest},
                          {"rollout", halt.rollout_id},
                          {"reason", halt.reason}});
  if (!state.halts_all.empty()) j["halts_all"] = state.halts_all;
  const std::string live_path = JoinPath(config.StateDirectory(), "live.json");
  if (fs.Exists(live_path)) {
    SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(live_path, 4096));
    const json live = json::parse(text, nullptr, false);
    if (live.is_object()) j["live"] = live;
  }
  return j;
}

// "clock    nodes; the storage nodes agreed at 2026-03-01T12:00:00Z"
std::string ClockText(const json& live) {
  const std::string source = live.value("clock", "");
  if (source.empty()) return "";  // of an agent before this one
  const int64_t agreed = live.value("clock_agreed_ms", int64_t{0});
  return fmt::format("clock    {}; {}\n", source,
                     agreed == 0
                         ? "the storage nodes were not heard in this run"
                         : "the storage nodes agreed at " +
                               absl::FormatTime("%Y-%m-%dT%H:%M:%SZ",
                                                absl::FromUnixMillis(agreed),
                                                absl::UTCTimeZone()));
}

}  // namespace

absl::StatusOr<std::string> StatusJson(FileSystem& fs,
                                       const AgentConfig& config) {
  SHOAL_ASSIGN_OR_RETURN(const json j, Collect(fs, config));
  // Texts of programs may hold any bytes.
  return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<std::string> StatusText(FileSystem& fs,
                                       const AgentConfig& config) {
  SHOAL_ASSIGN_OR_RETURN(const json j, Collect(fs, config));
  std::string out;
  out += fmt::format("device   {}\n", j.value("device_id", "not paired"));
  if (j.contains("fingerprint"))
    out += fmt::format("key      {}\n", j.value("fingerprint", ""));
  if (j.contains("next_fingerprint"))
    out += fmt::format("next key {}, once the plane has certified it\n",
                       j.value("next_fingerprint", ""));
  out += fmt::format("type     {}\n", j.value("device_type", ""));
  const json& running = j["running"];
  out += fmt::format("running  {} (slot {}{}), counter {}\n",
                     running.value("version", ""), running.value("slot", ""),
                     running.value("trial", false) ? ", on trial" : "",
                     running.value("counter", uint64_t{0}));
  out += fmt::format("floor    {}\n", j.value("floor", uint64_t{0}));
  if (j["update"].is_object())
    out += fmt::format("update   to {}: {}\n", j["update"].value("version", ""),
                       j["update"].value("state", ""));
  if (j["last_update"].is_object())
    out += fmt::format("last     to {}: {} ({})\n",
                       j["last_update"].value("version", ""),
                       j["last_update"].value("result", ""),
                       j["last_update"].value("reason", ""));
  if (j["last_refusal"].is_object())
    out += fmt::format("refused  {}: {}: {}\n",
                       j["last_refusal"].value("case", ""),
                       j["last_refusal"].value("reason", ""),
                       j["last_refusal"].value("message", ""));
  if (const json& log = j["log"]; log.is_object()) {
    out += fmt::format("log      {} entries, {}\n",
                       log.value("size", uint64_t{0}), log.value("root", ""));
    if (log.contains("fork"))
      out += fmt::format("ALARM    log_fork: {} (evidence: {})\n",
                         log["fork"].value("explanation", ""),
                         log["fork"].value("evidence", ""));
    if (log.value("restarts", 0) > 0)
      out += fmt::format("note     the log began anew {} times\n",
                         log.value("restarts", 0));
  }
  if (j.contains("live")) {
    out += fmt::format("waiting  {}\n", j["live"].value("waiting_reason", ""));
    out += ClockText(j["live"]);
  }
  return out;
}

}  // namespace shoal::agent
