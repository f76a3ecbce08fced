// The journal's text form. Digests and the like are hex; texts are texts, bytes
// in them that are no UTF-8 being replaced. Fields that are missing get their
// defaults, so that a newer agent reads an older journal.
#include <nlohmann/json.hpp>

#include "agent/state/device_state.h"
#include "common/bytes.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using nlohmann::json;

// A broken journal ends up in the one catch of DecodeState.
std::string Bytes(const json& object, const char* key) {
  const std::string text = object.value(key, std::string());
  auto bytes = HexDecode(text);
  if (!bytes.ok()) throw std::runtime_error(std::string(key) + ": no hex");
  return *std::move(bytes);
}

json ToJson(const ImageInfo& i) {
  return {{"version", i.version},
          {"sha256", HexEncode(i.sha256)},
          {"length", i.length},
          {"counter", i.counter},
          {"min_counter", i.min_counter}};
}
ImageInfo ImageFrom(const json& j) {
  ImageInfo i;
  i.version = j.value("version", "");
  i.sha256 = Bytes(j, "sha256");
  i.length = j.value("length", uint64_t{0});
  i.counter = j.value("counter", uint64_t{0});
  i.min_counter = j.value("min_counter", uint64_t{0});
  return i;
}

json ToJson(const ArtifactSource& a) {
  return {{"sha256", HexEncode(a.sha256)},
          {"length", a.length},
          {"file_root", HexEncode(a.file_root)},
          {"piece_length", a.piece_length},
          {"local_path", a.local_path},
          {"max_bytes_per_second", a.max_bytes_per_second}};
}
ArtifactSource SourceFrom(const json& j) {
  ArtifactSource a;
  a.sha256 = Bytes(j, "sha256");
  a.length = j.value("length", uint64_t{0});
  a.file_root = Bytes(j, "file_root");
  a.piece_length = j.value("piece_length", uint64_t{0});
  a.local_path = j.value("local_path", "");
  a.max_bytes_per_second = j.value("max_bytes_per_second", uint64_t{0});
  return a;
}

json ToJson(const ComponentUpdate& c) {
  return {{"name", c.name},
          {"counter", c.counter},
          {"version", c.version},
          {"source", ToJson(c.source)},
          {"begun", c.begun}};
}
ComponentUpdate ComponentFrom(const json& j) {
  ComponentUpdate c;
  c.name = j.value("name", "");
  c.counter = j.value("counter", uint64_t{0});
  c.version = j.value("version", "");
  c.source = SourceFrom(j.at("source"));
  c.begun = j.value("begun", false);
  return c;
}

json ToJson(const UpdateRecord& u) {
  json j = {{"state", std::string(UpdateStateName(u.state))},
            {"rollout_id", u.rollout_id},
            {"rollout_version", u.rollout_version},
            {"phase", u.phase},
            {"outcome_shard", u.outcome_shard},
            {"attempt", u.attempt},
            {"max_attempts", u.max_attempts},
            {"image", ToJson(u.image)},
            {"from", ToJson(u.from)},
            {"target_slot", u.target_slot},
            {"full", ToJson(u.full)},
            {"image_runs", u.image_runs},
            {"used_delta", u.used_delta},
            {"delta_failure", u.delta_failure},
            {"resume_state", HexEncode(u.resume_state)},
            {"boot_count", u.boot_count},
            {"bytes_from_peers", u.bytes_from_peers},
            {"bytes_from_origin", u.bytes_from_origin},
            {"result", static_cast<int>(u.result)},
            {"reason", u.reason},
            {"message", u.message},
            {"health_output", u.health_output},
            {"started_ms", u.started_ms},
            {"finished_ms", u.finished_ms},
            {"outcome_counter", u.outcome_counter}};
  for (const ComponentUpdate& c : u.components)
    j["components"].push_back(ToJson(c));
  if (u.delta)
    j["delta"] = {{"artifact", ToJson(u.delta->artifact)},
                  {"from_sha256", HexEncode(u.delta->from_sha256)},
                  {"from_length", u.delta->from_length},
                  {"memory", u.delta->memory}};
  return j;
}
UpdateRecord UpdateFrom(const json& j) {
  UpdateRecord u;
  const auto state = UpdateStateFromName(j.value("state", ""));
  if (!state) throw std::runtime_error("update.state: unknown");
  u.state = *state;
  u.rollout_id = j.value("rollout_id", "");
  u.rollout_version = j.value("rollout_version", uint64_t{0});
  u.phase = j.value("phase", uint32_t{0});
  u.outcome_shard = j.value("outcome_shard", "");
  u.attempt = j.value("attempt", uint32_t{1});
  u.max_attempts = j.value("max_attempts", uint32_t{1});
  u.image = ImageFrom(j.at("image"));
  u.from = ImageFrom(j.at("from"));
  u.target_slot = j.value("target_slot", "");
  u.full = SourceFrom(j.at("full"));
  if (j.contains("delta")) {
    DeltaSource delta;
    delta.artifact = SourceFrom(j["delta"].at("artifact"));
    delta.from_sha256 = Bytes(j["delta"], "from_sha256");
    delta.from_length = j["delta"].value("from_length", uint64_t{0});
    delta.memory = j["delta"].value("memory", uint64_t{0});
    u.delta = std::move(delta);
  }
  const json components = j.value("components", json::array());
  for (const json& c : components) u.components.push_back(ComponentFrom(c));
  u.image_runs = j.value("image_runs", false);
  u.used_delta = j.value("used_delta", false);
  u.delta_failure = j.value("delta_failure", "");
  u.resume_state = Bytes(j, "resume_state");
  u.boot_count = j.value("boot_count", uint64_t{0});
  u.bytes_from_peers = j.value("bytes_from_peers", uint64_t{0});
  u.bytes_from_origin = j.value("bytes_from_origin", uint64_t{0});
  const int result = j.value("result", 0);
  if (result < 0 || result > static_cast<int>(UpdateResult::kRefused))
    throw std::runtime_error("update.result: unknown");
  u.result = static_cast<UpdateResult>(result);
  u.reason = j.value("reason", "");
  u.message = j.value("message", "");
  u.health_output = j.value("health_output", "");
  u.started_ms = j.value("started_ms", int64_t{0});
  u.finished_ms = j.value("finished_ms", int64_t{0});
  u.outcome_counter = j.value("outcome_counter", uint64_t{0});
  return u;
}

}  // namespace

