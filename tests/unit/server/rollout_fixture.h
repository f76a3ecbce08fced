// A rollout of release 2.0 to paired devices, for the tests of rollouts.
#ifndef SHOAL_TESTS_UNIT_SERVER_ROLLOUT_FIXTURE_H_
#define SHOAL_TESTS_UNIT_SERVER_ROLLOUT_FIXTURE_H_

#include <string>
#include <vector>

#include "common/bytes.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {

class RolloutPlaneTest : public PlaneTest {
 protected:
  // A rollout of release 2.0 to `count` paired devices, active.
  void ActiveRollout(int count, std::vector<TestDevice>& devices,
                     rollout::v1::CreateRolloutRequest request = {}) {
    EnrollNode("n1");
    release_ = MakeRelease("2.0", "image two");
    for (int i = 0; i < count; ++i) {
      TestDevice device;
      Pair(device);
      devices.push_back(std::move(device));
    }
    request.set_rollout_id("r1");
    request.set_device_type("gateway");
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());  // nothing to make: signed
    EmptyOutbox();
    ASSERT_OK(driver_->Step());  // published
    ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
    ASSERT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
    ASSERT_GT(rollout.published_at(), 0);
  }
  absl::StatusOr<rollout::v1::Rollout> Approve(
      const std::string& name, uint32_t phase, const std::string& etag,
      const std::string& principal, const std::string& signature = "") {
    rollout::v1::ApprovePhaseRequest request;
    request.set_name(name);
    request.set_phase(phase);
    request.set_etag(etag);
    request.set_signature(signature);
    return rollouts_->Approve(request, principal);
  }
  // What a device says of r1 after a try that left it `tries` more, or instead
  // of one.
  absl::Status Answer(const TestDevice& device,
                      records::v1::OutcomeResult result,
                      const std::string& reason, uint64_t counter,
                      uint32_t tries = 0) {
    records::v1::Outcome outcome;
    outcome.set_rollout_id("r1");
    outcome.set_device_id(device.id);
    outcome.set_result(result);
    outcome.set_reason(reason);
    outcome.set_counter(counter);
    outcome.set_tries_left(tries);
    if (result == records::v1::OUTCOME_RESULT_SUCCESS)
      outcome.set_running_sha256(ReleaseDigest());
    return Take({DeviceRecord(device, records::v1::RECORD_KIND_OUTCOME,
                              writer_->places().Outcome("r1", device.id, 1),
                              counter, outcome.SerializeAsString())});
  }
  std::string ReleaseDigest() {
    return *HexDecode(release_.release().sha256());
  }
  store::ReleaseRow release_;
};

// The same; the plane reads reports, so that it knows what devices run.
class RolloutReportsTest : public RolloutPlaneTest {
 protected:
  void SetUp() override {
    RolloutPlaneTest::SetUp();
    ReadReports();
  }
  rollout::v1::Rollout Now(const std::string& id = "r1") {
    auto rollout = rollouts_->Get("rollouts/" + id);
    EXPECT_OK(rollout);
    return rollout.ok() ? *rollout : rollout::v1::Rollout();
  }
  std::string Report(const TestDevice& device, const std::string& sha256,
                     uint64_t version) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device.box.public_key());
    report.set_running_sha256(sha256);
    report.set_running_version("2.0");
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), version,
                        report.SerializeAsString());
  }
  // A report of a device that waits.
  std::string Waits(const TestDevice& device, const std::string& word,
                    uint64_t version) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device.box.public_key());
    report.set_running_version("1.0");
    report.set_waiting_reason(word);
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), version,
                        report.SerializeAsString());
  }
  template <typename Request>
  Request For(const std::string& id) {
    Request request;
    request.set_name("rollouts/" + id);
    return request;
  }
};

}  // namespace shoal::server

#endif  // SHOAL_TESTS_UNIT_SERVER_ROLLOUT_FIXTURE_H_
