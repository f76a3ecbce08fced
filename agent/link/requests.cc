#include "agent/link/requests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using nlohmann::json;
constexpr uint64_t kMaxBytes = 64 * 1024;

std::string Directory(const AgentConfig& config) {
  return JoinPath(config.data_directory, "requests");
}
std::string RequestPath(const AgentConfig& config) {
  return JoinPath(Directory(config), "install");
}
std::string AnswerPath(const AgentConfig& config) {
  return JoinPath(Directory(config), "install.answer");
}
std::string ConsentPath(const AgentConfig& config, const std::string& rollout) {
  return JoinPath(Directory(config), "consent." + rollout);
}

std::string PostponePath(const AgentConfig& config,
                         const std::string& rollout) {
  return JoinPath(Directory(config), "postpone." + rollout);
}
constexpr absl::Duration kMaxPostponement = absl::Hours(24 * 7);

}  // namespace

absl::StatusOr<FileDescriptor> LockData(FileSystem& fs,
                                        const AgentConfig& config) {
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(config.StateDirectory(), 0700));
  const std::string path = JoinPath(config.StateDirectory(), "lock");
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoError(errno, "open " + path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return FailedPrecondition(
          "agent_running",
          fmt::format("another agent works in {}", config.data_directory));
    return ErrnoError(errno, "lock " + path);
  }
  return fd;
}

absl::StatusOr<InstallAnswer> AskForInstall(FileSystem& fs,
                                            const AgentConfig& config,
                                            const OfflineRequest& request,
                                            absl::Duration timeout) {
  const std::string id = HexEncode(crypto::RandomBytes(8));
  const json j = {{"id", id},
                  {"directory", HexEncode(request.directory)},
                  {"version", HexEncode(request.version)},
                  {"fleet_id", HexEncode(request.fleet_id)}};
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(Directory(config), 0700));
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(RequestPath(config), j.dump(), 0600));
  const absl::Time until = absl::Now() + timeout;
  while (absl::Now() < until) {
    const auto text = fs.Read(AnswerPath(config), kMaxBytes);
    const json answer =
        text.ok() ? json::parse(*text, nullptr, false) : json(nullptr);
    if (answer.is_object() && answer.value("id", "") == id) {
      InstallAnswer result;
      if (const std::string reason = answer.value("reason", "ok");
          reason != "ok")
        result.status = MakeError(
            static_cast<absl::StatusCode>(answer.value("code", 2)), reason,
            HexDecode(answer.value("message", "")).value_or(""));
      result.result.up_to_date = answer.value("up_to_date", false);
      result.result.with_delta = answer.value("with_delta", false);
      result.result.image.version = answer.value("version", "");
      result.result.image.counter = answer.value("counter", uint64_t{0});
      return result;
    }
    absl::SleepFor(absl::Milliseconds(50));
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "agent_silent",
                   "the running agent did not answer");
}

std::optional<PendingInstall> TakeInstallRequest(FileSystem& fs,
                                                 const AgentConfig& config) {
  if (!fs.Exists(RequestPath(config))) return std::nullopt;
  const auto text = fs.Read(RequestPath(config), kMaxBytes);
  const absl::Status removed = fs.Remove(RequestPath(config));
  if (!text.ok() || !removed.ok()) {
    LogWarn("request_unreadable",
            {{"error", text.ok() ? removed : text.status()}});
    return std::nullopt;
  }
  const json j = json::parse(*text, nullptr, false);
  if (!j.is_object()) return std::nullopt;
  PendingInstall pending;
  try {
    pending.id = j.value("id", "");
    pending.request.directory =
        HexDecode(j.value("directory", "")).value_or("");
    pending.request.version = HexDecode(j.value("version", "")).value_or("");
    pending.request.fleet_id = HexDecode(j.value("fleet_id", "")).value_or("");
  } catch (const json::exception& error) {
    LogWarn("request_unreadable", {{"message", error.what()}});
    return std::nullopt;
  }
  return pending;
}

absl::Status AnswerInstall(FileSystem& fs, const AgentConfig& config,
                           const std::string& id, const InstallAnswer& answer) {
  const json j = {{"id", id},
                  {"reason", ReasonOf(answer.status)},
                  {"code", static_cast<int>(answer.status.code())},
                  {"message", HexEncode(std::string(answer.status.message()))},
                  {"up_to_date", answer.result.up_to_date},
                  {"with_delta", answer.result.with_delta},
                  {"version", answer.result.image.version},
                  {"counter", answer.result.image.counter}};
  return fs.WriteAtomic(AnswerPath(config), j.dump(), 0600);
}

absl::Status Postpone(FileSystem& fs, const AgentConfig& config,
                      const std::string& rollout_id, absl::Time until,
                      absl::Time now) {
  if (!IsIdentifier(rollout_id))
    return InvalidArgument("bad_name", "not a rollout's name");
  if (until > now + kMaxPostponement)
    return InvalidArgument("bad_time",
                           "a rollout is put off for 7 days at most");
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(Directory(config), 0700));
  return fs.WriteAtomic(PostponePath(config, rollout_id),
                        std::to_string(absl::ToUnixMillis(until)), 0600);
}

absl::Time PostponedUntil(FileSystem& fs, const AgentConfig& config,
                          const std::string& rollout_id) {
  const std::string path = PostponePath(config, rollout_id);
  if (!fs.Exists(path)) return absl::InfinitePast();
  const auto text = fs.Read(path, 64);
  int64_t ms = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &ms)) {
    LogWarn("request_unreadable", {{"file", path}});
    return absl::InfinitePast();
  }
  return absl::FromUnixMillis(ms);
}

absl::Status GiveConsent(FileSystem& fs, const AgentConfig& config,
                         const std::string& rollout_id) {
  if (!IsIdentifier(rollout_id))
    return InvalidArgument("bad_name", "not a rollout's name");
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(Directory(config), 0700));
  return fs.WriteAtomic(ConsentPath(config, rollout_id), "", 0600);
}

bool HasConsent(FileSystem& fs, const AgentConfig& config,
                const std::string& rollout_id) {
  return fs.Exists(ConsentPath(config, rollout_id));
}

}  // namespace shoal::agent
