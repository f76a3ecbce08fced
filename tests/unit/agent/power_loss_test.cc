// T60, T61: every durable write of an update, one by one, is the one at which
// power goes, before or after it took effect; and every one fails once.
#include <optional>

#include "tests/unit/agent/engine_rig.h"
#include "tests/unit/agent/faulty_files.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using testing::FaultyFiles;
using testing::PowerLoss;
using testing::ReadFile;
using testing::Rig;
using testing::WriteFile;

struct Scenario {
  bool healthy = true;
  bool delta = false;
  bool modem = false;
};

UpdateRecord UpdateOf(Rig& rig, const Scenario& scenario) {
  return scenario.modem ? rig.NewUpdateWithModem()
                        : rig.NewUpdate(scenario.delta);
}

// Runs the update; power goes at write number `fail_at`. Returns the number of
// writes, or nullopt when the fault was hit.
std::optional<int> RunWithPowerLoss(const Scenario& scenario, int fail_at,
                                    bool takes_effect) {
  FaultyFiles files;
  Rig rig(files);
  rig.healthy_ = scenario.healthy;
  files.fail_at = fail_at;
  files.takes_effect = takes_effect;
  bool lost = false;
  try {
    rig.PowerOn();
    EXPECT_OK(rig.engine_->Begin(UpdateOf(rig, scenario)));
    EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  } catch (const PowerLoss&) {
    lost = true;
  }
  const int writes = files.writes;
  files.fail_at = 0;
  if (lost) {
    // Whatever was being written into a slot that no journal calls installed
    // is torn.
    auto state =
        DeviceState::Open(RealFileSystem(), rig.data() + "/journal.json");
    EXPECT_OK(state);
    const auto update = (*state)->Get().update;
    if (update && (update->state == UpdateState::kFetching ||
                   update->state == UpdateState::kInstalling))
      WriteFile(rig.SlotPath(update->target_slot),
                rig.new_image_.substr(0, rig.new_image_.size() / 2));
    rig.PowerOn();
    EXPECT_EQ(rig.Live(), Engine::Next::kIdle);
  }
  // Whole, old or new, and it ended by itself.
  const std::string running = rig.RunningBytes();
  EXPECT_TRUE(running == rig.old_image_ || running == rig.new_image_);
  EXPECT_FALSE(rig.state_->Get().update.has_value());
  if (!scenario.healthy) {
    EXPECT_TRUE(running == rig.old_image_);
  }
  if (scenario.modem) {
    EXPECT_EQ(rig.modem_.runs == rig.new_modem_, running == rig.new_image_);
    EXPECT_FALSE(rig.modem_.before) << "it was never told how it ended";
  }
  for (const Rig::Report& report : rig.reports_) {
    EXPECT_EQ(report.update.outcome_counter, 1u);
    const bool success = report.update.result == UpdateResult::kSuccess;
    EXPECT_EQ(success, running == rig.new_image_);
    EXPECT_EQ(report.running.info.sha256, crypto::Sha256Digest(running));
    // Repeated reports are the same bytes once signed.
    EXPECT_EQ(report.update.finished_ms, rig.reports_[0].update.finished_ms);
    EXPECT_EQ(report.update.reason, rig.reports_[0].update.reason);
  }
  // And it stays so over further boots.
  rig.PowerOn();
  EXPECT_TRUE(rig.RunningBytes() == running);
  if (lost) return std::nullopt;
  EXPECT_EQ(rig.reports_.size(), 1u);
  return writes;
}

class PowerLossTest : public ::testing::TestWithParam<Scenario> {};

TEST_P(PowerLossTest, T60_EveryWriteOfAnUpdate) {
  const std::optional<int> writes = RunWithPowerLoss(GetParam(), 0, false);
  ASSERT_TRUE(writes.has_value());
  ASSERT_GT(*writes, 12);
  for (int n = 1; n <= *writes; ++n)
    for (const bool takes_effect : {false, true}) {
      SCOPED_TRACE(::testing::Message() << "write " << n << " of " << *writes
                                        << (takes_effect ? " done" : " lost"));
      EXPECT_FALSE(RunWithPowerLoss(GetParam(), n, takes_effect).has_value());
      if (::testing::Test::HasFailure()) return;
    }
}

TEST_P(PowerLossTest, T61_DiskFullAtAnyWriteIsAnErrorAndTheNextTryGoesOn) {
  const std::optional<int> writes = RunWithPowerLoss(GetParam(), 0, false);
  ASSERT_TRUE(writes.has_value());
  for (int n = 1; n <= *writes; ++n) {
    SCOPED_TRACE(::testing::Message() << "write " << n << " of " << *writes);
    FaultyFiles files;
    Rig rig(files);
    rig.healthy_ = GetParam().healthy;
    rig.PowerOn();
    if (n <= files.writes) continue;  // the loader's
    files.disk_full = true;
    files.fail_at = n;
    int errors = 0;
    bool rebooting = false;
    bool try_lost = false;  // the loader counted a try and then failed
    if (!rig.engine_->Begin(UpdateOf(rig, GetParam())).ok()) {
      ++errors;
      ASSERT_OK(rig.engine_->Begin(UpdateOf(rig, GetParam())));
    }
    for (int turn = 0; turn < 40; ++turn) {
      if (rebooting) {
        const auto booted = BootOnce(files, rig.boot());
        if (!booted.ok()) {
          EXPECT_THAT(booted, FailsBecause("disk_full"));
          try_lost = true;
          ++errors;
          continue;
        }
        rig.OpenAgent();
        rebooting = false;
      }
      const auto next = rig.engine_->Run();
      if (!next.ok()) {
        EXPECT_THAT(next, FailsBecause("disk_full"));
        ++errors;
        continue;
      }
      if (*next == Engine::Next::kIdle) break;
      rebooting = *next == Engine::Next::kReboot;
    }
    EXPECT_EQ(errors, 1);
    EXPECT_FALSE(rig.state_->Get().update.has_value());
    const std::string running = rig.RunningBytes();
    const bool is_new = running == rig.new_image_;
    EXPECT_TRUE(is_new || running == rig.old_image_);
    if (GetParam().modem) {
      EXPECT_EQ(rig.modem_.runs == rig.new_modem_, is_new);
    }
    if (!try_lost) {
      EXPECT_EQ(is_new, GetParam().healthy);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Scenarios, PowerLossTest,
    ::testing::Values(Scenario{true, false}, Scenario{true, true},
                      Scenario{false, false}, Scenario{true, false, true},
                      Scenario{false, false, true}),
    [](const auto& scenario) {
      return std::string(scenario.param.healthy ? "healthy" : "sick") +
             (scenario.param.delta   ? "_delta"
              : scenario.param.modem ? "_modem"
                                     : "_full");
    });

}  // namespace
}  // namespace shoal::agent
