#include <fmt/format.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "agent/boot/boot_env.h"
#include "agent/install/image_file.h"
#include "agent/install/slots.h"
#include "common/bytes.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using nlohmann::json;

std::string EncodeInfo(const ImageInfo& info) {
  return json{{"version", info.version},
              {"sha256", HexEncode(info.sha256)},
              {"length", info.length},
              {"counter", info.counter},
              {"min_counter", info.min_counter}}
             .dump() +
         "\n";
}

absl::StatusOr<ImageInfo> DecodeInfo(const std::string& text,
                                     const std::string& path) {
  try {
    const json j = json::parse(text);
    ImageInfo info;
    info.version = j.value("version", "");
    SHOAL_ASSIGN_OR_RETURN(info.sha256, HexDecode(j.value("sha256", "")));
    info.length = j.value("length", uint64_t{0});
    info.counter = j.value("counter", uint64_t{0});
    info.min_counter = j.value("min_counter", uint64_t{0});
    return info;
  } catch (const json::exception& error) {
    return DataLoss("bad_state",
                    fmt::format("{} is damaged: {}", path, error.what()));
  }
}

}  // namespace

std::string FileSlots::BootDirectory() const {
  return JoinPath(directory_, "boot");
}

std::string FileSlots::InfoPath(const std::string& slot) const {
  return fmt::format("{}/slots/{}/info", directory_, slot);
}

absl::Status FileSlots::Initialise(const std::string& image,
                                   const std::string& version) {
  if (fs_.Exists(JoinPath(BootDirectory(), "env")))
    return MakeError(absl::StatusCode::kAlreadyExists, "already_initialised",
                     fmt::format("{} has slots already", directory_));
  SHOAL_RETURN_IF_ERROR(fs_.MakeDirectories(BootDirectory()));
  for (const char* slot : {"a", "b"})
    SHOAL_RETURN_IF_ERROR(
        fs_.MakeDirectories(fmt::format("{}/slots/{}", directory_, slot)));
  if (!image.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t length, fs_.Size(image));
    ImageInfo info{.version = version, .sha256 = {}, .length = length};
    SHOAL_ASSIGN_OR_RETURN(info.sha256, HashFile(image, length));
    SHOAL_ASSIGN_OR_RETURN(const std::string path, PathOf("a"));
    SHOAL_RETURN_IF_ERROR(CopyVerified(image, path, length, info.sha256));
    SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(InfoPath("a"), EncodeInfo(info)));
  }
  return SaveBootEnv(fs_, BootDirectory(), BootEnv{});
}

absl::StatusOr<RunningImage> FileSlots::Running() {
  SHOAL_ASSIGN_OR_RETURN(const RunningSlot slot,
                         LoadRunning(fs_, BootDirectory()));
  SHOAL_ASSIGN_OR_RETURN(const BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  RunningImage running;
  running.slot = slot.slot;
  running.boot_count = slot.boot_count;
  running.trial = slot.trial && env.committed != slot.slot;
  SHOAL_ASSIGN_OR_RETURN(running.path, PathOf(slot.slot));
  if (fs_.Exists(InfoPath(slot.slot))) {
    SHOAL_ASSIGN_OR_RETURN(const std::string text,
                           fs_.Read(InfoPath(slot.slot), 4096));
    SHOAL_ASSIGN_OR_RETURN(running.info, DecodeInfo(text, InfoPath(slot.slot)));
  }
  return running;
}

absl::StatusOr<std::string> FileSlots::InactiveSlot() {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, Running());
  return OtherSlot(running.slot);
}

absl::StatusOr<std::string> FileSlots::PathOf(const std::string& slot) {
  if (slot != "a" && slot != "b")
    return InvalidArgument("bad_slot", fmt::format("no slot '{}'", slot));
  return fmt::format("{}/slots/{}/image", directory_, slot);
}

absl::Status FileSlots::Invalidate(const std::string& slot) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, Running());
  SHOAL_ASSIGN_OR_RETURN(BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  if (slot == running.slot || slot == env.committed)
    return FailedPrecondition(
        "slot_active", fmt::format("slot {} is the one that runs", slot));
  if (env.trial == slot || env.fell_back == slot) {
    env.trial.clear();
    env.tries_left = 0;
    env.fell_back.clear();
    SHOAL_RETURN_IF_ERROR(SaveBootEnv(fs_, BootDirectory(), env));
  }
  return fs_.Remove(InfoPath(slot));
}

absl::Status FileSlots::MarkBootable(const std::string& slot,
                                     const ImageInfo& info, int tries) {
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, Running());
  if (slot == running.slot)
    return FailedPrecondition(
        "slot_active", fmt::format("slot {} is the one that runs", slot));
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(InfoPath(slot), EncodeInfo(info)));
  SHOAL_ASSIGN_OR_RETURN(BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  env.trial = slot;
  env.tries_left = static_cast<uint32_t>(tries);
  env.fell_back.clear();
  return SaveBootEnv(fs_, BootDirectory(), env);
}

absl::StatusOr<SlotHandler::Mark> FileSlots::MarkOf(const std::string& slot) {
  SHOAL_ASSIGN_OR_RETURN(const BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  if (env.trial == slot) return Mark::kMarked;
  return env.fell_back == slot ? Mark::kFellBack : Mark::kNone;
}

absl::Status FileSlots::Commit() {
  SHOAL_ASSIGN_OR_RETURN(const RunningSlot running,
                         LoadRunning(fs_, BootDirectory()));
  SHOAL_ASSIGN_OR_RETURN(BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  if (env.committed == running.slot && env.trial.empty())
    return absl::OkStatus();
  env.committed = running.slot;
  env.trial.clear();
  env.tries_left = 0;
  return SaveBootEnv(fs_, BootDirectory(), env);
}

absl::Status FileSlots::Rollback() {
  SHOAL_ASSIGN_OR_RETURN(BootEnv env, LoadBootEnv(fs_, BootDirectory()));
  if (env.trial.empty()) return absl::OkStatus();
  env.fell_back = env.trial;
  env.trial.clear();
  env.tries_left = 0;
  return SaveBootEnv(fs_, BootDirectory(), env);
}

}  // namespace shoal::agent
