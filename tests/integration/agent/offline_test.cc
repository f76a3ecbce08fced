// Installation from a directory, without any network, by the real programs:
// shoal-agent install, shoal-boot, shoal-agent, shoal-patch.
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "delta/make/make.h"
#include "signing/verify/fetcher.h"
#include "tests/support/device.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {
namespace {

class OfflineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_, TestFleet::Create(dir_.File("fleet")));
    WriteText(dir_.File("factory"), old_image_);
    ASSERT_OK_AND_ASSIGN(
        image_, fleet_->AddImage("gateway", "1.1.0", 5, 4, new_image_));
    ASSERT_OK(fleet_->Publish());
    device_ = std::make_unique<Device>(dir_, "device");
    ASSERT_OK(device_->Init({"--image", dir_.File("factory"), "--fleet-id",
                             HexEncode(fleet_->fleet_id())}));
  }
  std::string Bytes(const std::string& word) {
    std::string bytes;
    for (int i = 0; bytes.size() < 200'000; ++i)
      bytes += word + std::to_string(i * 7919);
    return bytes;
  }

  TempDir dir_;
  const std::string old_image_ = Bytes("old");
  const std::string new_image_ = Bytes("new");
  std::optional<TestImage> image_;
  std::unique_ptr<TestFleet> fleet_;
  std::unique_ptr<Device> device_;
};

TEST_F(OfflineTest, InstallsBootsChecksAndCommits) {
  device_->Configure(
      "\n[health]\ncommand = [\"/bin/sh\", \"-c\", "
      "\"test -s $SHOAL_SLOT_IMAGE && echo $SHOAL_VERSION\"]\n");
  int code = 0;
  auto answer = device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0) << answer;
  EXPECT_EQ(answer["result"], "installed");
  EXPECT_EQ(answer["restart_needed"], true);
  EXPECT_EQ(device_->RunningVersion(), "factory");
  device_->PowerOn();
  ASSERT_OK(WaitFor("the new image is committed", [&] {
    return device_->RunningVersion() == "1.1.0" && device_->Idle();
  }));
  EXPECT_TRUE(device_->RunningBytes() == new_image_);
  const auto status = device_->Status();
  EXPECT_EQ(status["floor"], 4);
  EXPECT_EQ(status["last_update"]["result"], "success");
  EXPECT_EQ(status["last_update"]["health_output"], "1.1.0\n");
  EXPECT_EQ(status["running"]["trial"], false);
  const std::string metrics = device_->Metrics();
  for (const char* line :
       {"shoal_agent_info{device_type=\"gateway\",version=\"1.1.0\"",
        "shoal_agent_image_counter 5\n", "shoal_agent_floor 4\n",
        "shoal_agent_last_update_success 1\n", "shoal_agent_paired 0\n"})
    EXPECT_THAT(metrics, ::testing::HasSubstr(line));
  device_->PowerOff();
  answer = device_->Install(fleet_->repository(), &code);
  EXPECT_EQ(code, 0);
  EXPECT_EQ(answer["result"], "up_to_date");
}

TEST_F(OfflineTest, InstallsThroughTheRunningAgentWhichRestartsByItself) {
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("event=started"));
  int code = 0;
  const auto answer = device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0) << answer;
  EXPECT_EQ(answer["result"], "begun");
  ASSERT_OK(WaitFor("the new image is committed", [&] {
    return device_->RunningVersion() == "1.1.0" && device_->Idle();
  }));
}

TEST_F(OfflineTest, TakesTheDeltaWhenThereIsOne) {
  WriteText(dir_.File("new"), new_image_);
  ASSERT_OK_AND_ASSIGN(const delta::MakeStats made,
                       delta::MakeDelta({}, dir_.File("factory"),
                                        dir_.File("new"), dir_.File("delta")));
  ASSERT_OK_AND_ASSIGN(auto delta,
                       fleet_->AddDelta(ReadText(dir_.File("delta"))));
  delta.set_from_sha256(crypto::Sha256Digest(old_image_));
  delta.set_from_length(old_image_.size());
  delta.set_to_sha256(image_->target.sha256);
  delta.set_mode("sdelta1");
  delta.set_memory(made.reader_memory);
  release::v1::DeltaIndex index;
  index.set_device_type("gateway");
  index.set_release_version("1.1.0");
  *index.add_deltas() = delta;
  ASSERT_OK(fleet_->AddDocument("director/gateway/deltas/1.1.0",
                                index.SerializeAsString()));
  ASSERT_OK(fleet_->Publish());
  // Without the full image there is only the delta.
  ASSERT_OK(RealFileSystem().Remove(image_->blob_path));
  int code = 0;
  const auto answer = device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0) << answer;
  EXPECT_EQ(answer["delta"], true);
  device_->PowerOn();
  ASSERT_OK(WaitFor("the new image is committed", [&] {
    return device_->RunningVersion() == "1.1.0" && device_->Idle();
  }));
  EXPECT_TRUE(device_->RunningBytes() == new_image_);
  EXPECT_EQ(device_->Status()["last_update"]["used_delta"], true);
}

TEST_F(OfflineTest, T62_SickImageIsRolledBackByItself) {
  device_->Configure(
      "\n[health]\ncommand = [\"/bin/sh\", \"-c\", "
      "\"echo no uplink; test $SHOAL_VERSION = factory\"]\n");
  int code = 0;
  device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0);
  device_->PowerOn();
  ASSERT_OK(WaitFor("the roll-back is over", [&] {
    const auto status = device_->Status();
    return status["last_update"].is_object() && status["update"].is_null();
  }));
  const auto status = device_->Status();
  EXPECT_EQ(status["running"]["version"], "factory");
  EXPECT_EQ(status["last_update"]["result"], "rolled_back");
  EXPECT_EQ(status["last_update"]["reason"], "health_failed");
  EXPECT_TRUE(device_->RunningBytes() == old_image_);
}

