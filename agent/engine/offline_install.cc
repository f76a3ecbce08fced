#include "agent/engine/offline_install.h"

#include <fmt/format.h>

#include "agent/engine/candidate.h"
#include "agent/install/image_file.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/verify/updater.h"

namespace shoal::agent {
namespace {

constexpr uint64_t kMaxIndexBytes = 1u << 20;

std::string BlobPath(const std::string& directory, const std::string& sha256) {
  return fmt::format("{}/blobs/{}", directory, HexEncode(sha256));
}

// The delta index of the image, when the repository has one; a missing or bad
// one costs only bytes.
std::optional<release::v1::DeltaIndex> DeltaIndexOf(
    signing::Updater& updater, signing::Fetcher& source,
    const signing::ImageInfo& info) {
  const auto target = updater.GetTarget(
      &source,
      fmt::format("director/{}/deltas/{}", info.device_type, info.version));
  if (!target.ok()) return std::nullopt;
  const auto bytes = updater.FetchTarget(&source, *target, kMaxIndexBytes);
  release::v1::DeltaIndex index;
  if (!bytes.ok() || !index.ParseFromString(*bytes)) {
    LogWarn("delta_index_unusable", {{"version", info.version}});
    return std::nullopt;
  }
  return index;
}

absl::StatusOr<SignedImage> Choose(signing::Updater& updater,
                                   signing::Fetcher& source,
                                   const AgentConfig& config,
                                   const std::string& version) {
  SHOAL_ASSIGN_OR_RETURN(
      const std::vector<signing::TargetFile> targets,
      updater.TargetsOf(&source, "fw-" + config.device_type));
  return PickImage(targets, config.device_type, version);
}

}  // namespace

void NoteRefusal(DeviceState& state, Clock& clock, std::string_view what,
                 const absl::Status& status) {
  const std::string event = fmt::format("{}_refused", what);
  LogWarn(event, {{"reason", ReasonOf(status)},
                  {"message", std::string(status.message())}});
  const absl::Status saved = state.Change([&](StateData& d) {
    d.last_refusal = Refusal{std::string(what), ReasonOf(status),
                             std::string(status.message()),
                             absl::ToUnixMillis(clock.WallNow())};
  });
  if (!saved.ok()) LogError("state_not_saved", {{"error", saved}});
}

absl::StatusOr<OfflineResult> BeginOfflineInstall(
    const AgentConfig& config, const OfflineRequest& request, FileSystem& fs,
    Clock& clock, DeviceState& state, SlotHandler& slots, Engine& engine) {
  const auto refuse = [&](std::string_view what, const absl::Status& status) {
    NoteRefusal(state, clock, what, status);
    return status;
  };
  if (request.fleet_id.size() != 32)
    return refuse(
        "update",
        FailedPrecondition("no_fleet_id",
                           "this device is not paired: name the fleet with "
                           "--fleet-id or [fleet] id"));
  if (state.Get().update)
    return FailedPrecondition("busy", "another update is in hand");

  signing::UpdaterOptions options;
  options.directory = config.MetadataDirectory();
  options.fleet_id = request.fleet_id;
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<signing::Updater> updater,
                         signing::Updater::Open(options, fs, clock));
  signing::DirectoryFetcher source(fs, request.directory);
  if (const absl::Status status = updater->Refresh(source); !status.ok())
    return refuse("metadata", status);
  const auto image = Choose(*updater, source, config, request.version);
  if (!image.ok()) {
    // The metadata's own faults, or none for this device in it.
    const bool for_me = ReasonOf(image.status()) == "unknown_target";
    return refuse(for_me ? "update" : "metadata", image.status());
  }
  if (const absl::Status status =
          CheckImage(*image, config.device_type, state.Get().floor);
      !status.ok())
    return refuse("update", status);

  if (const absl::Status status = CheckFit(*image, config.parts); !status.ok())
    return refuse("update", status);

  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, slots.Running());
  OfflineResult result;
  const auto index = DeltaIndexOf(*updater, source, image->info);
  UpdateRecord update = MakeUpdate(*image, index ? &*index : nullptr,
                                   running.info, config.max_delta_memory);
  result.image = update.image;
  if (running.info.sha256 == update.image.sha256) {
    result.up_to_date = true;
    return result;
  }
  update.rollout_id = kOfflineRollout;
  SHOAL_ASSIGN_OR_RETURN(const std::string path,
                         signing::TargetFilePath(image->target));
  update.full.local_path = JoinPath(request.directory, path);
  if (!fs.Exists(update.full.local_path))
    update.full.local_path = BlobPath(request.directory, update.full.sha256);
  if (update.delta) {
    ArtifactSource& delta = update.delta->artifact;
    delta.local_path = BlobPath(request.directory, delta.sha256);
    if (!fs.Exists(delta.local_path)) update.delta.reset();
  }
  if (!update.delta && !fs.Exists(update.full.local_path))
    return refuse("update",
                  NotFound("no_source",
                           fmt::format("{} has neither the image {} nor a "
                                       "delta to it from what runs",
                                       request.directory, image->target.path)));
  // Bytes that are not what was signed are refused before anything begins.
  const ArtifactSource& first =
      update.delta ? update.delta->artifact : update.full;
  if (const absl::Status status =
          VerifyFile(first.local_path, first.length, first.sha256);
      !status.ok() && !update.delta)
    return refuse("update", status);
  result.with_delta = update.delta.has_value();
  SHOAL_RETURN_IF_ERROR(engine.Begin(update));
  return result;
}

}  // namespace shoal::agent
