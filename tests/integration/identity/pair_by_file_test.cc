// A device without any network comes into the fleet by two files.
#include "common/bytes.h"
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

class PairByFile : public IdentityPrograms {};

TEST_F(PairByFile, T51_ADeviceComesInByHandAndIsOnlineLater) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  ASSERT_OK(fleet_->Shoal({"device", "bootstrap-file", "--type", "gateway",
                           "--out", dir_.File("bootstrap")}));
  // The bench has no network: no node answers.
  for (const std::string& node : fleet_->nodes()) fleet_->StopNode(node);
  Device device(dir_, "bench");
  ASSERT_OK(device.Init({"--image", dir_.File("image"), "--bootstrap-file",
                         dir_.File("bootstrap")}));
  const std::string request = dir_.File("request"),
                    answer = dir_.File("answer");
  const std::string said = Agent(device, {"pair", "--request-file", request});
  const std::string shown = device.Status().value("fingerprint", "");
  EXPECT_NE(said.find(shown), said.npos) << said;

  // The operator's word is needed, and about this device.
  auto refused = fleet_->Shoal({"device", "pair", request, "--out", answer});
  EXPECT_NE(refused.status().message().find("fingerprint_required"),
            std::string::npos)
      << refused.status();
  refused =
      fleet_->Shoal({"device", "pair", request, "--out", answer,
                     "--fingerprint", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AA"});
  EXPECT_NE(refused.status().message().find("wrong_fingerprint"),
            std::string::npos)
      << refused.status();
  ASSERT_OK(fleet_->Shoal({"device", "pair", request, "--out", answer,
                           "--fingerprint", shown, "--label", "site=bench"}));

  // An answer that was changed on the way, or is another device's, is none.
  const std::string good = ReadText(answer);
  WriteText(dir_.File("bad"), good.substr(0, good.size() / 2));
  Agent(device, {"pair", "--answer-file", dir_.File("bad")}, 1);
  std::string turned = good;
  turned[40] = static_cast<char>(turned[40] ^ 1);
  WriteText(dir_.File("bad"), turned);
  Agent(device, {"pair", "--answer-file", dir_.File("bad")}, 1);
  Device other(dir_, "other");
  ASSERT_OK(other.Init({"--image", dir_.File("image"), "--bootstrap-file",
                        dir_.File("bootstrap")}));
  Agent(other, {"pair", "--request-file", dir_.File("other-request")});
  EXPECT_NE(
      Agent(other, {"pair", "--answer-file", answer}, 1).find("bad_grant"),
      std::string::npos);
  EXPECT_FALSE(device.Status().value("paired", true));

  EXPECT_NE(Agent(device, {"pair", "--answer-file", answer})
                .find(HexEncode(fleet_->fleet_id())),
            std::string::npos);
  EXPECT_TRUE(device.Status().value("paired", false));
  EXPECT_EQ(device.Status()["labels"].value("site", ""), "bench");
  EXPECT_NE(Agent(device, {"pair", "--answer-file", answer}, 1)
                .find("already_paired"),
            std::string::npos);
  // It has its certificate before it was ever online.
  EXPECT_NE(Agent(device, {"certificate"}).find("BEGIN CERTIFICATE"),
            std::string::npos);

  // In the field.
  for (const std::string& node : fleet_->nodes())
    ASSERT_OK(fleet_->RestartNode(node));
  device.PowerOn();
  ASSERT_OK(WaitFor(
      "the first report", [&] { return LastSeen(device) > 0; },
      absl::Seconds(60)));
}

}  // namespace
}  // namespace shoal::testing
