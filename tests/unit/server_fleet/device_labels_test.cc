#include "server/fleet/devices.h"
#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class DeviceLabelsTest : public FleetTest {
 protected:
  void SetUp() override {
    FleetTest::SetUp();
    AddDevice(1, {{"site", "north"}, {"ring", "a"}});
    AddDevice(2);
  }
};

TEST_F(DeviceLabelsTest, TheMaskSaysWhatChanges) {
  fleet::v1::UpdateDeviceRequest request;
  request.mutable_device()->set_name(Name(1));
  (*request.mutable_device()->mutable_labels())["site"] = "south";
  request.mutable_update_mask()->add_paths("labels.site");
  request.mutable_update_mask()->add_paths("labels.none");
  request.set_validate_only(true);
  ASSERT_OK_AND_ASSIGN(auto would, devices_->Update(request, "ann"));
  EXPECT_EQ(would.labels().at("site"), "south");
  EXPECT_EQ(RowOf(1).device().labels().at("site"), "north");
  request.set_validate_only(false);
  ASSERT_OK_AND_ASSIGN(auto device, devices_->Update(request, "ann"));
  EXPECT_EQ(device.labels().at("site"), "south");
  EXPECT_EQ(device.labels().at("ring"), "a");
  // The etag of before.
  request.mutable_device()->set_etag("1");
  EXPECT_THAT(devices_->Update(request, "ann"),
              Fails(absl::StatusCode::kAborted, "stale_etag"));
  request.mutable_device()->set_etag(device.etag());
  request.mutable_device()->clear_labels();
  request.mutable_update_mask()->clear_paths();
  request.mutable_update_mask()->add_paths("labels.ring");
  ASSERT_OK_AND_ASSIGN(device, devices_->Update(request, "ann"));
  EXPECT_FALSE(device.labels().contains("ring"));
  request.mutable_update_mask()->set_paths(0, "labels");
  request.mutable_device()->clear_etag();
  ASSERT_OK_AND_ASSIGN(device, devices_->Update(request, "ann"));
  EXPECT_TRUE(device.labels().empty());
}

TEST_F(DeviceLabelsTest, UpdatesBeyondTheirLimitsAreRefused) {
  fleet::v1::UpdateDeviceRequest request;
  request.mutable_device()->set_name(Name(1));
  EXPECT_THAT(devices_->Update(request, "ann"),
              FailsBecause("bad_update_mask"));
  for (const char* path : {"state", "labels.", "labels.a b", "*"}) {
    request.mutable_update_mask()->clear_paths();
    request.mutable_update_mask()->add_paths(path);
    EXPECT_THAT(devices_->Update(request, "ann"),
                FailsBecause("bad_update_mask"))
        << path;
  }
  request.mutable_update_mask()->clear_paths();
  for (int i = 0; i < 65; ++i)
    request.mutable_update_mask()->add_paths("labels");
  EXPECT_THAT(devices_->Update(request, "ann"),
              FailsBecause("bad_update_mask"));
  request.mutable_update_mask()->clear_paths();
  request.mutable_update_mask()->add_paths("labels");
  (*request.mutable_device()->mutable_labels())["k"] = std::string(129, 'v');
  EXPECT_THAT(devices_->Update(request, "ann"), FailsBecause("bad_label"));
  request.mutable_device()->clear_labels();
  request.mutable_device()->set_name(Name(9));
  EXPECT_THAT(devices_->Update(request, "ann"), FailsBecause("not_found"));
  request.mutable_device()->set_name("devices/1");
  EXPECT_THAT(devices_->Update(request, "ann"), FailsBecause("bad_name"));
  EXPECT_THAT(devices_->Decommission(Name(1), std::string(513, 'r'), "ann"),
              FailsBecause("bad_request"));
  EXPECT_THAT(devices_->Decommission(Name(1), "", "ann", "99"),
              FailsBecause("stale_etag"));
  EXPECT_OK(devices_->Decommission(Name(1), "", "ann", "", true));
  EXPECT_EQ(RowOf(1).device().state(), fleet::v1::ENROLMENT_STATE_ACCEPTED);
}

TEST_F(DeviceLabelsTest, ABatchIsAllOrNothingAndKnowsItsRequestAgain) {
  fleet::v1::BatchUpdateDeviceLabelsRequest request;
  request.add_names(Name(1));
  request.add_names(Name(2));
  (*request.mutable_labels())["ring"] = "a";
  request.add_remove_labels("site");
  request.set_request_id("r1");
  ASSERT_OK_AND_ASSIGN(auto done, devices_->BatchUpdateLabels(request, "ann"));
  EXPECT_EQ(done.changed(), 2);
  EXPECT_FALSE(RowOf(1).device().labels().contains("site"));
  ASSERT_OK_AND_ASSIGN(done, devices_->BatchUpdateLabels(request, "ann"));
  EXPECT_EQ(done.changed(), 2);  // the first answer
  request.clear_request_id();
  ASSERT_OK_AND_ASSIGN(done, devices_->BatchUpdateLabels(request, "ann"));
  EXPECT_EQ(done.unchanged(), 2);
  (*request.mutable_labels())["ring"] = "b";
  request.add_names(Name(9));
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("not_found"));
  EXPECT_EQ(RowOf(1).device().labels().at("ring"), "a");
  request.set_names(2, Name(1));
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_request"));
  request.clear_names();
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_request"));
  for (int i = 0; i < 1001; ++i) request.add_names(Name(1));
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_request"));
  request.clear_names();
  request.add_names(Name(1));
  request.add_remove_labels("ring");
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_label"));
  request.clear_labels();
  request.clear_remove_labels();
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_label"));
  for (int i = 0; i < 33; ++i) request.add_remove_labels("k");
  EXPECT_THAT(devices_->BatchUpdateLabels(request, "ann"),
              FailsBecause("bad_label"));
}

}  // namespace
}  // namespace shoal::server
