#include "agent/engine/offline_install.h"

#include <fmt/format.h>

#include "agent/engine/candidate.h"
#include "agent/engine/delta_abilities.h"
#include "agent/install/image_file.h"
#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

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

// Where the repository keeps the target's bytes; "no_source".
absl::StatusOr<std::string> BytesOf(FileSystem& fs,
                                    const std::string& directory,
                                    const signing::TargetFile& target) {
  SHOAL_ASSIGN_OR_RETURN(const std::string path,
                         signing::TargetFilePath(target));
  for (const std::string& one :
       {JoinPath(directory, path), BlobPath(directory, target.sha256)})
    if (fs.Exists(one)) return one;
  return NotFound("no_source",
                  fmt::format("{} does not have {}", directory, target.path));
}

// Says where all that the update needs lies. Bytes that are not what was
// signed are refused before anything begins; a delta only costs bytes.
absl::Status FindBytes(FileSystem& fs, const std::string& directory,
                       const SignedImage& image,
                       const std::vector<SignedImage>& components,
                       UpdateRecord& update) {
  const auto verify = [](const ArtifactSource& source) {
    return VerifyFile(source.local_path, source.length, source.sha256);
  };
  for (size_t i = 0; i < components.size(); ++i) {
    ArtifactSource& source = update.components[i].source;
    SHOAL_ASSIGN_OR_RETURN(source.local_path,
                           BytesOf(fs, directory, components[i].target));
    SHOAL_RETURN_IF_ERROR(verify(source));
  }
  if (update.image_runs) return absl::OkStatus();
  if (update.delta) {
    ArtifactSource& delta = update.delta->artifact;
    delta.local_path = BlobPath(directory, delta.sha256);
    if (!fs.Exists(delta.local_path)) update.delta.reset();
  }
  const auto full = BytesOf(fs, directory, image.target);
  if (full.ok()) update.full.local_path = *full;
  if (update.delta) {
    // Fetching falls back to it, should the delta not do.
    if (!full.ok())
      update.full.local_path = BlobPath(directory, update.full.sha256);
    return absl::OkStatus();
  }
  if (!full.ok())
    return NotFound("no_source",
                    fmt::format("{} has neither the image {} nor a delta to it "
                                "from what runs",
                                directory, image.target.path));
  return verify(update.full);
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
    ++d.tally.refusals[d.last_refusal->what];
  });
  if (!saved.ok()) LogError("state_not_saved", {{"error", saved}});
}

absl::StatusOr<OfflineResult> BeginOfflineInstall(
    const AgentConfig& config, const OfflineRequest& request, FileSystem& fs,
    Clock& clock, DeviceState& state, SlotHandler& slots,
    Components& components, Engine& engine, signing::Updater* updater) {
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

  std::unique_ptr<signing::Updater> own;
  if (updater == nullptr) {
    signing::UpdaterOptions options;
    options.directory = config.MetadataDirectory();
    options.fleet_id = request.fleet_id;
    SHOAL_ASSIGN_OR_RETURN(own, signing::Updater::Open(options, fs, clock));
    updater = own.get();
  }
  signing::DirectoryFetcher source(fs, request.directory);
  if (const absl::Status status = updater->Refresh(source); !status.ok())
    return refuse("metadata", status);
  const std::string role = "fw-" + config.device_type;
  const auto targets = updater->TargetsOf(&source, role);
  const auto image =
      targets.ok() ? PickImage(*targets, config.device_type, request.version)
                   : targets.status();
  if (!image.ok()) {
    // The metadata's own faults, or none for this device in it.
    const bool for_me = ReasonOf(image.status()) == "unknown_target";
    return refuse(for_me ? "update" : "metadata", image.status());
  }
  if (const absl::Status status =
          CheckImage(*image, config.device_type, state.Get().floor);
      !status.ok())
    return refuse("update", status);

  const rules::DeviceParts parts = components.Parts();
  const auto with_it = FindComponents(*targets, *image, parts);
  if (!with_it.ok()) return refuse("metadata", with_it.status());
  if (const absl::Status status = CheckFit(*image, *with_it, parts);
      !status.ok())
    return refuse("update", status);

  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, slots.Running());
  OfflineResult result;
  const auto index = DeltaIndexOf(*updater, source, image->info);
  UpdateRecord update =
      MakeUpdate(*image, index ? &*index : nullptr, running.info,
                 index ? FindDeltaAbilities(config) : rules::DeltaAbilities());
  result.image = update.image;
  AddComponents(*with_it, update);
  update.image_runs = running.info.sha256 == update.image.sha256;
  if (update.image_runs && update.components.empty()) {
    result.up_to_date = true;
    return result;
  }
  update.rollout_id = kOfflineRollout;
  if (const absl::Status status =
          FindBytes(fs, request.directory, *image, *with_it, update);
      !status.ok())
    return refuse("update", status);
  result.with_delta = update.delta.has_value();
  SHOAL_RETURN_IF_ERROR(engine.Begin(update));
  return result;
}

}  // namespace shoal::agent
