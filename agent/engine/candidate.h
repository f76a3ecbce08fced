// May this image be installed on this device at all? The checks that hold for
// every way an image comes, from a rollout or offline. Pure; thread-safe.
#ifndef SHOAL_AGENT_ENGINE_CANDIDATE_H_
#define SHOAL_AGENT_ENGINE_CANDIDATE_H_

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/state/device_state.h"
#include "agent/state/update_record.h"
#include "rules/compatibility.h"
#include "rules/delta_abilities.h"
#include "shoal/release/v1/delta_index.pb.h"
#include "shoal/rollout/v1/document.pb.h"
#include "signing/metadata/image_info.h"
#include "signing/metadata/metadata.h"

namespace shoal::agent {

// The image as the fw- role signed it. `targets` are those of the role
// fw-<device_type>, so an image of another role can't get here (T09, T23).
struct SignedImage {
  signing::TargetFile target;
  signing::ImageInfo info;
};

// Reasons: "wrong_device_type" when the path is another type's,
// "unknown_target", or ParseImageInfo's.
absl::StatusOr<SignedImage> FindImage(
    const std::vector<signing::TargetFile>& targets, std::string_view path,
    std::string_view device_type);
// The image with the highest counter, or that of `version`.
// "unknown_target" when there is none.
absl::StatusOr<SignedImage> PickImage(
    const std::vector<signing::TargetFile>& targets,
    std::string_view device_type, std::string_view version);

// "wrong_device_type" (T23), "below_floor" (T24).
absl::Status CheckImage(const SignedImage& image, std::string_view device_type,
                        uint64_t floor);
// What the fw- role says that the image fits and needs, against this device:
// "wrong_hardware", "dependency_unmet". All or none: nothing of the release is
// taken by a device that lacks a part of it.
absl::Status CheckFit(const SignedImage& image,
                      const std::vector<SignedImage>& components,
                      const rules::DeviceParts& parts);

// What of the image's release the device brings up with it
// (rules::Brings): the artifacts that were signed beside it. Errors as
// FindImage's.
absl::StatusOr<std::vector<SignedImage>> FindComponents(
    const std::vector<signing::TargetFile>& targets, const SignedImage& image,
    const rules::DeviceParts& parts);
// The rollout names the image that was signed: "wrong_fleet",
// "wrong_device_type" (T21), "wrong_image".
absl::Status CheckRollout(const rollout::v1::RolloutDocument& document,
                          const SignedImage& image, std::string_view fleet_id,
                          std::string_view device_type);

// The update to this image: with the first delta of `index` that starts from
// what runs and that this device can take, if there is one. The index is the
// director's word: a device does not spend more than its owner gave because a
// stolen plane says so (T35).
UpdateRecord MakeUpdate(const SignedImage& image,
                        const release::v1::DeltaIndex* index,
                        const ImageInfo& running,
                        const rules::DeltaAbilities& abilities);
// What FindComponents found comes with it.
void AddComponents(const std::vector<SignedImage>& components,
                   UpdateRecord& update);

// Takes in one verified rollout document: highest version counts, of two with
// equal version the first (T22, T28). "old_rollout" (rolled back),
// "conflicting_rollout" (equal version, other bytes: it is as good as halted
// until a higher version comes); OK for a new or the same one. Notes it in
// `memory`; sets *changed when the caller must save it.
absl::Status NoteRollout(const rollout::v1::RolloutDocument& document,
                         std::string_view digest, RolloutMemory& memory,
                         bool* changed);

// Of rollouts that no document names any more so many are remembered, those
// that this device took or tried before the others, and the newest.
inline constexpr size_t kMaxPastRollouts = 128;
// Forgets the rest. `named`: ids of the documents that can be read now. The
// halts of a finished rollout go with it. False: `state` is what it was.
bool ForgetPastRollouts(const std::set<std::string>& named, StateData& state);

// The device's own bounds on its pace: "outside_window", "too_soon",
// "too_many_starts".
struct Pace {
  bool in_window = true;
  absl::Duration min_interval;
  int max_starts_per_day = 0;  // 0: no bound
};
absl::Status CheckPace(const StateData& state, const Pace& pace,
                       absl::Time now);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_ENGINE_CANDIDATE_H_
