#include "agent/boot/boot_env.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/log.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using nlohmann::json;
constexpr uint64_t kMaxBytes = 4096;
constexpr char kEnv[] = "env";
constexpr char kEnvCopy[] = "env.copy";

bool IsSlot(const std::string& name) { return name == "a" || name == "b"; }

absl::Status Bad(const std::string& path, std::string_view what) {
  return DataLoss("bad_boot_env", fmt::format("{}: {}", path, what));
}

absl::StatusOr<BootEnv> ReadEnv(FileSystem& fs, const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(path, kMaxBytes));
  try {
    const json j = json::parse(text);
    BootEnv env;
    env.committed = j.at("committed").get<std::string>();
    env.trial = j.value("trial", "");
    env.tries_left = j.value("tries_left", uint32_t{0});
    env.boots = j.value("boots", uint64_t{0});
    env.fell_back = j.value("fell_back", "");
    if (!IsSlot(env.committed) || (!env.trial.empty() && !IsSlot(env.trial)))
      return Bad(path, "unknown slot");
    return env;
  } catch (const json::exception& error) {
    return Bad(path, error.what());
  }
}

}  // namespace

std::string OtherSlot(const std::string& slot) {
  return slot == "a" ? "b" : "a";
}

absl::StatusOr<BootEnv> LoadBootEnv(FileSystem& fs,
                                    const std::string& directory) {
  absl::StatusOr<BootEnv> env = ReadEnv(fs, JoinPath(directory, kEnv));
  if (env.ok()) return env;
  // A damaged environment must not keep the device from booting.
  absl::StatusOr<BootEnv> copy = ReadEnv(fs, JoinPath(directory, kEnvCopy));
  if (!copy.ok()) return env.status();
  LogWarn("boot_env_damaged", {{"error", env.status()}, {"used", kEnvCopy}});
  // Whether the trial's tries were used up is not known: the good slot boots.
  if (!copy->trial.empty()) copy->fell_back = copy->trial;
  copy->trial.clear();
  copy->tries_left = 0;
  return copy;
}

absl::Status SaveBootEnv(FileSystem& fs, const std::string& directory,
                         const BootEnv& env) {
  const json j = {{"committed", env.committed},
                  {"trial", env.trial},
                  {"tries_left", env.tries_left},
                  {"boots", env.boots},
                  {"fell_back", env.fell_back}};
  const std::string text = j.dump() + "\n";
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(JoinPath(directory, kEnv), text));
  return fs.WriteAtomic(JoinPath(directory, kEnvCopy), text);
}

absl::StatusOr<RunningSlot> LoadRunning(FileSystem& fs,
                                        const std::string& directory) {
  const std::string path = JoinPath(directory, "running");
  if (!fs.Exists(path)) {
    SHOAL_ASSIGN_OR_RETURN(const BootEnv env, LoadBootEnv(fs, directory));
    return RunningSlot{env.committed, false, env.boots};
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(path, kMaxBytes));
  try {
    const json j = json::parse(text);
    RunningSlot running;
    running.slot = j.at("slot").get<std::string>();
    running.trial = j.value("trial", false);
    running.boot_count = j.value("boot_count", uint64_t{0});
    if (!IsSlot(running.slot)) return Bad(path, "unknown slot");
    return running;
  } catch (const json::exception& error) {
    return Bad(path, error.what());
  }
}

absl::StatusOr<RunningSlot> BootOnce(FileSystem& fs,
                                     const std::string& directory) {
  SHOAL_ASSIGN_OR_RETURN(BootEnv env, LoadBootEnv(fs, directory));
  RunningSlot running;
  if (!env.trial.empty() && env.tries_left > 0) {
    --env.tries_left;
    running.slot = env.trial;
    running.trial = true;
  } else {
    if (!env.trial.empty()) {
      env.fell_back = env.trial;
      env.trial.clear();
    }
    running.slot = env.committed;
  }
  running.boot_count = ++env.boots;
  // The try is counted before the slot runs.
  SHOAL_RETURN_IF_ERROR(SaveBootEnv(fs, directory, env));
  const json j = {{"slot", running.slot},
                  {"trial", running.trial},
                  {"boot_count", running.boot_count}};
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(directory, "running"), j.dump() + "\n"));
  return running;
}

}  // namespace shoal::agent
