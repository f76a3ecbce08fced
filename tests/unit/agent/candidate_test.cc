#include "agent/engine/candidate.h"

#include "agent/engine/halts.h"
#include "tests/support/status_matchers.h"

namespace shoal::agent {
namespace {

const rules::DeltaAbilities kAbilities{true, true, 8u << 20};

using shoal::testing::FailsBecause;

signing::TargetFile Target(const std::string& type, const std::string& version,
                           uint64_t counter, uint64_t min_counter = 0,
                           const std::string& artifact = "image",
                           std::vector<std::string> hardware = {},
                           std::vector<signing::ImageNeed> needs = {}) {
  signing::ImageInfo info;
  info.device_type = type;
  info.version = version;
  info.artifact = artifact;
  info.hardware = std::move(hardware);
  info.needs = std::move(needs);
  info.counter = counter;
  info.min_counter = min_counter;
  info.file_root = std::string(32, 'r');
  info.piece_length = 16384;
  signing::TargetFile target;
  target.path = signing::ImagePath(type, version, artifact);
  target.length = 1000;
  target.sha256 = std::string(32, static_cast<char>('a' + counter));
  target.custom = signing::FormatImageInfo(info);
  return target;
}

const std::string kFleet(32, 'F');

rollout::v1::RolloutDocument Document(const SignedImage& image) {
  rollout::v1::RolloutDocument d;
  d.set_id("r1");
  d.set_version(3);
  d.set_fleet(kFleet);
  d.set_device_type("gateway");
  d.mutable_release()->set_version(image.info.version);
  d.mutable_release()->set_image_target(image.target.path);
  d.mutable_release()->set_sha256(image.target.sha256);
  d.mutable_release()->set_length(image.target.length);
  d.mutable_release()->set_counter(image.info.counter);
  return d;
}

TEST(Candidate, T23_ImageForOtherHardwareIsRefused) {
  const std::vector<signing::TargetFile> targets = {Target("gateway", "1", 1)};
  EXPECT_OK(FindImage(targets, "fw/gateway/1/image", "gateway"));
  EXPECT_THAT(FindImage(targets, "fw/kiosk/1/image", "gateway"),
              FailsBecause("wrong_device_type"));
  EXPECT_THAT(FindImage(targets, "fw/gateway/2/image", "gateway"),
              FailsBecause("unknown_target"));
  ASSERT_OK_AND_ASSIGN(const SignedImage image,
                       FindImage(targets, "fw/gateway/1/image", "gateway"));
  EXPECT_THAT(CheckImage(image, "kiosk", 0), FailsBecause("wrong_device_type"));
}

TEST(Candidate, T23_PathAndContentMustAgree) {
  signing::TargetFile liar = Target("kiosk", "1", 1);
  liar.path = "fw/gateway/1/image";
  EXPECT_THAT(FindImage({liar}, liar.path, "gateway"),
              FailsBecause("bad_image_info"));
}

TEST(Candidate, T24_BelowTheFloorIsRefused) {
  ASSERT_OK_AND_ASSIGN(
      const SignedImage image,
      FindImage({Target("gateway", "3", 3)}, "fw/gateway/3/image", "gateway"));
  EXPECT_OK(CheckImage(image, "gateway", 3));
  EXPECT_THAT(CheckImage(image, "gateway", 4), FailsBecause("below_floor"));
}

TEST(Candidate, AnImageWhoseNeedsAreNotMetIsNotTaken) {
  SignedImage image;
  image.info.hardware = {"rev-b"};
  image.info.needs = {{"modem", 3}};
  EXPECT_OK(CheckFit(image, {}, {"rev-b", {{"modem", 3}}}));
  EXPECT_THAT(CheckFit(image, {}, {"rev-b", {{"modem", 2}}}),
              FailsBecause("dependency_unmet"));
  EXPECT_THAT(CheckFit(image, {}, {"rev-b", {}}),
              FailsBecause("dependency_unmet"));
  EXPECT_THAT(CheckFit(image, {}, {"rev-a", {{"modem", 3}}}),
              FailsBecause("wrong_hardware"));
  EXPECT_OK(CheckFit(SignedImage(), {}, {}));
}

TEST(Candidate, T25_WhatTheDeviceInstallsItselfComesWithTheImage) {
  const std::vector<signing::TargetFile> targets = {
      Target("gateway", "1", 5, 0, "image", {}, {{"modem", 3}, {"fpga", 2}}),
      Target("gateway", "1", 3, 0, "modem", {}, {{"image", 5}}),
      Target("gateway", "1", 2, 0, "fpga", {"rev-b"}),
      Target("gateway", "0", 9, 0, "modem")};
  ASSERT_OK_AND_ASSIGN(const SignedImage image,
                       FindImage(targets, "fw/gateway/1/image", "gateway"));
  const auto comes = [&](const rules::DeviceParts& parts) {
    const auto found = FindComponents(targets, image, parts);
    EXPECT_OK(found);
    std::string names;
    for (const SignedImage& one : *found) names += one.info.artifact + " ";
    const absl::Status fit = CheckFit(image, *found, parts);
    return names + (fit.ok() ? "fits" : ReasonOf(fit));
  };
  EXPECT_EQ(comes({"rev-b", {{"modem", 2}, {"fpga", 1}}, {"modem", "fpga"}}),
            "fpga modem fits");
  EXPECT_EQ(comes({"rev-b", {{"modem", 4}, {"fpga", 2}}, {"modem", "fpga"}}),
            "fits")
      << "a component goes forward only";
  EXPECT_EQ(comes({"rev-b", {{"modem", 2}, {"fpga", 1}}, {"modem"}}),
            "modem dependency_unmet")
      << "somebody else's fpga is too old: all or none";
  EXPECT_EQ(comes({"rev-a", {{"modem", 2}, {"fpga", 1}}, {"modem", "fpga"}}),
            "modem dependency_unmet")
      << "the fpga's firmware is for other hardware";
  EXPECT_EQ(comes({"rev-b", {}, {"modem", "fpga"}}), "fpga modem fits");
  EXPECT_EQ(comes({"rev-b", {}, {}}), "dependency_unmet");
}

TEST(Candidate, T25_AModemMayNeedItsImage) {
  const std::vector<signing::TargetFile> targets = {
      Target("gateway", "1", 4),
      Target("gateway", "1", 3, 0, "modem", {}, {{"image", 5}})};
  ASSERT_OK_AND_ASSIGN(const SignedImage image,
                       FindImage(targets, "fw/gateway/1/image", "gateway"));
  const rules::DeviceParts parts{"", {{"modem", 1}}, {"modem"}};
  ASSERT_OK_AND_ASSIGN(const auto components,
                       FindComponents(targets, image, parts));
  EXPECT_EQ(components.size(), 1u);
  EXPECT_THAT(CheckFit(image, components, parts),
              FailsBecause("dependency_unmet"));
}

TEST(Candidate, OfflineItPicksImagesOnly) {
  std::vector<signing::TargetFile> targets = {Target("gateway", "1", 1)};
  signing::TargetFile sbom;
  sbom.path = "fw/gateway/2/sbom";
  sbom.custom = signing::FormatAttachmentInfo(
      {"gateway", "2", "sbom", "", std::string(32, 'r'), 16384});
  signing::TargetFile modem;
  modem.path = "fw/gateway/2/modem";
  modem.custom = signing::FormatImageInfo(
      {"gateway", "2", "modem", 9, 0, std::string(32, 'r'), 16384});
  targets.push_back(sbom);
  targets.push_back(modem);
  ASSERT_OK_AND_ASSIGN(const SignedImage image,
                       PickImage(targets, "gateway", ""));
  EXPECT_EQ(image.info.version, "1");
}

TEST(Candidate, PicksTheHighestCounterOrTheVersionAskedFor) {
  const std::vector<signing::TargetFile> targets = {Target("gateway", "9", 2),
                                                    Target("gateway", "10", 7)};
  ASSERT_OK_AND_ASSIGN(SignedImage image, PickImage(targets, "gateway", ""));
  EXPECT_EQ(image.info.version, "10");
  ASSERT_OK_AND_ASSIGN(image, PickImage(targets, "gateway", "9"));
  EXPECT_EQ(image.info.counter, 2u);
  EXPECT_THAT(PickImage(targets, "gateway", "8"),
              FailsBecause("unknown_target"));
}

TEST(Candidate, T21_RolloutIsBoundToFleetAndType) {
  ASSERT_OK_AND_ASSIGN(
      const SignedImage image,
      FindImage({Target("gateway", "1", 1)}, "fw/gateway/1/image", "gateway"));
  EXPECT_OK(CheckRollout(Document(image), image, kFleet, "gateway"));
  EXPECT_THAT(
      CheckRollout(Document(image), image, std::string(32, 'X'), "gateway"),
      FailsBecause("wrong_fleet"));
  auto document = Document(image);
  document.set_device_type("kiosk");
  EXPECT_THAT(CheckRollout(document, image, kFleet, "gateway"),
              FailsBecause("wrong_device_type"));
  document = Document(image);
  document.mutable_release()->set_sha256(std::string(32, 'z'));
  EXPECT_THAT(CheckRollout(document, image, kFleet, "gateway"),
              FailsBecause("wrong_image"));
}

TEST(Candidate, T22_OlderRolloutIsRefused) {
  rollout::v1::RolloutDocument d;
  d.set_id("r1");
  d.set_version(3);
  RolloutMemory memory;
  bool changed = false;
  ASSERT_OK(NoteRollout(d, "D3", memory, &changed));
  EXPECT_TRUE(changed);
  changed = false;
  ASSERT_OK(NoteRollout(d, "D3", memory, &changed));
  EXPECT_FALSE(changed);
  d.set_version(2);
  EXPECT_THAT(NoteRollout(d, "D2", memory, &changed),
              FailsBecause("old_rollout"));
  EXPECT_EQ(memory.version, 3u);
}

TEST(Candidate, T28_EqualVersionWithOtherBytesIsAsGoodAsHalted) {
  const auto nobody = [](const std::string&) { return false; };
  rollout::v1::RolloutDocument d;
  d.set_id("r1");
  d.set_version(3);
  StateData state;
  bool changed = false;
  ASSERT_OK(NoteRollout(d, "first", state.rollouts["r1"], &changed));
  EXPECT_FALSE(IsHalted(state, d, nobody));
  EXPECT_THAT(NoteRollout(d, "second", state.rollouts["r1"], &changed),
              FailsBecause("conflicting_rollout"));
  EXPECT_EQ(state.rollouts["r1"].digest, "first");
  EXPECT_TRUE(IsHalted(state, d, nobody));
  d.set_version(4);
  ASSERT_OK(NoteRollout(d, "third", state.rollouts["r1"], &changed));
  EXPECT_FALSE(IsHalted(state, d, nobody));
}

TEST(Candidate, T20_TheDevicesOwnPaceBindsWhateverTheDirectorSays) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  StateData state;
  state.starts_ms = {absl::ToUnixMillis(now - absl::Hours(30)),
                     absl::ToUnixMillis(now - absl::Hours(3)),
                     absl::ToUnixMillis(now - absl::Hours(1))};
  Pace pace;
  EXPECT_OK(CheckPace(state, pace, now));
  pace.max_starts_per_day = 2;
  EXPECT_THAT(CheckPace(state, pace, now), FailsBecause("too_many_starts"));
  pace.max_starts_per_day = 3;
  EXPECT_OK(CheckPace(state, pace, now));
  pace.min_interval = absl::Hours(2);
  EXPECT_THAT(CheckPace(state, pace, now), FailsBecause("too_soon"));
  pace.in_window = false;
  EXPECT_THAT(CheckPace(state, pace, now), FailsBecause("outside_window"));
}

TEST(Candidate, DeltaFromWhatRunsIsTaken) {
  ASSERT_OK_AND_ASSIGN(
      const SignedImage image,
      FindImage({Target("gateway", "1", 1)}, "fw/gateway/1/image", "gateway"));
  ImageInfo running;
  running.sha256 = std::string(32, 'o');
  running.length = 900;
  release::v1::DeltaIndex index;
  auto* delta = index.add_deltas();
  delta->set_from_sha256(running.sha256);
  delta->set_from_length(900);
  delta->set_to_sha256(image.target.sha256);
  delta->set_length(100);
  delta->set_mode("sdelta1");
  EXPECT_TRUE(MakeUpdate(image, &index, running, kAbilities).delta.has_value());
  EXPECT_FALSE(
      MakeUpdate(image, nullptr, running, kAbilities).delta.has_value());
  delta->set_length(1000);  // no gain
  EXPECT_FALSE(
      MakeUpdate(image, &index, running, kAbilities).delta.has_value());
  delta->set_length(100);
  delta->set_mode("other");
  EXPECT_FALSE(
      MakeUpdate(image, &index, running, kAbilities).delta.has_value());
  delta->set_mode("bsdiff40");
  EXPECT_TRUE(MakeUpdate(image, &index, running, kAbilities).delta.has_value());
  delta->set_mode("sdelta1");
  running.sha256 = std::string(32, 'p');
  EXPECT_FALSE(
      MakeUpdate(image, &index, running, kAbilities).delta.has_value());
}

TEST(Candidate, ADeltaThatNeedsOtherToolsIsLeftForTheNextOne) {
  ASSERT_OK_AND_ASSIGN(
      const SignedImage image,
      FindImage({Target("gateway", "1", 1)}, "fw/gateway/1/image", "gateway"));
  ImageInfo running;
  running.sha256 = std::string(32, 'o');
  running.length = 900;
  release::v1::DeltaIndex index;
  const auto add = [&](uint64_t length) {
    auto* delta = index.add_deltas();
    delta->set_from_sha256(running.sha256);
    delta->set_from_length(running.length);
    delta->set_to_sha256(image.target.sha256);
    delta->set_length(length);
    delta->set_mode("sdelta1");
    return delta;
  };
  const auto taken = [&](const rules::DeltaAbilities& abilities) {
    const UpdateRecord update = MakeUpdate(image, &index, running, abilities);
    return update.delta ? update.delta->artifact.length : 0;
  };
  rules::DeltaAbilities mine = kAbilities;
  mine.tools = {3, {"zlib 1.2.13"}};
  add(100)->mutable_needs()->set_model(4);
  EXPECT_EQ(taken(mine), 0u);
  add(200)->mutable_needs()->add_codecs("zlib 1.3.1");
  EXPECT_EQ(taken(mine), 0u);
  auto* fits = add(300)->mutable_needs();
  fits->set_model(3);
  fits->add_codecs("zlib 1.2.13");
  EXPECT_EQ(taken(mine), 300u);
  // Where one of the two says nothing, shoal-patch has the word.
  EXPECT_EQ(taken(kAbilities), 100u);
  index.mutable_deltas(1)->clear_needs();
  EXPECT_EQ(taken(mine), 200u);
}

TEST(Candidate, T35_ADeltaThatWantsTooMuchMemoryIsLeft) {
  ASSERT_OK_AND_ASSIGN(
      const SignedImage image,
      FindImage({Target("gateway", "1", 1)}, "fw/gateway/1/image", "gateway"));
  ImageInfo running;
  running.sha256 = std::string(32, 'o');
  running.length = 900;
  release::v1::DeltaIndex index;
  const auto add = [&](uint64_t length, uint64_t memory) {
    auto* delta = index.add_deltas();
    delta->set_from_sha256(running.sha256);
    delta->set_from_length(running.length);
    delta->set_to_sha256(image.target.sha256);
    delta->set_length(length);
    delta->set_mode("sdelta1");
    delta->set_memory(memory);
  };
  add(100, (8u << 20) + 1);
  EXPECT_FALSE(
      MakeUpdate(image, &index, running, kAbilities).delta.has_value());
  add(200, 8u << 20);
  const UpdateRecord update = MakeUpdate(image, &index, running, kAbilities);
  ASSERT_TRUE(update.delta.has_value());
  EXPECT_EQ(update.delta->artifact.length, 200u);
}

}  // namespace
}  // namespace shoal::agent
