// A rollout that is given up, and the way back for those who took it.
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using records::v1::OUTCOME_RESULT_SUCCESS;
using testing::FailsBecause;

class RolloutAbortTest : public RolloutReportsTest {};

TEST_F(RolloutAbortTest, AnAbortLeadsBackThoseWhoTookIt) {
  const store::ReleaseRow before = MakeRelease("1.0", "image one");
  std::vector<TestDevice> devices;
  ActiveRollout(3, devices);
  ASSERT_OK(Take({Report(devices[0], ReleaseDigest(), 1),
                  OutcomeRecord(devices[0], "r1", OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 1)}));
  auto abort = For<rollout::v1::AbortRolloutRequest>("r1");
  abort.set_reason("modem drops");
  abort.set_request_id("once");
  ASSERT_OK_AND_ASSIGN(auto back, rollouts_->Abort(abort, "operator:ann"));
  EXPECT_EQ(back.name(), "rollouts/r1-back");
  EXPECT_EQ(back.rolls_back(), "rollouts/r1");
  EXPECT_EQ(back.document().release().version(), "1.0");
  EXPECT_EQ(back.document().only_running_sha256(), ReleaseDigest());
  EXPECT_EQ(back.document().phases(0).expected_devices(), 1u)
      << "the others never took it";
  EXPECT_GT(back.document().order(), Now().document().order());
  ASSERT_OK_AND_ASSIGN(auto again, rollouts_->Abort(abort, "operator:ann"));
  EXPECT_EQ(again.name(), back.name()) << "idempotent";
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ABORTED);
  EXPECT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_ABORTED);
  EXPECT_EQ(Now().rolled_back_by(), "rollouts/r1-back");
  // It ends once that one is back: those who never took it say nothing of it.
  {
    Transaction tx(*store_);  // nobody makes deltas here
    ASSERT_OK_AND_ASSIGN(auto row,
                         tx.Get<store::RolloutRow>(kRollouts, "r1-back"));
    row.set_delta_wait_seconds(-1);
    tx.Put(kRollouts, "r1-back", row);
    ASSERT_OK(tx.Commit());
  }
  ASSERT_OK(driver_->Step());
  EmptyOutbox();
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now("r1-back").state(), rollout::v1::ROLLOUT_STATE_ACTIVE)
      << Now("r1-back").message();
  const std::string old = *HexDecode(before.release().sha256());
  ASSERT_OK(Take(
      {OutcomeRecord(devices[0], "r1-back", OUTCOME_RESULT_SUCCESS, old, 2),
       Report(devices[0], old, 2)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now("r1-back").state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  abort.set_request_id("twice");
  EXPECT_THAT(rollouts_->Abort(abort, "operator:ann"),
              FailsBecause("at_its_end"));
  EXPECT_THAT(rollouts_->Resume(For<rollout::v1::ResumeRolloutRequest>("r1"),
                                "operator:ann", true),
              FailsBecause("not_stopped"));
}

TEST_F(RolloutAbortTest, AWayBackTakesAFreeId) {
  MakeRelease("1.0", "image one");
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  const std::string shared(59, 'x');
  for (const std::string& id :
       {std::string("r1-back"), shared + "-one", shared + "-two"}) {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id(id);
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  }
  ASSERT_OK(driver_->Step());  // signed: somebody may have taken them
  const auto abort = [&](const std::string& id) {
    auto request = For<rollout::v1::AbortRolloutRequest>(id);
    request.set_request_id(id);
    auto first = rollouts_->Abort(request, "operator:ann");
    EXPECT_OK(first) << id;
    // The same order again makes no second way back.
    auto again = rollouts_->Abort(request, "operator:ann");
    EXPECT_OK(again) << id;
    if (!first.ok() || !again.ok()) return std::string();
    EXPECT_EQ(again->name(), first->name());
    EXPECT_EQ(first->rolls_back(), "rollouts/" + id);
    EXPECT_EQ(Now(id).rolled_back_by(), first->name());
    return first->name();
  };
  EXPECT_EQ(abort("r1"), "rollouts/r1-back-2");
  EXPECT_EQ(abort(shared + "-one"), "rollouts/" + shared + "-back");
  EXPECT_EQ(abort(shared + "-two"),
            "rollouts/" + shared.substr(0, 57) + "-back-2");
}

// The group is gone with the rollout that named it: those who took it are led
// back all the same, and nobody else.
TEST_F(RolloutAbortTest, AGroupThatIsGoneKeepsNobodyThere) {
  MakeRelease("1.0", "image one");
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  fleet::v1::CreateGroupRequest group;
  group.set_group_id("lab");
  ASSERT_OK(groups_->Create(group, "operator:ann"));
  fleet::v1::AddGroupMembersRequest members;
  members.set_name("groups/lab");
  members.add_devices("devices/" + HexEncode(devices[0].id));
  ASSERT_OK(groups_->AddMembers(members, "operator:ann"));
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r2");
  request.set_release("releases/gateway/2.0");
  request.set_delta_wait_seconds(-1);
  request.mutable_selector()->add_groups("lab");
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  ASSERT_OK(driver_->Step());
  EmptyOutbox();
  ASSERT_OK(driver_->Step());
  // Both run the image, one of them by r1.
  ASSERT_OK(Take({Report(devices[0], ReleaseDigest(), 1),
                  Report(devices[1], ReleaseDigest(), 1),
                  OutcomeRecord(devices[0], "r2", OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now("r2").state(), rollout::v1::ROLLOUT_STATE_FINISHED);
  fleet::v1::DeleteGroupRequest gone;
  gone.set_name("groups/lab");
  ASSERT_OK(groups_->Delete(gone, "operator:ann"));
  while (*groups_->Reconcile()) {
  }
  ASSERT_OK_AND_ASSIGN(
      const auto back,
      rollouts_->Abort(For<rollout::v1::AbortRolloutRequest>("r2"),
                       "operator:ann"));
  EXPECT_EQ(back.document().selector().groups_size(), 0);
  EXPECT_THAT(back.document().selector().device_ids(),
              ::testing::ElementsAre(HexEncode(devices[0].id)));
  EXPECT_EQ(back.document().phases(0).expected_devices(), 1u);
}

TEST_F(RolloutAbortTest, WithoutAReleaseBeforeAnAbortStays) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  auto abort = For<rollout::v1::AbortRolloutRequest>("r1");
  EXPECT_THAT(rollouts_->Abort(abort, "operator:ann"),
              FailsBecause("no_release_before"));
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE)
      << "all or nothing";
  abort.set_stay(true);
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Abort(abort, "operator:ann"));
  EXPECT_EQ(rollout.name(), "rollouts/r1");
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ABORTED);
}

}  // namespace
}  // namespace shoal::server
