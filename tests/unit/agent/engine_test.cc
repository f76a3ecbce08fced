#include "agent/engine/engine.h"

#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using testing::ReadFile;
using testing::Rig;
using testing::WriteFile;

TEST(Transitions, EveryStateIsLeftAndLeadsToIdle) {
  for (const Transition& row : kTransitions) {
    EXPECT_EQ(NextState(row.from, row.event), row.to);
    // From everywhere the first row of each state leads on; no state is a trap.
    UpdateState state = row.to;
    for (int i = 0; i < 12 && state != UpdateState::kIdle; ++i) {
      bool found = false;
      for (const Transition& next : kTransitions)
        if (next.from == state && !found) {
          state = next.to;
          found = true;
        }
      ASSERT_TRUE(found) << UpdateStateName(state);
    }
    EXPECT_EQ(state, UpdateState::kIdle);
  }
  EXPECT_EQ(NextState(UpdateState::kIdle, Event::kSick), std::nullopt);
}

TEST(Engine, InstallsChecksAndCommits) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kSuccess);
  EXPECT_EQ(rig.reports_[0].update.outcome_counter, 1u);
  EXPECT_EQ(rig.reports_[0].running.info.version, "2.0.0");
  EXPECT_FALSE(rig.reports_[0].running.trial);
  const StateData state = rig.state_->Get();
  EXPECT_EQ(state.floor, 2u);
  EXPECT_TRUE(state.rollouts.at("r1").finished);
  EXPECT_EQ(state.rollouts.at("r1").attempts, 1u);
  EXPECT_EQ(state.tally.updates.at("success"), 1u);
  // It stays across restarts.
  rig.PowerOn();
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

TEST(Engine, OneUpdateAtATime) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_THAT(rig.engine_->Begin(rig.NewUpdate()), FailsBecause("busy"));
}

TEST(Engine, WaitsUntilItMayRestart) {
  Rig rig;
  rig.PowerOn();
  rig.may_restart_ = false;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_EQ(rig.Live(), Engine::Next::kWait);
  EXPECT_EQ(rig.state_->Get().update->state, UpdateState::kReady);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  rig.may_restart_ = true;
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

TEST(Engine, T62_SickImageIsRolledBackAndReported) {
  Rig rig;
  rig.PowerOn();
  rig.healthy_ = false;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kRolledBack);
  EXPECT_EQ(rig.reports_[0].update.reason, "health_failed");
  EXPECT_EQ(rig.reports_[0].update.health_output, "no uplink");
  EXPECT_EQ(rig.reports_[0].running.info.version, "1.0.0");
  EXPECT_EQ(rig.state_->Get().floor, 0u);
}

TEST(Engine, T62_ImageThatDoesNotBootFallsBackByTheLoaderAlone) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  const auto next = rig.engine_->Run();
  ASSERT_OK(next);
  ASSERT_EQ(*next, Engine::Next::kReboot);
  // In none of the boots that the new image gets does an agent ever start.
  for (int i = 0; i < EngineOptions().boot_tries; ++i) {
    ASSERT_OK_AND_ASSIGN(const RunningSlot tried,
                         BootOnce(RealFileSystem(), rig.boot()));
    EXPECT_TRUE(tried.trial);
  }
  rig.PowerOn();
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kRolledBack);
  EXPECT_EQ(rig.reports_[0].update.reason, "boot_failed");
}

TEST(Engine, T60_PowerCutInTheFirstBootOfAnImageIsForgiven) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  const auto next = rig.engine_->Run();
  ASSERT_OK(next);
  ASSERT_EQ(*next, Engine::Next::kReboot);
  // The power goes before an agent starts, and comes back.
  ASSERT_OK(BootOnce(RealFileSystem(), rig.boot()));
  rig.PowerOn();
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kSuccess);
}

TEST(Engine, DeltaIsUsed) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate(true)));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.patches_, 1);
  EXPECT_EQ(rig.fetches_, 1);
  EXPECT_TRUE(rig.reports_[0].update.used_delta);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

// Whatever the patch says of itself: the sandbox has what the index names.
TEST(Engine, T31_TheSandboxIsGrantedWhatTheIndexSays) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate(true);
  update.delta->memory = 2u << 20;
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.last_job_.max_memory, 2u << 20);
  EXPECT_TRUE(rig.reports_[0].update.used_delta);
}

