#include <limits>
#include <set>

#include "common/bytes.h"
#include "signing/sign/builder.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

class RolloutOutcomesTest : public RolloutPlaneTest {};

TEST_F(RolloutOutcomesTest, T27_AForgedOrReplayedOutcomeDoesNotCount) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1000);
  ActiveRollout(3, devices, request);
  // Success with another digest is no success.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          std::string(32, 'x'), 5)}));
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_FALSE(rollout.outcomes(0).success());
  EXPECT_EQ(rollout.outcomes(0).reason(), "wrong_digest");
  // An older counter does not replace a newer one.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 4)}));
  EXPECT_FALSE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 6)}));
  EXPECT_TRUE(rollouts_->Get("rollouts/r1")->outcomes(0).success());
  // One device in another's name, or with another's credential.
  TestDevice forger;
  forger.id = devices[1].id;
  forger.credential = devices[1].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 1)}));
  forger.key = devices[0].key.Clone();
  forger.credential = devices[0].credential;
  ASSERT_OK(Take({OutcomeRecord(
      forger, "r1", records::v1::OUTCOME_RESULT_SUCCESS, ReleaseDigest(), 9)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

// Written with a key that the device has given up since, under the highest
// counter of all.
TEST_F(RolloutOutcomesTest, T27_T56_AnOldKeysCounterHidesNoNewOutcome) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1000);
  ActiveRollout(2, devices, request);
  const auto succeeded = [&] {
    return rollouts_->Get("rollouts/r1")->outcomes(0).success();
  };
  const auto outcome = [&](const TestDevice& device, bool good,
                           uint64_t counter) {
    return OutcomeRecord(device, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                         good ? ReleaseDigest() : std::string(32, 'x'),
                         counter);
  };
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  TestDevice old;
  old.key = devices[0].key.Clone();
  old.id = devices[0].id;
  old.credential = devices[0].credential;
  ASSERT_OK(Take({outcome(old, false, kLast - 1)}));
  EXPECT_FALSE(succeeded());
  // The same device with its next key, as its report told the plane.
  devices[0].key = crypto::SigningKey::Generate();
  records::v1::CredentialBody body;
  body.set_public_key(devices[0].key.public_key());
  body.set_subject_id(old.id);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
  ASSERT_OK_AND_ASSIGN(
      devices[0].credential,
      signing::IssueCredential(keys_->device_ca, writer_->fleet_id(), body));
  {
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(auto row,
                         tx.Get<store::DeviceRow>(kDevices, HexEncode(old.id)));
    row.mutable_device()->set_public_key(
        HexEncode(devices[0].key.public_key()));
    row.add_superseded()->set_key(old.key.public_key());
    row.mutable_superseded(0)->set_learned_at(
        absl::ToUnixSeconds(clock_.WallNow()));
    tx.Put(kDevices, HexEncode(old.id), row);
    ASSERT_OK(tx.Commit());
  }
  clock_.Advance(absl::Seconds(2));
  // Some of it comes in late, too.
  ASSERT_OK(Take({outcome(old, false, kLast)}));
  ASSERT_OK(Take({outcome(devices[0], true, 2)}));
  EXPECT_TRUE(succeeded());
  ASSERT_OK(Take({outcome(old, false, kLast)}));
  EXPECT_TRUE(succeeded());
  ASSERT_OK(Take({outcome(devices[0], false, 1)}));
  EXPECT_TRUE(succeeded());
}

// The device CA is stolen: whoever has it makes a credential for any device.
TEST_F(RolloutOutcomesTest, T20_T27_ACredentialAloneCountsNoOutcome) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  TestDevice forged;
  forged.id = devices[0].id;
  records::v1::CredentialBody body;
  body.set_public_key(forged.key.public_key());
  body.set_subject_id(forged.id);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
  ASSERT_OK_AND_ASSIGN(
      forged.credential,
      signing::IssueCredential(keys_->device_ca, writer_->fleet_id(), body));
  for (const auto result : {records::v1::OUTCOME_RESULT_SUCCESS,
                            records::v1::OUTCOME_RESULT_FAILED})
    ASSERT_OK(Take({OutcomeRecord(forged, "r1", result, ReleaseDigest(), 9)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  // Nor does it stand in the way of the device's own.
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK_AND_ASSIGN(const auto rollout, rollouts_->Get("rollouts/r1"));
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_TRUE(rollout.outcomes(0).success());
}

// A plane that was set back to an older day does not know the key that the
// device has by now, until a report proves it.
TEST_F(RolloutOutcomesTest, WhatCameBeforeItsKeyWasKnownCountsOnceItIs) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  TestDevice next;
  next.id = devices[0].id;
  records::v1::CredentialBody body;
  body.set_public_key(next.key.public_key());
  body.set_subject_id(next.id);
  body.set_kind(records::v1::WRITER_CLASS_DEVICE);
  body.set_not_after(absl::ToUnixSeconds(clock_.WallNow() + absl::Hours(24)));
  ASSERT_OK_AND_ASSIGN(
      next.credential,
      signing::IssueCredential(keys_->device_ca, writer_->fleet_id(), body));
  ASSERT_OK(Take({OutcomeRecord(next, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 3)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  const auto take_held = [&](const TestDevice& device) {
    Transaction tx(*store_);
    dht::VerifiedRecord report;
    report.writer = {records::v1::WRITER_CLASS_DEVICE, device.id,
                     device.key.public_key()};
    ASSERT_OK(rollouts_->TakeHeld(tx, report));
    ASSERT_OK(tx.Commit());
  };
  // Not by a report of whoever else has a credential for the device.
  take_held(next);
  take_held(devices[0]);
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  {
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(
        auto row, tx.Get<store::DeviceRow>(kDevices, HexEncode(next.id)));
    row.mutable_device()->set_public_key(HexEncode(next.key.public_key()));
    tx.Put(kDevices, HexEncode(next.id), row);
    ASSERT_OK(tx.Commit());
  }
  take_held(next);
  ASSERT_OK_AND_ASSIGN(const auto rollout, rollouts_->Get("rollouts/r1"));
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_TRUE(rollout.outcomes(0).success());
  take_held(next);
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcome_count(), 1u);
}

TEST_F(RolloutOutcomesTest, T42_AnOutcomeAtAnotherShardDoesNotCount) {
  // Few devices: one place for all of them, and only that one.
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  uint32_t shards = 2;
  while (dht::OutcomeShardOf(devices[0].id, shards) == 0 &&
         shards < dht::kMaxOutcomeShards)
    shards *= 2;
  if (dht::OutcomeShardOf(devices[0].id, shards) == 0) {
    GTEST_SKIP() << "this device's id begins with eight zero bits";
  }
  records::v1::Outcome outcome;
  outcome.set_rollout_id("r1");
  outcome.set_device_id(devices[0].id);
  outcome.set_result(records::v1::OUTCOME_RESULT_SUCCESS);
  outcome.set_running_sha256(ReleaseDigest());
  outcome.set_counter(1);
  ASSERT_OK(
      Take({DeviceRecord(devices[0], records::v1::RECORD_KIND_OUTCOME,
                         writer_->places().Outcome("r1", devices[0].id, shards),
                         1, outcome.SerializeAsString())}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 0);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 2)}));
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->outcomes_size(), 1);
}

