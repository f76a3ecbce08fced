#include "agent/state/agent_config.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/bytes.h"
#include "common/config.h"
#include "common/files.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "rules/selector.h"

namespace shoal::agent {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), separator);
}

bool ParseInteger(std::string_view text, int64_t& value) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() &&
         !text.empty();
}

absl::StatusOr<uint32_t> ParseMinute(std::string_view text) {
  int64_t hours = 0, minutes = 0;
  if (text.size() != 5 || text[2] != ':' ||
      !ParseInteger(text.substr(0, 2), hours) ||
      !ParseInteger(text.substr(3), minutes) || hours < 0 || hours > 23 ||
      minutes < 0 || minutes > 59)
    return InvalidArgument("bad_window",
                           fmt::format("'{}' is no time of day HH:MM", text));
  return static_cast<uint32_t>(hours * 60 + minutes);
}

absl::StatusOr<uint32_t> ParseWeekday(std::string_view text) {
  static constexpr std::string_view kNames[] = {"mon", "tue", "wed", "thu",
                                                "fri", "sat", "sun"};
  for (uint32_t i = 0; i < 7; ++i)
    if (text == kNames[i]) return i + 1;
  return InvalidArgument("bad_window",
                         fmt::format("'{}' is no weekday (mon … sun)", text));
}

// A program that the owner names in the table `base`, and how long it may take.
absl::Status LoadProgram(Config& config, const std::string& base,
                         absl::Duration default_limit, std::string& program,
                         absl::Duration& time_limit) {
  program = config.RequiredString(base + ".program");
  if (!program.empty() && program[0] != '/')
    return InvalidArgument("bad_config",
                           fmt::format("{}.program: must be absolute", base));
  time_limit = config.Duration(base + ".time_limit", default_limit);
  if (time_limit <= absl::ZeroDuration() || time_limit > absl::Hours(1))
    return InvalidArgument("bad_config",
                           fmt::format("{}.time_limit: 1ms to 1h", base));
  return absl::OkStatus();
}

absl::Status LoadCommands(Config& config, AgentConfig& result) {
  for (const std::string& name : config.Tables("commands")) {
    const std::string base = "commands." + name;
    if (!IsIdentifier(name))
      return InvalidArgument("bad_config",
                             fmt::format("{}: not a valid name", base));
    CommandDefinition command;
    SHOAL_RETURN_IF_ERROR(LoadProgram(config, base, absl::Seconds(30),
                                      command.program, command.time_limit));
    command.arguments = config.Strings(base + ".arguments");
    for (const std::string& type : config.Strings(base + ".types")) {
      auto parsed = ParseArgumentType(type);
      if (!parsed.ok())
        return InvalidArgument(
            "bad_config", fmt::format("{}.types: {}", base,
                                      std::string(parsed.status().message())));
      command.types.push_back(*std::move(parsed));
    }
    command.user = config.String(base + ".user");
    result.commands.emplace(name, std::move(command));
  }
  return absl::OkStatus();
}

constexpr size_t kMaxComponents = 8;

absl::Status LoadComponents(Config& config, AgentConfig& result) {
  for (const std::string& name : config.Tables("components")) {
    const std::string base = "components." + name;
    if (!IsIdentifier(name) || name == "image")
      return InvalidArgument("bad_config",
                             fmt::format("{}: not a valid name", base));
    ComponentProgram component;
    SHOAL_RETURN_IF_ERROR(LoadProgram(config, base, absl::Minutes(5),
                                      component.program, component.time_limit));
    result.components.emplace(name, std::move(component));
  }
  if (result.components.size() > kMaxComponents)
    return InvalidArgument(
        "bad_config", fmt::format("components: at most {}", kMaxComponents));
  return absl::OkStatus();
}

}  // namespace

absl::Status ArgumentType::Check(std::string_view text) const {
  switch (kind) {
    case Kind::kIdentifier:
      if (IsIdentifier(text)) return absl::OkStatus();
      return InvalidArgument("bad_argument", "must be an identifier");
    case Kind::kInteger: {
      int64_t value = 0;
      if (ParseInteger(text, value) && value >= min && value <= max)
        return absl::OkStatus();
      return InvalidArgument(
          "bad_argument",
          fmt::format("must be an integer from {} to {}", min, max));
    }
    case Kind::kChoice:
      for (const std::string& choice : choices)
        if (text == choice) return absl::OkStatus();
      return InvalidArgument("bad_argument", "must be one of the choices");
  }
  return Internal("bad_argument", "unknown argument type");
}

