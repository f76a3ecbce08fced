// Metadata that nodes put before a device: forged, and true but of another day.
#include "tests/integration/agent/paired_fixture.h"

namespace shoal::testing {
namespace {

TEST_F(PairedTest, T01_TamperedMetadataIsRefusedAndTheDeviceGoesOn) {
  Pair();
  ASSERT_OK(device_->process().WaitForLog("event=online"));
  ASSERT_OK(PushTamperedTimestamp());
  ASSERT_OK(device_->process().WaitForLog(
      "event=metadata_refused reason=bad_signature"));
  EXPECT_EQ(device_->Status()["last_refusal"]["case"], "metadata");
  EXPECT_TRUE(device_->process().Running());
}

// A storage node that has gone over puts words that were once true where new
// ones will be looked for, under higher numbers than anybody's. Others still
// have the new ones, and those are what counts.
class HostileNodeTest : public PairedTest {
 protected:
  void SetUp() override {
    PairedTest::SetUp();
    Pair();
    ASSERT_OK(device_->process().WaitForLog("event=online"));
    ASSERT_OK(NewPolicyArrives());
  }
  std::string File(const std::string& name) {
    return ReadText(plane_->fleet().repository() + "/metadata/" + name);
  }
  std::string Newest(const std::string& role) {
    return File(std::to_string(plane_->fleet().versions().at(role)) + "." +
                role + ".json");
  }
  std::string NextOf(const std::string& role) {
    return role + "/" + std::to_string(plane_->fleet().versions().at(role) + 1);
  }
  absl::Status NewPolicyArrives() {
    SHOAL_RETURN_IF_ERROR(plane_->AllowInstall());
    SHOAL_RETURN_IF_ERROR(plane_->Publish());
    const uint64_t version = plane_->fleet().policy().version();
    return WaitFor("the new policy", [&] {
      for (const auto& record :
           plane_->Received(records::v1::RECORD_KIND_DEVICE_REPORT)) {
        records::v1::DeviceReport report;
        if (report.ParseFromString(record.body.payload()) &&
            report.policy_version() == version)
          return true;
      }
      return false;
    });
  }
};

TEST_F(HostileNodeTest, T08_T41_AnOldRootInTheNextOnesPlace) {
  ASSERT_OK(
      Plant(records::v1::RECORD_KIND_METADATA, "root/2", File("1.root.json")));
  EXPECT_OK(NewPolicyArrives());
}

TEST_F(HostileNodeTest, T06_T41_AnOldSnapshotInTheNextOnesPlace) {
  ASSERT_OK(Plant(records::v1::RECORD_KIND_METADATA, NextOf("snapshot"),
                  Newest("snapshot")));
  EXPECT_OK(NewPolicyArrives());
}

TEST_F(HostileNodeTest, T05_T41_AnOldTimestampUnderTheHighestNumber) {
  records::v1::Head head;
  head.set_timestamp(File("timestamp.json"));
  ASSERT_OK(Plant(records::v1::RECORD_KIND_HEAD, "gateway",
                  head.SerializeAsString()));
  EXPECT_OK(NewPolicyArrives());
}

}  // namespace
}  // namespace shoal::testing
