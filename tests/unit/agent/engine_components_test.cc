// T25: what a release brings beside its image is installed with it or not at
// all, and the report says what failed.
#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using testing::Rig;
using testing::WriteFile;

TEST(EngineComponents, T25_TheModemComesWithItsImage) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  // Nothing is touched before the new image runs.
  const auto next = rig.engine_->Run();
  ASSERT_OK(next);
  EXPECT_EQ(*next, Engine::Next::kReboot);
  EXPECT_EQ(rig.component_calls_, 0);
  rig.PowerOn();
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.new_image_);
  EXPECT_EQ(rig.modem_.runs, rig.new_modem_);
  EXPECT_FALSE(rig.modem_.before) << "it was told that it holds";
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kSuccess);
}

TEST(EngineComponents, T25_AModemThatFailsTakesTheImageBack) {
  Rig rig;
  rig.PowerOn();
  rig.modem_.refuses = 1;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  EXPECT_EQ(rig.modem_.runs, "old modem");
  EXPECT_EQ(rig.health_checks_, 0);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kRolledBack);
  EXPECT_EQ(rig.reports_[0].update.reason, "component_failed");
  EXPECT_EQ(rig.reports_[0].update.message,
            "component modem: no answer from it");
}

TEST(EngineComponents, T25_ASickImageTakesTheModemBack) {
  Rig rig;
  rig.PowerOn();
  rig.healthy_ = false;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  EXPECT_EQ(rig.modem_.runs, "old modem");
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.reason, "health_failed");
}

// The loader gives the image up after its modem was brought: the health check
// never ends, the watchdog resets.
TEST(EngineComponents, T25_T62_ALoaderThatFallsBackTakesTheModemBackToo) {
  Rig rig;
  rig.PowerOn();
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  const auto next = rig.engine_->Run();
  ASSERT_OK(next);
  ASSERT_EQ(*next, Engine::Next::kReboot);
  rig.PowerOn();
  while (rig.state_->Get().update->state != UpdateState::kChecking)
    ASSERT_OK(rig.engine_->Step());
  EXPECT_EQ(rig.modem_.runs, rig.new_modem_);
  for (int i = 1; i < EngineOptions().boot_tries; ++i)
    ASSERT_OK(BootOnce(RealFileSystem(), rig.boot()));
  rig.PowerOn();
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  EXPECT_EQ(rig.modem_.runs, "old modem");
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.reason, "boot_failed");
}

TEST(EngineComponents, T25_WithoutItsModemAnImageDoesNotEvenBegin) {
  Rig rig;
  rig.PowerOn();
  const UpdateRecord update = rig.NewUpdateWithModem();
  rig.served_.erase(update.components[0].source.sha256);
  ASSERT_OK(rig.engine_->Begin(update));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.component_calls_, 0);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kFailed);
  EXPECT_EQ(rig.reports_[0].update.reason, "no_source");
}

TEST(EngineComponents, T25_T33_FirmwareThatChangedOnTheDiskIsNotInstalled) {
  Rig rig;
  rig.PowerOn();
  const UpdateRecord update = rig.NewUpdateWithModem();
  ASSERT_OK(rig.engine_->Begin(update));
  const auto next = rig.engine_->Run();
  ASSERT_OK(next);
  ASSERT_EQ(*next, Engine::Next::kReboot);
  std::string other = rig.new_modem_;
  other[100] = 'X';
  WriteFile(rig.data() + "/downloads/" +
                HexEncode(update.components[0].source.sha256),
            other);
  rig.PowerOn();
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  EXPECT_EQ(rig.modem_.runs, "old modem");
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.reason, "digest_mismatch");
}

TEST(EngineComponents, AModemThatCannotGoBackIsNamedAndTheImageGoesBack) {
  Rig rig;
  rig.PowerOn();
  rig.healthy_ = false;
  rig.modem_.refuses = 100;
  rig.modem_.refused = ComponentAction::kRollback;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  EXPECT_EQ(rig.modem_.runs, rig.new_modem_);
  ASSERT_EQ(rig.reports_.size(), 1u);
  EXPECT_EQ(rig.reports_[0].update.result, UpdateResult::kRolledBack);
  EXPECT_EQ(rig.reports_[0].update.message,
            "the health check of the new image failed; not brought back: "
            "modem");
}

TEST(EngineComponents, AStumbleOnTheWayBackIsTriedAgain) {
  Rig rig;
  rig.PowerOn();
  rig.healthy_ = false;
  rig.modem_.refuses = 2;
  rig.modem_.refused = ComponentAction::kRollback;
  ASSERT_OK(rig.engine_->Begin(rig.NewUpdateWithModem()));
  EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  EXPECT_EQ(rig.modem_.runs, "old modem");
}

// The image of the release runs already; only its modem is behind.
TEST(EngineComponents, TheModemAloneNeedsNoRestart) {
  for (const bool healthy : {true, false}) {
    SCOPED_TRACE(healthy);
    Rig rig;
    rig.PowerOn();
    rig.healthy_ = healthy;
    UpdateRecord update = rig.NewUpdateWithModem();
    update.image_runs = true;
    update.image.sha256 = crypto::Sha256Digest(rig.old_image_);
    update.image.length = rig.old_image_.size();
    update.full.sha256 = update.image.sha256;
    update.full.length = update.image.length;
    ASSERT_OK(rig.engine_->Begin(update));
    const auto next = rig.engine_->Run();
    ASSERT_OK(next);
    EXPECT_EQ(*next, Engine::Next::kIdle);
    EXPECT_EQ(rig.fetches_, 1) << "the modem's firmware";
    EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
    EXPECT_EQ(rig.modem_.runs, healthy ? rig.new_modem_ : "old modem");
    ASSERT_EQ(rig.reports_.size(), 1u);
    EXPECT_EQ(rig.reports_[0].update.result,
              healthy ? UpdateResult::kSuccess : UpdateResult::kRolledBack);
    // The device boots as before.
    rig.PowerOn();
    EXPECT_TRUE(rig.RunningBytes() == rig.old_image_);
  }
}

TEST(EngineComponents, AProgramThatInstallsNoneRefusesThem) {
  Rig rig;
  rig.PowerOn();
  EngineOptions options;
  options.fs = &rig.fs_;
  options.clock = &rig.clock_;
  options.state = rig.state_.get();
  options.slots = rig.slots_.get();
  Engine engine(std::move(options));
  EXPECT_THAT(engine.Begin(rig.NewUpdateWithModem()),
              FailsBecause("unknown_component"));
}

}  // namespace
}  // namespace shoal::agent
