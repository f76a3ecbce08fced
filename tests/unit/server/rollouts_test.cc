#include "server/rollout/explain.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class RolloutsTest : public RolloutPlaneTest {
 protected:
  // r1: its document is signed, and no more.
  void SignedRollout(int count) {
    EnrollNode("n1");
    release_ = MakeRelease("2.0", "image two");
    for (int i = 0; i < count; ++i) {
      TestDevice device;
      Pair(device);
      paired_.push_back(std::move(device));
    }
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id("r1");
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    ASSERT_TRUE(rollouts_->Row("rollouts/r1")->document_signed());
    ASSERT_EQ(rollouts_->Get("rollouts/r1")->published_at(), 0);
  }
  std::vector<TestDevice> paired_;
};

TEST_F(RolloutsTest, ARolloutIsFinishedWhenAllDevicesRunTheDigest) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(
      Take({OutcomeRecord(devices[1], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(rollout.phases(0).succeeded(), 2u);
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
}

TEST_F(RolloutsTest, TooManyFailuresHaltTheRollout) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(500);
  ActiveRollout(2, devices, request);
  ASSERT_OK(Take(
      {OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_ROLLED_BACK,
                     std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_EQ(rollout.document().version(), 2u);
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_HALTED);
}

// Devices start from the signature on: what goes wrong before storage nodes
// hold the bytes must stop it as well.
TEST_F(RolloutsTest, WhatIsNotPublishedYetIsStoppedByItsFailures) {
  SignedRollout(2);
  mirrors_ = 0;
  ASSERT_OK(
      Take({OutcomeRecord(paired_[0], "r1", records::v1::OUTCOME_RESULT_FAILED,
                          std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.published_at(), 0);
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_EQ(rollout.document().version(), 2u);
  // Resumed with these failures accepted it waits for the nodes again.
  rollout::v1::ResumeRolloutRequest resume;
  resume.set_name("rollouts/r1");
  resume.set_accept_failures(true);
  ASSERT_OK(rollouts_->Resume(resume, "operator:ann", true));
  ASSERT_OK(driver_->Step());
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_PREPARING);
}

TEST_F(RolloutsTest, WhatIsNotPublishedYetRunsOut) {
  SignedRollout(1);
  mirrors_ = 0;
  clock_.Advance(absl::Hours(24 * 31));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  EXPECT_EQ(rollout.message(), "expired");
  EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
}

TEST_F(RolloutsTest, WhatIsNotPublishedYetIsSuperseded) {
  SignedRollout(1);
  // Done first, so that it is published in the look in which r1 would be.
  rollout::v1::CreateRolloutRequest newer;
  newer.set_rollout_id("r2");
  newer.set_release("releases/gateway/2.0");
  newer.set_priority(rollout::v1::ROLLOUT_PRIORITY_URGENT);
  mirrors_ = 0;
  ASSERT_OK(rollouts_->Create(newer, "operator:ann"));
  ASSERT_OK(driver_->Step());
  EmptyOutbox();
  mirrors_ = 2;
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r2")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->message(),
            "superseded by rollouts/r2");
}

TEST_F(RolloutsTest, ANewerRolloutSupersedesWhatItCovers) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  const auto start = [&](const std::string& id, bool all) {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id(id);
    request.set_release("releases/gateway/2.0");
    if (all) {
      request.mutable_selector()->set_all(true);
    } else {
      request.mutable_selector()->add_device_ids(HexEncode(devices[0].id));
    }
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    EmptyOutbox();
    ASSERT_OK(driver_->Step());  // published
    ASSERT_OK(driver_->Step());  // what was there before looks again
  };
  // One device only: the others still wait for the first.
  start("r2", false);
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  start("r3", true);
  for (const char* old : {"rollouts/r1", "rollouts/r2"}) {
    ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get(old));
    EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_FINISHED) << old;
    EXPECT_EQ(rollout.message(), "superseded by rollouts/r3");
    EXPECT_EQ(rollout.document().version(), 2u);
    EXPECT_EQ(rollout.document().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  }
  EXPECT_EQ(rollouts_->Get("rollouts/r3")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  // Of those that ended the metadata keeps the newest.
  for (int i = 4; i <= 9; ++i) start("r" + std::to_string(i), true);
  start("r10", true);
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r10"));
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r5"));
  EXPECT_THAT(trust_->FindTarget("director/gateway/rollout/r1"),
              FailsBecause("unknown_target"));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED)
      << "the plane itself forgets nothing";
}

// To some devices, newer, and ended: they say to whom took them to leave the
// older one alone.
TEST_F(RolloutsTest, WhatIsNewerThanARolloutAtWorkStaysToBeRead) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  const std::string name = "devices/" + HexEncode(devices[0].id);
  for (int i = 2; i <= 9; ++i) {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id("r" + std::to_string(i));
    request.set_release("releases/gateway/2.0");
    request.mutable_selector()->add_device_ids(HexEncode(devices[0].id));
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    EmptyOutbox();
    ASSERT_OK(driver_->Step());
    ASSERT_OK_AND_ASSIGN(const auto out, explainer.Device(name, ""));
    EXPECT_EQ(out.rollout(), "rollouts/r" + std::to_string(i));
    rollout::v1::AbortRolloutRequest abort;
    abort.set_name("rollouts/r" + std::to_string(i));
    abort.set_stay(true);
    ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
    ASSERT_OK(driver_->Step());
  }
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r2"));
  ASSERT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  // None of them reached the device: it is r1's again.
  ASSERT_OK_AND_ASSIGN(auto out, explainer.Device(name, ""));
  EXPECT_EQ(out.rollout(), "rollouts/r1");
  // One did: nothing older moves it.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r5", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK_AND_ASSIGN(out, explainer.Device(name, ""));
  EXPECT_EQ(out.rollout(), "rollouts/r5");
}

TEST_F(RolloutsTest, AManualGateWaitsForApproval) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.add_phases()->set_count(1);
  request.mutable_phases(0)->mutable_gate()->set_manual(true);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  for (const TestDevice& device : devices) {
    ASSERT_OK(
        Take({OutcomeRecord(device, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                            ReleaseDigest(), 1)}));
  }
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.document().open_phase(), 0u);
  EXPECT_EQ(rollout.message(), "needs_approval");
  EXPECT_THAT(Approve("rollouts/r1", 2, "", "operator:ann"),
              FailsBecause("not_waiting"));
  EXPECT_THAT(Approve("rollouts/r1", 1, "0", "operator:ann"),
              FailsBecause("stale_etag"));
  ASSERT_OK(Approve("rollouts/r1", 1, rollout.etag(), "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->document().open_phase(), 1u);
}

TEST_F(RolloutsTest, T28_OnlyAnOperatorsHaltHalts) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  ASSERT_OK(Take({HaltRecord(crypto::SigningKey::Generate(), "r1"),
                  HaltRecord(keys_->director, "r1")}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Take({HaltRecord(operator_, "r1")}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_HALTED);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->document().state(),
            rollout::v1::ROLLOUT_STATE_HALTED);
}

TEST_F(RolloutsTest, RequestIdsMakeCreationIdempotent) {
  EnrollNode("n1");
  MakeRelease("2.0", "image two");
  rollout::v1::CreateRolloutRequest request;
  request.set_release("releases/gateway/2.0");
  request.set_request_id("once");
  ASSERT_OK_AND_ASSIGN(auto first, rollouts_->Create(request, "operator:ann"));
  ASSERT_OK_AND_ASSIGN(auto again, rollouts_->Create(request, "operator:ann"));
  EXPECT_EQ(first.name(), again.name());
  EXPECT_EQ(rollouts_->List(0, "")->rollouts.size(), 1u);
  // Also when what it named is gone.
  fleet::v1::CreateGroupRequest group;
  group.set_group_id("lab");
  ASSERT_OK(groups_->Create(group, "operator:ann"));
  auto to_lab = request;
  to_lab.set_rollout_id("lab");
  to_lab.set_request_id("to lab");
  to_lab.mutable_selector()->add_groups("lab");
  ASSERT_OK(rollouts_->Create(to_lab, "operator:ann"));
  {
    Transaction tx(*store_);
    tx.Delete(kGroups, "lab");
    ASSERT_OK(tx.Commit());
  }
  ASSERT_OK_AND_ASSIGN(again, rollouts_->Create(to_lab, "operator:ann"));
  EXPECT_EQ(again.name(), "rollouts/lab");
  request.set_request_id("");
  request.set_validate_only(true);
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  EXPECT_EQ(rollouts_->List(0, "")->rollouts.size(), 2u);
}

}  // namespace
}  // namespace shoal::server
