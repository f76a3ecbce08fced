#include "agent/engine/candidate.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/status.h"
#include "rules/seen.h"

namespace shoal::agent {
namespace {

rules::ReleaseArtifact ArtifactOf(const signing::ImageInfo& info) {
  rules::ReleaseArtifact artifact{
      info.artifact, info.counter, {info.hardware, {}}};
  for (const signing::ImageNeed& need : info.needs)
    artifact.needs.needs.push_back({need.artifact, need.min_counter});
  return artifact;
}

ArtifactSource SourceOf(const SignedImage& image) {
  return {.sha256 = image.target.sha256,
          .length = image.target.length,
          .file_root = image.info.file_root,
          .piece_length = image.info.piece_length,
          .local_path = {},
          .max_bytes_per_second = 0};
}

// What neither side says anything of is tried: shoal-patch refuses what it
// cannot apply before it writes.
bool CanTake(const rules::DeltaAbilities& abilities,
             const release::v1::Delta& delta) {
  if (!(delta.mode() == rules::kSdelta1 && abilities.sdelta1) &&
      !(delta.mode() == rules::kBsdiff40 && abilities.bsdiff40))
    return false;
  if (delta.memory() > abilities.memory.value_or(UINT64_MAX)) return false;
  if (!delta.has_needs() || abilities.tools == rules::DeltaTools()) return true;
  return abilities.tools.Include(
      {delta.needs().model(),
       {delta.needs().codecs().begin(), delta.needs().codecs().end()}});
}

absl::Status WrongType(std::string_view what, std::string_view is,
                       std::string_view mine) {
  return FailedPrecondition(
      "wrong_device_type",
      fmt::format("{} is for device type '{}', this is a '{}'", what, is,
                  mine));
}

}  // namespace

absl::StatusOr<SignedImage> FindImage(
    const std::vector<signing::TargetFile>& targets, std::string_view path,
    std::string_view device_type) {
  for (const signing::TargetFile& target : targets) {
    if (target.path != path) continue;
    SHOAL_ASSIGN_OR_RETURN(signing::ImageInfo info,
                           signing::ParseImageInfo(target));
    return SignedImage{target, std::move(info)};
  }
  const std::string prefix = fmt::format("fw/{}/", device_type);
  if (path.rfind("fw/", 0) == 0 && path.rfind(prefix, 0) != 0) {
    const std::string_view rest = path.substr(3);
    return WrongType(path, rest.substr(0, rest.find('/')), device_type);
  }
  return NotFound(
      "unknown_target",
      fmt::format("the role fw-{} names no target '{}'", device_type, path));
}

absl::StatusOr<SignedImage> PickImage(
    const std::vector<signing::TargetFile>& targets,
    std::string_view device_type, std::string_view version) {
  std::optional<SignedImage> best;
  for (const signing::TargetFile& target : targets) {
    if (signing::IsAttachment(target)) continue;
    SHOAL_ASSIGN_OR_RETURN(signing::ImageInfo info,
                           signing::ParseImageInfo(target));
    // Other components of the device are not what this agent installs.
    if (info.artifact != "image") continue;
    if (!version.empty() && info.version != version) continue;
    if (!best || info.counter > best->info.counter)
      best = SignedImage{target, std::move(info)};
  }
  if (best) return *std::move(best);
  return NotFound(
      "unknown_target",
      version.empty()
          ? fmt::format("the role fw-{} names no image", device_type)
          : fmt::format("the role fw-{} names no image of version {}",
                        device_type, version));
}

absl::Status CheckImage(const SignedImage& image, std::string_view device_type,
                        uint64_t floor) {
  if (image.info.device_type != device_type)
    return WrongType(image.target.path, image.info.device_type, device_type);
  if (image.info.counter < floor)
    return FailedPrecondition(
        "below_floor",
        fmt::format("{} has counter {}, this device's floor is {}",
                    image.target.path, image.info.counter, floor));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SignedImage>> FindComponents(
    const std::vector<signing::TargetFile>& targets, const SignedImage& image,
    const rules::DeviceParts& parts) {
  std::vector<SignedImage> found;
  for (const std::string& name : parts.installs) {
    const std::string path =
        signing::ImagePath(image.info.device_type, image.info.version, name);
    const auto target =
        std::find_if(targets.begin(), targets.end(),
                     [&](const auto& one) { return one.path == path; });
    if (target == targets.end() || signing::IsAttachment(*target)) continue;
    SHOAL_ASSIGN_OR_RETURN(signing::ImageInfo info,
                           signing::ParseImageInfo(*target));
    if (rules::Brings(parts, ArtifactOf(info)))
      found.push_back({*target, std::move(info)});
  }
  return found;
}

absl::Status CheckFit(const SignedImage& image,
                      const std::vector<SignedImage>& components,
                      const rules::DeviceParts& parts) {
  std::vector<rules::ReleaseArtifact> release = {ArtifactOf(image.info)};
  // Whatever its target's name is: it is what the device will run.
  release.front().name = "image";
  for (const SignedImage& component : components)
    release.push_back(ArtifactOf(component.info));
  for (const rules::Condition& one : rules::ReleaseConditions(parts, release)) {
    if (one.state == rules::Condition::State::kUnmet)
      return FailedPrecondition(one.reason, one.text);
  }
  return absl::OkStatus();
}

absl::Status CheckRollout(const rollout::v1::RolloutDocument& document,
                          const SignedImage& image, std::string_view fleet_id,
                          std::string_view device_type) {
  if (document.fleet() != fleet_id)
    return PermissionDenied(
        "wrong_fleet",
        fmt::format("rollout {} is for another fleet", document.id()));
  if (document.device_type() != device_type)
    return WrongType("rollout " + document.id(), document.device_type(),
                     device_type);
  const rollout::v1::ReleaseRef& release = document.release();
  if (release.image_target() != image.target.path ||
      release.sha256() != image.target.sha256 ||
      release.length() != image.target.length ||
      release.counter() != image.info.counter ||
      release.version() != image.info.version)
    return FailedPrecondition(
        "wrong_image",
        fmt::format("rollout {} does not name the image that was signed as {}",
                    document.id(), image.target.path));
  return absl::OkStatus();
}

UpdateRecord MakeUpdate(const SignedImage& image,
                        const release::v1::DeltaIndex* index,
                        const ImageInfo& running,
                        const rules::DeltaAbilities& abilities) {
  UpdateRecord update;
  update.image = {.version = image.info.version,
                  .sha256 = image.target.sha256,
                  .length = image.target.length,
                  .counter = image.info.counter,
                  .min_counter = image.info.min_counter};
  update.full = SourceOf(image);
  if (index == nullptr || running.sha256.empty()) return update;
  for (const release::v1::Delta& delta : index->deltas()) {
    if (delta.from_sha256() != running.sha256 ||
        delta.to_sha256() != image.target.sha256 ||
        delta.from_length() != running.length ||
        delta.length() >= image.target.length || !CanTake(abilities, delta))
      continue;
    update.delta =
        DeltaSource{.artifact = {.sha256 = delta.sha256(),
                                 .length = delta.length(),
                                 .file_root = delta.file_root(),
                                 .piece_length = delta.piece_length(),
                                 .local_path = {},
                                 .max_bytes_per_second = 0},
                    .from_sha256 = delta.from_sha256(),
                    .from_length = delta.from_length(),
                    .memory = delta.memory()};
    break;
  }
  return update;
}

void AddComponents(const std::vector<SignedImage>& components,
                   UpdateRecord& update) {
  for (const SignedImage& component : components)
    update.components.push_back({.name = component.info.artifact,
                                 .counter = component.info.counter,
                                 .version = component.info.version,
                                 .source = SourceOf(component)});
}

absl::Status NoteRollout(const rollout::v1::RolloutDocument& document,
                         std::string_view digest, RolloutMemory& memory,
                         bool* changed) {
  rules::SeenVersion seen{memory.version, memory.digest, memory.conflict};
  const rules::SeenAnswer answer =
      rules::Note(seen, document.version(), digest);
  if (answer == rules::SeenAnswer::kOlder)
    return FailedPrecondition(
        "old_rollout",
        fmt::format("rollout {} came as version {}, {} was seen before",
                    document.id(), document.version(), memory.version));
  if (answer == rules::SeenAnswer::kConflict) {
    *changed = *changed || !memory.conflict;
    memory.conflict = true;
    return DataLoss("conflicting_rollout",
                    fmt::format("two documents are version {} of rollout {}",
                                document.version(), document.id()));
  }
  if (answer == rules::SeenAnswer::kSame) return absl::OkStatus();
  memory.version = seen.version;
  memory.digest = seen.digest;
  memory.conflict = false;
  memory.order = document.order();
  *changed = true;
  return absl::OkStatus();
}

bool ForgetPastRollouts(const std::set<std::string>& named, StateData& state) {
  if (state.rollouts.size() <= kMaxPastRollouts) return false;
  // Most worth keeping first.
  std::vector<std::pair<std::pair<bool, uint64_t>, std::string>> past;
  for (const auto& [id, memory] : state.rollouts) {
    if (named.contains(id) || (state.update && state.update->rollout_id == id))
      continue;
    past.push_back(
        {{memory.finished || memory.attempts > 0, memory.order}, id});
  }
  if (past.size() <= kMaxPastRollouts) return false;
  std::sort(past.rbegin(), past.rend());
  for (size_t i = kMaxPastRollouts; i < past.size(); ++i) {
    const std::string& id = past[i].second;
    if (state.rollouts[id].finished)
      std::erase_if(state.halts, [&](const auto& halt) {
        return halt.second.rollout_id == id;
      });
    state.rollouts.erase(id);
  }
  return true;
}

absl::Status CheckPace(const StateData& state, const Pace& pace,
                       absl::Time now) {
  if (!pace.in_window)
    return FailedPrecondition("outside_window",
                              "this device's own windows are closed now");
  int last_day = 0;
  absl::Time latest = absl::InfinitePast();
  for (const int64_t ms : state.starts_ms) {
    const absl::Time start = absl::FromUnixMillis(ms);
    if (now - start < absl::Hours(24)) ++last_day;
    latest = std::max(latest, start);
  }
  if (pace.max_starts_per_day > 0 && last_day >= pace.max_starts_per_day)
    return FailedPrecondition(
        "too_many_starts",
        fmt::format("{} updates were started in the last 24 hours", last_day));
  if (now - latest < pace.min_interval)
    return FailedPrecondition("too_soon",
                              "the last update was started too recently");
  return absl::OkStatus();
}

}  // namespace shoal::agent