absl::StatusOr<ArgumentType> ParseArgumentType(std::string_view text) {
  const std::vector<std::string> parts = Split(text, ':');
  ArgumentType type;
  if (parts[0] == "identifier" && parts.size() == 1) return type;
  if (parts[0] == "integer" && parts.size() == 3 &&
      ParseInteger(parts[1], type.min) && ParseInteger(parts[2], type.max) &&
      type.min <= type.max) {
    type.kind = ArgumentType::Kind::kInteger;
    return type;
  }
  if (parts[0] == "choice" && parts.size() == 2) {
    type.kind = ArgumentType::Kind::kChoice;
    type.choices = Split(parts[1], '|');
    bool all_good = true;
    for (const std::string& choice : type.choices)
      all_good = all_good && IsIdentifier(choice);
    if (all_good) return type;
  }
  return InvalidArgument(
      "bad_argument_type",
      fmt::format("'{}' is not identifier, integer:MIN:MAX or choice:a|b",
                  text));
}

absl::StatusOr<policy::v1::TimeWindow> ParseWindow(std::string_view text) {
  policy::v1::TimeWindow window;
  const size_t blank = text.rfind(' ');
  std::string_view times = text;
  if (blank != std::string_view::npos) {
    times = text.substr(blank + 1);
    for (const std::string& part : Split(text.substr(0, blank), ',')) {
      const std::vector<std::string> range = Split(part, '-');
      if (range.size() > 2)
        return InvalidArgument("bad_window", fmt::format("'{}'", part));
      SHOAL_ASSIGN_OR_RETURN(uint32_t day, ParseWeekday(range.front()));
      SHOAL_ASSIGN_OR_RETURN(const uint32_t last, ParseWeekday(range.back()));
      for (;; day = day % 7 + 1) {
        window.add_weekdays(day);
        if (day == last) break;
      }
    }
  }
  const size_t dash = times.find('-');
  if (dash == std::string_view::npos)
    return InvalidArgument("bad_window",
                           fmt::format("'{}' has no HH:MM-HH:MM", text));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t from,
                         ParseMinute(times.substr(0, dash)));
  SHOAL_ASSIGN_OR_RETURN(const uint32_t to,
                         ParseMinute(times.substr(dash + 1)));
  window.set_from_minute(from);
  window.set_to_minute(to);
  return window;
}

rules::LocalTime LocalTimeAt(absl::Time time) {
  const absl::CivilSecond civil =
      absl::ToCivilSecond(time, absl::LocalTimeZone());
  rules::LocalTime local;
  local.weekday = static_cast<int>(absl::GetWeekday(civil)) + 1;
  local.minute = civil.hour() * 60 + civil.minute();
  local.date = static_cast<int>(civil.year()) * 10000 + civil.month() * 100 +
               civil.day();
  return local;
}

bool InWindows(const std::vector<policy::v1::TimeWindow>& windows,
               const rules::LocalTime& local) {
  if (windows.empty()) return true;
  for (const policy::v1::TimeWindow& window : windows)
    if (rules::InWindow(window, local)) return true;
  return false;
}

