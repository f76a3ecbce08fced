// The ways into a fleet that need no ticket, with the real programs: the
// operator's word, the manufacturer's word, and a plane that comes later.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "tests/support/real_fleet.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using nlohmann::json;

class EnrolmentPrograms : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_, RealFleet::StartEmpty(dir_));
    ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("image"),
                                           std::string(4000, 'i')));
  }
  json Listed(const std::string& state) {
    const auto text =
        fleet_->Shoal({"device", "list", "--state", state, "--output", "json"});
    EXPECT_OK(text);
    if (!text.ok()) return json::array();
    const json answer = json::parse(*text, nullptr, false);
    return answer.value("devices", json::array());
  }
  static std::string IdOf(const json& device) {
    return device.at("name").get<std::string>().substr(8);
  }
  std::string FingerprintOf(const Device& device) {
    const auto shown = shoal::testing::Run(
        {BinPath("shoal-agent"), "fingerprint", "--config", device.config()});
    EXPECT_OK(shown);
    std::string text = shown->output;
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
  // Its public key; the secret one stays in factory-keys.
  std::string MakeManufacturer() {
    const auto made = shoal::testing::Run(
        {BinPath("shoal-sign"), "key", "create", "acme", "--keys",
         dir_.File("factory-keys"), "--passphrase-file", fleet_->Path("pass"),
         "--kdf", "interactive"});
    EXPECT_OK(made);
    EXPECT_TRUE(made.ok() && made->status.ok()) << made->output;
    return dir_.File("factory-keys/acme.pub");
  }
  std::string Waiting(Device& device) {
    const json status = device.Status();
    return status.contains("live") ? status["live"].value("waiting_reason", "")
                                   : "";
  }

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
};

TEST_F(EnrolmentPrograms, T51_AStrangerComesInByItsFingerprint) {
  ASSERT_OK(fleet_->Shoal({"device", "bootstrap-file", "--type", "gateway",
                           "--out", dir_.File("bootstrap")}));
  Device device(dir_, "stranger");
  ASSERT_OK(device.Init({"--image", dir_.File("image"), "--bootstrap-file",
                         dir_.File("bootstrap")}));
  // The plane is away while it asks, and it loses its power in between.
  fleet_->KillPlane();
  device.PowerOn();
  ASSERT_OK(device.process().WaitForLog("event=pairing_requested"));
  device.PowerOff();
  device.PowerOn();
  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(WaitFor(
      "the device to be listed", [&] { return Listed("pending").size() == 1; },
      absl::Seconds(40)));
  ASSERT_OK(WaitFor(
      "the device to hear that it waits",
      [&] { return Waiting(device) == "pairing_pending"; }, absl::Seconds(40)));
  const json waiting = Listed("pending")[0];
  const std::string shown = FingerprintOf(device);
  EXPECT_EQ(waiting.value("fingerprint", ""), shown);
  EXPECT_EQ(device.Status().value("fingerprint", ""), shown);
  const std::string id = IdOf(waiting);

  const auto unchecked = fleet_->Shoal({"device", "accept", id});
  EXPECT_FALSE(unchecked.ok());
  EXPECT_NE(unchecked.status().message().find("fingerprint_required"),
            std::string::npos)
      << unchecked.status();
  // Turned away by mistake; then somebody looks at the device.
  ASSERT_OK(fleet_->Shoal({"device", "reject", id, "--reason", "who is it"}));
  ASSERT_OK(WaitFor(
      "the device to hear that it was turned away",
      [&] { return Waiting(device) == "pairing_rejected"; },
      absl::Seconds(40)));
  EXPECT_EQ(device.Status()["last_refusal"].value("reason", ""),
            "pairing_rejected");
  ASSERT_OK(fleet_->Shoal(
      {"device", "accept", id, "--fingerprint", shown, "--label", "site=lab"}));
  ASSERT_OK(device.process().WaitForLog("event=paired", absl::Seconds(60)));
  const json status = device.Status();
  EXPECT_EQ(status.value("device_id", ""), id);
  EXPECT_EQ(status["labels"].value("site", ""), "lab");
  EXPECT_EQ(status.value("fleet_id", ""), HexEncode(fleet_->fleet_id()));
}

TEST_F(EnrolmentPrograms, T51_AFactoryDeviceIsKnownByItsSerialNumber) {
  ASSERT_OK(fleet_->Sign({"manufacturer", "add", "acme", "--key",
                          MakeManufacturer(), "--type", "gateway"}));
  ASSERT_OK(fleet_->Shoal({"trust", "publish", fleet_->Path("repo")}));
  ASSERT_OK(fleet_->Shoal({"device", "preauthorize", "--type", "gateway",
                           "--manufacturer", "acme", "--serial", "SN-0001",
                           "--label", "site=lab"}));
  ASSERT_OK(fleet_->Shoal({"device", "bootstrap-file", "--factory-only",
                           "--out", dir_.File("bootstrap")}));
  // In the factory: the key is made on the device and never leaves it.
  Device device(dir_, "from-factory");
  const auto key =
      shoal::testing::Run({BinPath("shoal-agent"), "fingerprint", "--data",
                           device.data(), "--output", "json"});
  ASSERT_OK(key);
  ASSERT_OK(
      RealFileSystem().WriteAtomic(dir_.File("device.json"), key->output));
  const auto issued = shoal::testing::Run(
      {BinPath("shoal-sign"), "factory", "issue", "--keys",
       dir_.File("factory-keys"), "--passphrase-file", fleet_->Path("pass"),
       "--signer", "acme", "--device-key", dir_.File("device.json"), "--serial",
       "SN-0001", "--type", "gateway", "--out", dir_.File("credential")});
  ASSERT_OK(issued);
  ASSERT_TRUE(issued->status.ok()) << issued->output;
  // In the field: no ticket, no operator.
  ASSERT_OK(device.Init({"--image", dir_.File("image"), "--bootstrap-file",
                         dir_.File("bootstrap"), "--factory-credential",
                         dir_.File("credential")}));
  device.PowerOn();
  ASSERT_OK(device.process().WaitForLog("event=paired", absl::Seconds(60)));
  EXPECT_EQ(device.Status()["labels"].value("site", ""), "lab");
  const json accepted = Listed("accepted");
  ASSERT_EQ(accepted.size(), 1u);
  EXPECT_EQ(
      accepted[0].value("serialNumber", accepted[0].value("serial_number", "")),
      "SN-0001");
  EXPECT_EQ(accepted[0].value("origin", ""), "factory");
}

}  // namespace
}  // namespace shoal::testing