TEST_F(RolloutOutcomesTest, RefusalsAreShownButAreNoFailures) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(1);
  ActiveRollout(2, devices, request);
  ASSERT_OK(
      Take({OutcomeRecord(devices[0], "r1", records::v1::OUTCOME_RESULT_REFUSED,
                          std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(rollout.phases(0).refused(), 1u);
  EXPECT_EQ(rollout.phases(0).failed(), 0u);
  ASSERT_EQ(rollout.outcomes_size(), 1);
  EXPECT_TRUE(rollout.outcomes(0).refused());
  EXPECT_EQ(rollout.outcomes(0).reason(), "sick");
  ASSERT_OK(
      Take({OutcomeRecord(devices[1], "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          ReleaseDigest(), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED)
      << "every device has answered";
}

TEST_F(RolloutOutcomesTest, AnOutcomeLeavesTheRolloutsEtagAsItIs) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.add_phases()->set_count(1);
  request.mutable_phases(0)->mutable_gate()->set_manual(true);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  const std::string etag = rollouts_->Get("rollouts/r1")->etag();
  const uint64_t revision = rollouts_->Row("rollouts/r1")->revision();
  for (const TestDevice& device : devices)
    ASSERT_OK(
        Take({OutcomeRecord(device, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                            ReleaseDigest(), 1)}));
  ASSERT_OK_AND_ASSIGN(const auto rollout, rollouts_->Get("rollouts/r1"));
  EXPECT_EQ(rollout.outcome_count(), 2u);
  EXPECT_EQ(rollout.etag(), etag);
  // What the driver signs between two outcomes stands on this number.
  EXPECT_EQ(rollouts_->Row("rollouts/r1")->revision(), revision);
  EXPECT_OK(Approve("rollouts/r1", 1, etag, "operator:ann"));
}

TEST_F(RolloutOutcomesTest, TheCountsAreTheOutcomesOnes) {
  std::vector<TestDevice> devices;
  ActiveRollout(3, devices);
  const auto counts = [&] {
    const auto row = rollouts_->Row("rollouts/r1");
    EXPECT_OK(row);
    auto by_phase = rollouts_->Counts(*row);
    EXPECT_OK(by_phase);
    const auto& one = by_phase->at(0);
    return std::vector<uint32_t>{one.succeeded, one.failed, one.refused};
  };
  const auto take = [&](int device, records::v1::OutcomeResult result,
                        uint64_t counter) {
    ASSERT_OK(Take({OutcomeRecord(devices[static_cast<size_t>(device)], "r1",
                                  result, ReleaseDigest(), counter)}));
  };
  using Numbers = std::vector<uint32_t>;
  take(0, records::v1::OUTCOME_RESULT_FAILED, 1);
  take(1, records::v1::OUTCOME_RESULT_REFUSED, 1);
  EXPECT_EQ(counts(), (Numbers{0, 1, 1}));
  take(0, records::v1::OUTCOME_RESULT_SUCCESS, 2);  // tried again
  take(0, records::v1::OUTCOME_RESULT_FAILED, 1);   // an old one
  EXPECT_EQ(counts(), (Numbers{1, 0, 1}));
  // A store that an older plane wrote has outcomes and no counts.
  {
    Transaction tx(*store_);
    tx.Delete(kOutcomeCounts, "r1");
    ASSERT_OK(tx.Commit());
  }
  EXPECT_EQ(counts(), (Numbers{1, 0, 1}));
  take(2, records::v1::OUTCOME_RESULT_SUCCESS, 1);
  EXPECT_EQ(counts(), (Numbers{2, 0, 1}));
  EXPECT_TRUE(store_->Has(kOutcomeCounts, "r1"));
}

TEST_F(RolloutOutcomesTest, OutcomesComeInPages) {
  std::vector<TestDevice> devices;
  ActiveRollout(3, devices);
  std::set<std::string> all;
  for (size_t i = 0; i < devices.size(); ++i) {
    all.insert("devices/" + HexEncode(devices[i].id));
    ASSERT_OK(Take(
        {OutcomeRecord(devices[i], "r1",
                       i == 1 ? records::v1::OUTCOME_RESULT_ROLLED_BACK
                              : records::v1::OUTCOME_RESULT_SUCCESS,
                       i == 1 ? std::string(32, 'o') : ReleaseDigest(), 1)}));
  }
  rollout::v1::ListOutcomesRequest request;
  request.set_parent("rollouts/r1");
  request.set_page_size(2);
  ASSERT_OK_AND_ASSIGN(auto page, rollouts_->ListOutcomes(request));
  EXPECT_EQ(page.total_size(), 3u);
  ASSERT_EQ(page.outcomes_size(), 2);
  std::set<std::string> seen;
  for (const auto& one : page.outcomes()) seen.insert(one.device());
  request.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(page, rollouts_->ListOutcomes(request));
  EXPECT_EQ(page.next_page_token(), "");
  for (const auto& one : page.outcomes())
    EXPECT_TRUE(seen.insert(one.device()).second);
  EXPECT_EQ(seen, all);
  request.clear_page_token();
  request.set_not_succeeded(true);
  ASSERT_OK_AND_ASSIGN(page, rollouts_->ListOutcomes(request));
  ASSERT_EQ(page.outcomes_size(), 1);
  EXPECT_EQ(page.outcomes(0).device(), "devices/" + HexEncode(devices[1].id));
  request.set_page_token("zz");
  EXPECT_THAT(rollouts_->ListOutcomes(request),
              testing::FailsBecause("bad_page_token"));
  request.set_page_token(std::string(66, 'a'));
  EXPECT_THAT(rollouts_->ListOutcomes(request),
              testing::FailsBecause("bad_page_token"));
  request.clear_page_token();
  request.set_page_size(-1);
  EXPECT_THAT(rollouts_->ListOutcomes(request),
              testing::FailsBecause("bad_page_size"));
  request.set_parent("rollouts/none");
  EXPECT_THAT(rollouts_->ListOutcomes(request),
              testing::FailsBecause("not_found"));
}

}  // namespace
}  // namespace shoal::server