absl::StatusOr<AgentConfig> AgentConfig::Load(const std::string& path) {
  // All paths of the configuration are relative to its file, and every program
  // that the agent starts has a working directory of its own.
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error).string();
  if (error)
    return InvalidArgument("bad_config",
                           fmt::format("{}: {}", path, error.message()));
  SHOAL_ASSIGN_OR_RETURN(Config config, Config::Load(absolute));
  AgentConfig c;
  c.path = absolute;
  c.data_directory = config.Path("data", ".");
  c.log_level = config.String("log.level", "info");
  c.device_type = config.RequiredString("device.type");
  c.parts.hardware = config.String("device.hardware");
  const std::vector<std::string> components =
      config.Strings("device.components");
  const std::string fleet = config.String("fleet.id");
  c.ticket_file = config.Path("pairing.ticket_file");
  c.bootstrap_file = config.Path("pairing.bootstrap_file");
  c.factory_credential = config.Path("pairing.factory_credential");
  c.bind_address = config.String("network.bind", "127.0.0.1:0");
  c.listen = config.Boolean("network.listen", true);
  c.poll_interval = config.Duration("network.poll_interval", absl::Minutes(15));
  c.start_spread = config.Duration("network.start_spread", absl::Seconds(30));
  c.log_interval = config.Duration("network.log_interval",
                                   c.listen ? absl::Hours(1) : absl::Hours(12));
  c.metered = config.Boolean("network.metered", false);
  c.swarm_listen = config.String("swarm.listen", "127.0.0.1:0");
  constexpr int64_t kMaxRate = int64_t{1} << 40;
  c.upload_limit =
      config.Integer("swarm.upload_bytes_per_second", 0, 0, kMaxRate);
  c.download_limit =
      config.Integer("swarm.download_bytes_per_second", 0, 0, kMaxRate);
  c.seed_time = config.Duration("swarm.seed_time", absl::Hours(24));
  c.boot_tries = static_cast<int>(config.Integer("slots.tries", 2, 1, 10));
  const std::string handler = config.String("slots.handler", "file");
  c.boot_start = config.Strings("slots.start");
  const std::string reboot = config.String("update.reboot", "auto");
  c.reboot_automatically = reboot == "auto";
  const std::vector<std::string> windows = config.Strings("update.windows");
  c.min_interval = config.Duration("update.min_interval", absl::ZeroDuration());
  c.max_starts_per_day = static_cast<int>(
      config.Integer("update.max_starts_per_day", 24, 1, 10000));
  c.max_delta_memory = static_cast<uint64_t>(
      config.Integer("update.max_delta_memory", 24 << 20, 1 << 20, 1 << 30));
  c.health_command = config.Strings("health.command");
  c.health_timeout = config.Duration("health.timeout", absl::Minutes(1));
  c.metrics_listen = config.String("metrics.listen");
  c.telemetry = config.Boolean("telemetry.enabled", true);
  c.telemetry_interval =
      config.Duration("telemetry.interval", absl::Minutes(1));
  c.program_directory = config.Path("programs.directory");
  const absl::Status commands = LoadCommands(config, c);
  const absl::Status programs = LoadComponents(config, c);
  SHOAL_RETURN_IF_ERROR(config.Finish());
  SHOAL_RETURN_IF_ERROR(commands);
  SHOAL_RETURN_IF_ERROR(programs);

  if (!IsIdentifier(c.device_type))
    return InvalidArgument("bad_config", "device.type: must be an identifier");
  if (!c.parts.hardware.empty() && !IsIdentifier(c.parts.hardware))
    return InvalidArgument("bad_config",
                           "device.hardware: must be an identifier");
  for (const std::string& text : components) {
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    uint64_t counter = 0;
    if (equals == text.npos || !IsIdentifier(name) || name == "image" ||
        c.components.contains(name) ||
        !absl::SimpleAtoi(text.substr(equals + 1), &counter) ||
        !c.parts.components.emplace(name, counter).second)
      return InvalidArgument(
          "bad_config",
          fmt::format("device.components: '{}' is not NAME=COUNTER of another "
                      "component than the image and those of [components]",
                      text));
  }
  if (c.parts.components.size() > 16)
    return InvalidArgument("bad_config", "device.components: at most 16");
  if (handler != "file")
    return InvalidArgument(
        "bad_config",
        fmt::format("slots.handler: '{}' is unknown; there is: file", handler));
  if (reboot != "auto" && reboot != "manual")
    return InvalidArgument("bad_config",
                           "update.reboot: must be \"auto\" or \"manual\"");
  if (!fleet.empty()) {
    SHOAL_ASSIGN_OR_RETURN(c.fleet_id, HexDecode(fleet));
    if (c.fleet_id.size() != 32)
      return InvalidArgument("bad_config", "fleet.id: must be 64 hex digits");
  }
  for (const std::string& text : windows) {
    auto window = ParseWindow(text);
    if (!window.ok())
      return InvalidArgument(
          "bad_config", fmt::format("update.windows: {}",
                                    std::string(window.status().message())));
    c.windows.push_back(*std::move(window));
  }
  if (c.telemetry_interval < absl::Milliseconds(100))
    return InvalidArgument("bad_config", "telemetry.interval: at least 100ms");
  if (c.log_interval < absl::Milliseconds(100))
    return InvalidArgument("bad_config",
                           "network.log_interval: at least 100ms");
  if (c.poll_interval < absl::Milliseconds(100))
    return InvalidArgument("bad_config",
                           "network.poll_interval: at least 100ms");
  if (c.start_spread < absl::ZeroDuration() || c.start_spread > absl::Hours(1))
    return InvalidArgument("bad_config", "network.start_spread: 0s to 1h");
  if (!c.factory_credential.empty() && c.bootstrap_file.empty())
    return InvalidArgument("bad_config",
                           "pairing.factory_credential: needs "
                           "pairing.bootstrap_file too");
  if (c.program_directory.empty()) c.program_directory = ProgramDirectory();
  return c;
}

std::string AgentConfig::StateDirectory() const {
  return JoinPath(data_directory, "state");
}
std::string AgentConfig::MetadataDirectory() const {
  return JoinPath(data_directory, "metadata");
}
std::string AgentConfig::DownloadDirectory() const {
  return JoinPath(data_directory, "downloads");
}
std::string AgentConfig::SpoolDirectory() const {
  return JoinPath(data_directory, "spool");
}

}  // namespace shoal::agent