TEST(Engine, AResumeStateThatDoesNotFitCostsTheWorkAndNotTheDelta) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate(true);
  update.resume_state = "of another patch";
  rig.takes_resume_state_ = false;
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.patches_, 2);
  EXPECT_TRUE(rig.reports_[0].update.used_delta);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

TEST(Engine, T30_DeltaForAnotherBaseIsNotAppliedTheFullImageIs) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate(true);
  update.delta->from_sha256 = crypto::Sha256Digest("something else");
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.patches_, 0);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kSuccess);
  EXPECT_FALSE(rig.reports_[0].update.used_delta);
  EXPECT_EQ(rig.reports_[0].update.delta_failure, "wrong_base");
}

TEST(Engine, T35_DeltaWithOtherBytesNeverReachesThePatcher) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate(true);
  rig.served_[update.delta->artifact.sha256] = "b delta";
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.patches_, 0);
  EXPECT_EQ(rig.reports_[0].update.delta_failure, "digest_mismatch");
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

TEST(Engine, RefusedDeltaFallsToTheFullImage) {
  Rig rig;
  rig.PowerOn();
  rig.patch_status_ = DataLoss("patch_crashed", "killed by signal 31");
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate(true)));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.reports_[0].update.delta_failure, "patch_crashed");
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
}

TEST(Engine, T32_WrongImageIsNeverMadeBootable) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate();
  rig.served_[update.full.sha256] = std::string(rig.new_image_.size(), 'x');
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kFailed);
  EXPECT_EQ(rig.reports_[0].update.reason, "digest_mismatch");
  rig.PowerOn();
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
}

TEST(Engine, T33_SlotThatChangedAfterItsCheckIsNotBooted) {
  Rig rig;
  rig.PowerOn();
  rig.may_restart_ = false;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  ASSERT_EQ(rig.Live(), Engine::Next::kWait);
  std::string changed = rig.new_image_;
  changed[1000] = '!';
  WriteFile(rig.SlotPath("b"), changed);
  rig.may_restart_ = true;
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kFailed);
  EXPECT_EQ(rig.reports_[0].update.reason, "digest_mismatch");
  ASSERT_OK_AND_ASSIGN(const BootEnv env,
                       LoadBootEnv(RealFileSystem(), rig.boot()));
  EXPECT_EQ(env.trial, "");
}

TEST(Engine, NoSourceIsReportedAsFailedAndTheNextTryWorks) {
  Rig rig;
  rig.PowerOn();
  UpdateRecord update = rig.NewUpdate();
  rig.served_.clear();
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.reports_[0].update.reason, "no_source");
  rig.served_[update.full.sha256] = rig.new_image_;
  update.attempt = 2;
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  ASSERT_EQ(rig.reports_.size(), 2u);
  EXPECT_EQ(rig.reports_[1].update.result, UpdateResult::kSuccess);
  EXPECT_EQ(rig.reports_[1].update.outcome_counter, 2u);
  EXPECT_EQ(rig.state_->Get().rollouts.at("r1").attempts, 2u);
}

TEST(Engine, AWithdrawnUpdateIsDroppedAndIsNoTry) {
  Rig rig;
  rig.PowerOn();
  rig.may_restart_ = false;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_EQ(rig.Live(), Engine::Next::kWait);
  ASSERT_EQ(rig.state_->Get().update->state, UpdateState::kReady);
  EXPECT_EQ(rig.state_->Get().rollouts["r1"].attempts, 1u);
  // Another rollout's end says nothing of this one.
  rig.engine_->Withdraw("r0", "superseded");
  EXPECT_EQ(rig.Live(), Engine::Next::kWait);
  ASSERT_TRUE(rig.state_->Get().update.has_value());
  rig.engine_->Withdraw("r1", "superseded");
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.RunningBytes(), rig.old_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kRefused);
  EXPECT_EQ(rig.reports_[0].update.reason, "superseded");
  EXPECT_EQ(rig.state_->Get().rollouts["r1"].attempts, 0u);
  EXPECT_FALSE(rig.state_->Get().rollouts["r1"].finished);
  // The next one goes its way.
  rig.may_restart_ = true;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdate()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.RunningBytes(), rig.new_image_);
}

}  // namespace
}  // namespace shoal::agent
