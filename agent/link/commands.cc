#include "agent/link/commands.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "rules/access.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kMaxCommandLife = absl::Minutes(15);
constexpr absl::Duration kClockSkew = absl::Minutes(1);
constexpr size_t kMaxWaiting = 64;
constexpr size_t kMaxSeen = 4096;
constexpr size_t kMaxOutput = 8192;
constexpr absl::Duration kResultLifetime = absl::Hours(1);

// A program runs as another user only by way of setpriv, and only when the
// agent is root: it never falls back to its own rights.
absl::Status AddUser(const std::string& user, std::vector<std::string>& line) {
  if (user.empty()) return absl::OkStatus();
  const struct passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return FailedPrecondition("user_unavailable",
                              fmt::format("there is no user '{}'", user));
  if (entry->pw_uid == ::geteuid()) return absl::OkStatus();
  if (::geteuid() != 0)
    return FailedPrecondition(
        "user_unavailable",
        fmt::format("only root can run a command as '{}'", user));
  line.insert(line.begin(),
              {"/usr/bin/setpriv", fmt::format("--reuid={}", entry->pw_uid),
               fmt::format("--regid={}", entry->pw_gid), "--init-groups",
               "--no-new-privs", "--"});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<records::v1::Command> OpenCommand(
    const dht::VerifiedRecord& record, const BoxKeys& box,
    std::string_view device_id) {
  const auto bad = [](std::string_view what) {
    return PermissionDenied("bad_command", what);
  };
  if (record.body.kind() != records::v1::RECORD_KIND_COMMAND ||
      record.writer.kind != records::v1::WRITER_CLASS_OPERATOR)
    return bad("not an operator's command");
  const auto plain = box.Open(record.body.payload());
  records::v1::Command command;
  if (!plain.ok() || !command.ParseFromString(*plain))
    return bad("not sealed to this device");
  // The box says nothing about who sealed it: what is inside must agree with
  // who signed the record and where it lay (T54).
  if (command.device_id() != device_id) return bad("for another device");
  if (command.operator_key() != record.writer.public_key)
    return bad("another operator's command");
  if (command.id().size() != 16) return bad("the id has no 16 bytes");
  return command;
}

absl::Status CheckCommand(const records::v1::Command& command,
                          const AgentConfig& config, const TrustView& trust,
                          const StateData& state, std::string_view device_id,
                          absl::Time now) {
  const absl::Time issued = absl::FromUnixMillis(command.issued());
  const absl::Time expires = absl::FromUnixMillis(command.expires());
  if (now >= expires || expires - issued > kMaxCommandLife ||
      issued > now + kClockSkew)
    return FailedPrecondition("expired", "the command is not valid now");
  if (state.seen_commands.contains(HexEncode(command.id())))
    return FailedPrecondition("replayed", "this command was seen before");
  const policy::v1::Operator* op =
      rules::FindOperatorByKey(trust.policy, command.operator_key());
  if (op == nullptr)
    return PermissionDenied("permission_denied", "not an operator");
  const rules::DeviceFacts facts =
      rules::FactsFromPolicy(trust.policy, device_id, config.device_type);
  const rules::Decision decision = rules::Evaluate(
      trust.policy, rules::PrincipalOf(*op), "command.run:" + command.name(),
      &facts, LocalTimeAt(now));
  if (!decision.allowed || decision.needs_consent)
    return PermissionDenied("permission_denied", decision.explanation);
  const auto definition = config.commands.find(command.name());
  if (definition == config.commands.end())
    return NotFound("unknown_command",
                    "this device's configuration has no such command");
  const std::vector<ArgumentType>& types = definition->second.types;
  if (types.size() != static_cast<size_t>(command.arguments_size()))
    return InvalidArgument("bad_argument",
                           fmt::format("{} arguments are needed, {} were given",
                                       types.size(), command.arguments_size()));
  for (size_t i = 0; i < types.size(); ++i)
    if (const absl::Status status =
            types[i].Check(command.arguments(static_cast<int>(i)));
        !status.ok())
      return Annotate(status, fmt::format("argument {}", i));
  return absl::OkStatus();
}

std::vector<std::string> CommandLine(const CommandDefinition& definition,
                                     const records::v1::Command& command) {
  std::vector<std::string> line = {definition.program};
  for (std::string argument : definition.arguments) {
    for (int i = 0; i < command.arguments_size(); ++i)
      if (argument == fmt::format("{{{}}}", i)) {
        argument = command.arguments(i);
        break;
      }
    line.push_back(std::move(argument));
  }
  return line;
}

CommandRunner::CommandRunner(const AgentConfig* config, const DeviceKeys* keys,
                             DeviceState* state, const TrustHolder* trust,
                             const dht::PlaceNamer* places, RecordOut* out)
    : config_(config),
      keys_(keys),
      state_(state),
      trust_(trust),
      places_(places),
      out_(out) {}

CommandRunner::~CommandRunner() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void CommandRunner::Offer(dht::VerifiedRecord record) {
  {
    std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxWaiting) {
      LogWarn("command_dropped", {{"waiting", queue_.size()}});
      return;
    }
    queue_.push_back(std::move(record));
    // Most devices are never given one: no thread before the first.
    if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
  }
  wake_.notify_all();
}