std::string EncodeState(const StateData& d) {
  json j = {{"format", 1},
            {"floor", d.floor},
            {"outcome_counter", d.outcome_counter},
            {"report_version", d.report_version},
            {"assignment_version", d.assignment_version},
            {"policy_version", d.policy_version},
            {"seen_commands", d.seen_commands},
            {"starts_ms", d.starts_ms},
            {"rollouts", json::object()},
            {"halts", json::object()}};
  for (const auto& [id, r] : d.rollouts)
    j["rollouts"][id] = {{"version", r.version},
                         {"digest", HexEncode(r.digest)},
                         {"conflict", r.conflict},
                         {"attempts", r.attempts},
                         {"last_attempt_ms", r.last_attempt_ms},
                         {"phase", r.phase},
                         {"finished", r.finished},
                         {"order", r.order},
                         {"refusals", r.refusals},
                         {"enough_since_ms", r.enough_since_ms},
                         {"ran_before", HexEncode(r.ran_before)}};
  for (const auto& [digest, h] : d.halts)
    j["halts"][digest] = {{"rollout_id", h.rollout_id},
                          {"counter", h.counter},
                          {"reason", h.reason},
                          {"operator_key", h.operator_key}};
  if (!d.halts_all.empty()) j["halts_all"] = d.halts_all;
  if (d.last_refusal)
    j["last_refusal"] = {{"case", d.last_refusal->what},
                         {"reason", d.last_refusal->reason},
                         {"message", d.last_refusal->message},
                         {"time_ms", d.last_refusal->time_ms}};
  j["tally"] = {{"updates", d.tally.updates},
                {"refusals", d.tally.refusals},
                {"bytes_from_peers", d.tally.bytes_from_peers},
                {"bytes_from_origin", d.tally.bytes_from_origin}};
  if (d.update) j["update"] = ToJson(*d.update);
  if (d.last_update) j["last_update"] = ToJson(*d.last_update);
  return j.dump(1, ' ', false, json::error_handler_t::replace) + "\n";
}

absl::StatusOr<StateData> DecodeState(std::string_view text) {
  try {
    const json j = json::parse(text);
    StateData d;
    d.floor = j.value("floor", uint64_t{0});
    d.outcome_counter = j.value("outcome_counter", uint64_t{0});
    d.report_version = j.value("report_version", uint64_t{0});
    d.assignment_version = j.value("assignment_version", uint64_t{0});
    d.policy_version = j.value("policy_version", uint64_t{0});
    d.seen_commands =
        j.value("seen_commands", std::map<std::string, int64_t>());
    d.starts_ms = j.value("starts_ms", std::vector<int64_t>());
    const json rollouts = j.value("rollouts", json::object());
    for (const auto& [id, r] : rollouts.items())
      d.rollouts[id] = {
          .version = r.value("version", uint64_t{0}),
          .digest = Bytes(r, "digest"),
          .conflict = r.value("conflict", false),
          .attempts = r.value("attempts", uint32_t{0}),
          .last_attempt_ms = r.value("last_attempt_ms", int64_t{0}),
          .phase = r.value("phase", -1),
          .finished = r.value("finished", false),
          .order = r.value("order", uint64_t{0}),
          .refusals = r.value("refusals", std::set<std::string>()),
          .enough_since_ms =
              r.value("enough_since_ms", std::map<std::string, int64_t>()),
          .ran_before = Bytes(r, "ran_before")};
    const json halts = j.value("halts", json::object());
    for (const auto& [digest, h] : halts.items())
      d.halts[digest] = {.rollout_id = h.value("rollout_id", ""),
                         .counter = h.value("counter", uint64_t{0}),
                         .reason = h.value("reason", ""),
                         .operator_key = h.value("operator_key", "")};
    d.halts_all = j.value("halts_all", std::set<std::string>());
    if (j.contains("last_refusal")) {
      const json& r = j["last_refusal"];
      d.last_refusal = Refusal{.what = r.value("case", ""),
                               .reason = r.value("reason", ""),
                               .message = r.value("message", ""),
                               .time_ms = r.value("time_ms", int64_t{0})};
    }
    const json tally = j.value("tally", json::object());
    using Counts = std::map<std::string, uint64_t>;
    d.tally = {
        .updates = tally.value("updates", Counts()),
        .refusals = tally.value("refusals", Counts()),
        .bytes_from_peers = tally.value("bytes_from_peers", uint64_t{0}),
        .bytes_from_origin = tally.value("bytes_from_origin", uint64_t{0})};
    if (j.contains("update")) d.update = UpdateFrom(j["update"]);
    if (j.contains("last_update")) d.last_update = UpdateFrom(j["last_update"]);
    return d;
  } catch (const std::exception& error) {
    return DataLoss("bad_state",
                    std::string("the journal is damaged: ") + error.what());
  }
}

}  // namespace shoal::agent
