// The owners of the test: labels and dynamic groups, static groups, releases,
// rollouts.
#ifndef SHOAL_TESTS_FAULT_PLANE_OWNERS_H_
#define SHOAL_TESTS_FAULT_PLANE_OWNERS_H_

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/ed25519.h"
#include "dht/records/place.h"
#include "tests/bench/load/load_feed.h"
#include "tests/fault/plane/owner.h"

namespace shoal::testing {

// "devices/ID" of device `number` of the store (bench::FillDevices).
std::string DeviceName(uint32_t number);

// Sets the label "n" of five devices at once, all or none; whoever has an odd
// number is in the dynamic group "odd".
class LabelOwner final : public Owner {
 public:
  // Devices [first, first + 20).
  LabelOwner(uint32_t seed, uint32_t first) : Owner(seed), first_(first) {}
  absl::Status Work(cli::PlaneClient& plane) override;
  void Check(cli::PlaneClient& plane) override;

 private:
  static constexpr uint32_t kFives = 4;
  std::vector<std::string> Five(uint32_t five) const;
  const uint32_t first_;
  bool group_made_ = false;
  uint32_t next_ = 0;
  std::array<uint32_t, kFives> numbers_{};
  std::optional<std::pair<uint32_t, uint32_t>> open_;  // five, number
};

// Static groups come, get and lose members, and go.
class GroupOwner final : public Owner {
 public:
  GroupOwner(uint32_t seed, uint32_t first) : Owner(seed), first_(first) {}
  absl::Status Work(cli::PlaneClient& plane) override;
  void Check(cli::PlaneClient& plane) override;

 private:
  // nullopt: there is no such group.
  using Members = std::optional<std::set<std::string>>;
  absl::Status Change(cli::PlaneClient& plane, const std::string& group,
                      const Members& now, const Members& then);
  const uint32_t first_;
  std::map<std::string, Members> groups_;
  std::optional<std::pair<std::string, Members>> open_;
};

// Uploads images that were signed before, deletes them and uploads them again;
// the first one stays, for the rollouts.
class ReleaseOwner final : public Owner {
 public:
  struct Image {
    std::string version;
    std::string bytes;
  };
  // `metadata`: the fw- role's, which names all of them. `blobs`: where shoald
  // keeps images.
  ReleaseOwner(uint32_t seed, std::vector<Image> images, std::string metadata,
               std::string blobs)
      : Owner(seed),
        images_(std::move(images)),
        metadata_(std::move(metadata)),
        blobs_(std::move(blobs)),
        there_(images_.size(), false) {}
  absl::Status Work(cli::PlaneClient& plane) override;
  void Check(cli::PlaneClient& plane) override;
  // "releases/gateway/VERSION" of the first, once it is there.
  bool any() const { return there_[0]; }

 private:
  absl::Status Upload(cli::PlaneClient& plane, const Image& image);
  absl::Status Delete(cli::PlaneClient& plane, const Image& image);
  void CheckBytes(const Image& image, bool there) const;
  const std::vector<Image> images_;
  const std::string metadata_;
  const std::string blobs_;
  std::vector<bool> there_;     // as acknowledged, by image
  std::optional<size_t> open_;  // comes or goes
};

// Rollouts of three devices each: made, approved, paused, resumed, halted by a
// signed record, ended, while their devices' outcomes come in.
class RolloutOwner final : public Owner {
 public:
  struct Parts {
    std::string plane_directory;
    std::string release;
    const crypto::SigningKey* halter = nullptr;
    const dht::PlaceNamer* places = nullptr;
    std::string fleet_id;
    bench::LoadFeed* feed = nullptr;
  };
  // Ids begin with `prefix`; devices from `first` on.
  RolloutOwner(uint32_t seed, std::string prefix, uint32_t first, Parts parts)
      : Owner(seed),
        prefix_(std::move(prefix)),
        first_(first),
        parts_(std::move(parts)) {}
  absl::Status Work(cli::PlaneClient& plane) override;
  void Check(cli::PlaneClient& plane) override;
  // Approves, resumes and answers whatever still can, so that all come to
  // their ends; OK once they are there.
  absl::Status Finish(cli::PlaneClient& plane);

 private:
  enum class Order { kNone, kCreate, kApprove, kPause, kResume, kHalt, kAbort };
  enum class Wanted { kRunning, kPaused, kHalted, kAborted };
  struct Known {
    std::string id;
    bool manual = false;
    bool made = false;  // its creation was acknowledged
    Wanted wanted = Wanted::kRunning;
    bool approved = false;
    uint32_t offered = 0;       // outcomes, in the order of phases
    rollout::v1::Rollout last;  // as it was read last
  };
  absl::Status Do(cli::PlaneClient& plane, Known& one, Order order);
  absl::StatusOr<rollout::v1::Rollout> Ask(cli::PlaneClient& plane, Known& one,
                                           Order order);
  absl::Status Offer(Known& one);
  void CheckOne(Known& one, const rollout::v1::Rollout& now);
  static bool AtEnd(const Known& one);
  static Wanted After(Wanted before, Order order);
  rollout::v1::CreateRolloutRequest Request(const Known& one) const;

  const std::string prefix_;
  const uint32_t first_;
  const Parts parts_;
  std::vector<Known> rollouts_;
  std::optional<std::pair<size_t, Order>> open_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_FAULT_PLANE_OWNERS_H_