void CommandRunner::Loop() {
  for (;;) {
    dht::VerifiedRecord record;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      record = std::move(queue_.front());
      queue_.pop_front();
    }
    Handle(record);
  }
}

void CommandRunner::Handle(const dht::VerifiedRecord& record) {
  const std::shared_ptr<const TrustView> trust = trust_->Get();
  if (!trust) return;
  const std::string& device_id = out_->membership().device_id();
  auto command = OpenCommand(record, *keys_->box, device_id);
  if (!command.ok()) {
    LogWarn("command_refused", {{"error", command.status()}});
    return;
  }
  const absl::Time now = std::max(out_->clock()->WallNow(), trust->time_floor);
  const std::string id = HexEncode(command->id());
  records::v1::CommandResult result;
  result.set_command_id(command->id());
  result.set_device_id(device_id);
  result.set_started(absl::ToUnixMillis(now));
  const StateData state = state_->Get();
  absl::Status status =
      CheckCommand(*command, *config_, *trust, state, device_id, now);
  // The answer of the first time stands; a replay gets none. Nor does one out
  // of its time: nobody waits for it.
  if (const std::string reason = ReasonOf(status);
      reason == "replayed" || reason == "expired") {
    LogInfo("command_refused", {{"id", id}, {"error", status}});
    return;
  }
  if (state.seen_commands.size() >= kMaxSeen)
    status = ResourceExhausted("too_many_commands", "try again later");
  // Durable before the program starts: power loss must not run it twice (T22).
  const absl::Status seen = state_->Change([&](StateData& d) {
    std::erase_if(d.seen_commands, [&](const auto& entry) {
      return absl::FromUnixMillis(entry.second) + kClockSkew < now;
    });
    d.seen_commands[id] = command->expires();
    if (!status.ok())
      d.last_refusal =
          Refusal{"command", ReasonOf(status), std::string(status.message()),
                  absl::ToUnixMillis(now)};
  });
  if (!seen.ok()) {
    LogError("state_not_saved", {{"error", seen}});
    return;
  }
  if (status.ok()) {
    Execute(*command, result);
    LogInfo(
        "command_done",
        {{"id", id}, {"name", command->name()}, {"reason", result.reason()}});
  } else {
    LogWarn("command_refused",
            {{"id", id}, {"name", command->name()}, {"error", status}});
    result.set_reason(ReasonOf(status));
    result.set_message(std::string(status.message()));
  }
  result.set_finished(absl::ToUnixMillis(out_->clock()->WallNow()));
  const auto sealed =
      crypto::SealTo(command->reply_key(), result.SerializeAsString());
  if (!sealed.ok()) {
    LogWarn("command_result_unsealable", {{"error", sealed.status()}});
    return;
  }
  const absl::Status sent = out_->Send(records::v1::RECORD_KIND_COMMAND_RESULT,
                                       places_->CommandResult(command->id()), 1,
                                       *sealed, kResultLifetime);
  if (!sent.ok()) LogError("command_result_lost", {{"error", sent}});
}

void CommandRunner::Execute(const records::v1::Command& command,
                            records::v1::CommandResult& result) {
  const CommandDefinition& definition = config_->commands.at(command.name());
  SubprocessOptions options;
  options.arguments = CommandLine(definition, command);
  options.environment = {{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}};
  options.new_session = true;
  if (const absl::Status user = AddUser(definition.user, options.arguments);
      !user.ok()) {
    result.set_reason(ReasonOf(user));
    result.set_message(std::string(user.message()));
    return;
  }
  const auto run = RunCommand(options, definition.time_limit, kMaxOutput);
  if (!run.ok()) {
    result.set_reason(absl::IsDeadlineExceeded(run.status())
                          ? "timeout"
                          : ReasonOf(run.status()));
    result.set_message(std::string(run.status().message()));
    return;
  }
  result.set_exit_code(run->status.exited ? run->status.code
                                          : 128 + run->status.signal);
  result.set_output(run->output.substr(0, kMaxOutput));
  result.set_reason(run->status.ok() ? "ok" : "exit_nonzero");
}

}  // namespace shoal::agent