TEST_F(OfflineTest, T62_ImageThatDoesNotStartFallsBackByTheLoader) {
  device_->Configure(
      "\n[slots]\nstart = [\"/bin/sh\", \"-c\", "
      "\"test $SHOAL_VERSION = factory\"]\n");
  int code = 0;
  device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0);
  device_->PowerOn();
  ASSERT_OK(WaitFor("the fall-back is noticed", [&] {
    const auto status = device_->Status();
    return status["last_update"].is_object() && status["update"].is_null();
  }));
  const auto status = device_->Status();
  EXPECT_EQ(status["running"]["version"], "factory");
  EXPECT_EQ(status["last_update"]["reason"], "boot_failed");
}

TEST_F(OfflineTest, T60_KilledAtAnyMomentItStillEndsWhole) {
  int code = 0;
  device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0);
  // Loader and agent die together, again and again, at moments that differ.
  for (int i = 0; i < 6; ++i) {
    device_->PowerOn();
    const absl::Time until = absl::Now() + absl::Milliseconds(15 * (i + 1));
    ASSERT_OK(WaitFor("a moment", [&] { return absl::Now() >= until; }));
    device_->PowerOff();
  }
  device_->PowerOn();
  ASSERT_OK(WaitFor("it ended", [&] { return device_->Idle(); }));
  const std::string running = device_->RunningBytes();
  EXPECT_TRUE(running == old_image_ || running == new_image_);
  const bool success = device_->Status()["last_update"]["result"] == "success";
  EXPECT_EQ(success, running == new_image_);
}

TEST_F(OfflineTest, T01_TamperedMetadataIsRefusedByName) {
  const std::string timestamp =
      fleet_->repository() + "/metadata/timestamp.json";
  std::string bytes = ReadText(timestamp);
  const size_t at = bytes.find("\"sig\"");
  ASSERT_NE(at, std::string::npos);
  const size_t digit = bytes.find_first_of("0123456789abcdef", at + 6);
  bytes[digit] = bytes[digit] == '0' ? '1' : '0';
  WriteText(timestamp, bytes);
  int code = 0;
  const auto answer = device_->Install(fleet_->repository(), &code);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(answer["reason"], "bad_signature") << answer;
  const auto status = device_->Status();
  EXPECT_EQ(status["last_refusal"]["case"], "metadata");
  EXPECT_EQ(status["last_refusal"]["reason"], "bad_signature");
  EXPECT_EQ(status["running"]["version"], "factory");
}

TEST_F(OfflineTest, T32_TamperedImageIsRefused) {
  std::string bytes = new_image_;
  bytes[77] ^= 1;
  ASSERT_OK_AND_ASSIGN(const std::string target,
                       signing::TargetFilePath(image_->target));
  const std::string path = fleet_->repository() + "/" + target;
  WriteText(RealFileSystem().Exists(path) ? path : image_->blob_path, bytes);
  int code = 0;
  const auto answer = device_->Install(fleet_->repository(), &code);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(answer["reason"], "digest_mismatch") << answer;
  EXPECT_EQ(device_->Status()["last_refusal"]["reason"], "digest_mismatch");
}

TEST_F(OfflineTest, T24_BelowTheFloorIsRefused) {
  int code = 0;
  device_->Install(fleet_->repository(), &code);
  ASSERT_EQ(code, 0);
  device_->PowerOn();
  ASSERT_OK(WaitFor("committed", [&] { return device_->Idle(); }));
  device_->PowerOff();
  ASSERT_EQ(device_->Status()["floor"], 4);
  ASSERT_OK(fleet_->AddImage("gateway", "1.0.5", 3, 0, "vulnerable"));
  ASSERT_OK(fleet_->Publish());
  const auto answer =
      device_->Install(fleet_->repository(), &code, {"--version", "1.0.5"});
  EXPECT_EQ(code, 1);
  EXPECT_EQ(answer["reason"], "below_floor");
  EXPECT_EQ(device_->RunningVersion(), "1.1.0");
}

TEST_F(OfflineTest, T21_AnotherFleetsRepositoryIsRefused) {
  ASSERT_OK_AND_ASSIGN(auto other, TestFleet::Create(dir_.File("other")));
  int code = 0;
  const auto answer = device_->Install(other->repository(), &code);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(answer["reason"], "wrong_fleet") << answer;
}

TEST_F(OfflineTest, T05_ExpiredRepositoryIsRefused) {
  TestFleetOptions options;
  options.now = absl::Now() - absl::Hours(24 * 30);
  ASSERT_OK_AND_ASSIGN(auto old, TestFleet::Create(dir_.File("old"), options));
  Device device(dir_, "device2");
  ASSERT_OK(device.Init({"--fleet-id", HexEncode(old->fleet_id())}));
  int code = 0;
  const auto answer = device.Install(old->repository(), &code);
  EXPECT_EQ(code, 1);
  EXPECT_EQ(answer["reason"], "expired_metadata") << answer;
}

TEST_F(OfflineTest, ADeviceThatKnowsNoFleetInstallsNothing) {
  Device device(dir_, "device3");
  ASSERT_OK(device.Init({}));
  int code = 0;
  EXPECT_EQ(device.Install(fleet_->repository(), &code)["reason"],
            "no_fleet_id");
  EXPECT_EQ(code, 1);
}

}  // namespace
}  // namespace shoal::testing
