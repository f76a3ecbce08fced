// T26: a device whose clock is wrong, over the signed metadata of a fleet.
#include <gtest/gtest.h>

#include "agent/link/trust.h"
#include "common/files.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/updater.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_fleet.h"

namespace shoal::testing {
namespace {

class TimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(fleet_, TestFleet::Create(dir_.File("fleet")));
    ASSERT_OK(fleet_->Publish());
    Boot(start_);
    signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
    ASSERT_OK(updater_->Refresh(source));
  }
  // A device that starts with its clock at `wall`.
  void Boot(absl::Time wall) {
    updater_.reset();
    clock_.SetWall(wall);
    signing::UpdaterOptions options;
    options.directory = dir_.File("metadata");
    options.fleet_id = fleet_->fleet_id();
    ASSERT_OK_AND_ASSIGN(
        updater_, signing::Updater::Open(options, RealFileSystem(), clock_));
  }

  TempDir dir_;
  const absl::Time start_ = absl::Now();
  FakeClock clock_{start_};
  std::unique_ptr<TestFleet> fleet_;
  std::unique_ptr<signing::Updater> updater_;
};

TEST_F(TimeTest, T26_AClockAt1970NeverGoesBelowTheFloor) {
  ASSERT_OK(updater_->time_floor().Raise(start_));
  Boot(absl::UnixEpoch());
  // The floor is kept in whole seconds or finer.
  EXPECT_GE(updater_->Now(), start_ - absl::Seconds(1));
  ASSERT_OK(updater_->UseStored());
  EXPECT_TRUE(updater_->fresh());
}

TEST_F(TimeTest, T26_AClockAt1970DoesNotReviveWhatHasExpired) {
  // The device knew a time after the expiry once; then its clock was lost.
  Boot(start_ + absl::Hours(24 * 3650));
  EXPECT_FALSE(updater_->UseStored().ok());
  ASSERT_OK(updater_->time_floor().Raise(clock_.WallNow()));
  Boot(absl::UnixEpoch());
  EXPECT_THAT(updater_->UseStored(), FailsBecause("expired_metadata"));
  EXPECT_FALSE(updater_->fresh());
}

TEST_F(TimeTest, T26_AClockInTheFutureInstallsNothingAndHealsItself) {
  Boot(start_ + absl::Hours(24 * 3650));
  EXPECT_THAT(updater_->UseStored(), FailsBecause("expired_metadata"));
  EXPECT_FALSE(updater_->fresh());
  // The false time was not kept: with the right clock the device goes on.
  Boot(start_);
  ASSERT_OK(updater_->UseStored());
  EXPECT_TRUE(updater_->fresh());
}

TEST_F(TimeTest, T26_AClockAt1970DoesNotReviveAnExpiredWriter) {
  ASSERT_OK_AND_ASSIGN(const TestIdentity device, fleet_->IssueDevice());
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      fleet_->IdentityRecord(device, records::v1::RECORD_KIND_OUTCOME, "r1/0",
                             1, "payload"));
  const auto resolve_with_floor = [&](absl::Time floor) -> absl::Status {
    signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
    auto trust = signing::BuildFleetTrust(*updater_, &source);
    if (!trust.ok()) return trust.status();
    auto view = agent::MakeTrustView(*std::move(trust), floor);
    if (!view.ok()) return view.status();
    auto holder = std::make_shared<agent::TrustHolder>();
    holder->Set(*std::move(view));
    records::v1::Record envelope;
    records::v1::RecordBody body;
    EXPECT_TRUE(envelope.ParseFromString(record));
    EXPECT_TRUE(body.ParseFromString(envelope.body()));
    return agent::MakeResolver(holder)(body, absl::UnixEpoch()).status();
  };
  EXPECT_OK(resolve_with_floor(start_));
  EXPECT_THAT(resolve_with_floor(start_ + absl::Hours(24 * 3650)),
              FailsBecause("expired_credential"));
}

}  // namespace
}  // namespace shoal::testing
