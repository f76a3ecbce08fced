// Deltas that nobody needs go, and nothing that somebody needs does.
#include "server/release/delta_gc.h"

#include <random>

#include "common/crypto/hash.h"
#include "server/rollout/delta_demand.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class DeltaGcTest : public RolloutPlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    ReadReports();
    EnrollNode("n1");
    std::mt19937 random(7);
    std::string image(100000, 0);
    for (char& c : image) c = static_cast<char>(random());
    old_ = MakeRelease("1.0", image);
    image[50000] ^= 1;
    new_ = MakeRelease("2.0", image);
    Pair(device_);
    Report(old_);
    deltas_->SetDemand(
        [this] { return DemandOfPlane(*rollouts_, *releases_); });
    sweeper_ = std::make_unique<BlobSweeper>(*store_, *writer_, *blobs_);
    collector_ = std::make_unique<DeltaCollector>(
        *store_, *trust_, *publisher_, *releases_, *deltas_, *sweeper_);
    sweeper_->OnGone(
        [this](const std::string& sha256) { gone_.push_back(sha256); });
    MakeDelta();
  }
  void Report(const store::ReleaseRow& release) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_running_sha256(*HexDecode(release.release().sha256()));
    report.set_running_version(release.release().version());
    ASSERT_OK(
        Take({DeviceRecord(device_, records::v1::RECORD_KIND_DEVICE_REPORT,
                           writer_->places().DeviceReport(device_.id),
                           ++report_, report.SerializeAsString())}));
  }
  // As soon as the release exists, without a rollout.
  void MakeDelta() {
    deltas_->Start();
    for (int rounds = 0; rounds < 100; ++rounds) {
      const uint64_t seen = store_->revision();
      ASSERT_OK_AND_ASSIGN(const auto list,
                           deltas_->List("releases/gateway/2.0"));
      if (list.made() == 1) {
        ASSERT_EQ(list.deltas_size(), 1);
        EXPECT_EQ(list.deltas(0).devices(), 1u);
        EXPECT_EQ(list.deltas(0).state(), release::v1::DELTA_STATE_MADE);
        sha256_ = *HexDecode(list.deltas(0).sha256());
        deltas_->Stop();
        return;
      }
      store_->WaitForChange(seen, absl::Seconds(1));
    }
    FAIL() << "no delta in 100 changes or seconds";
  }
  void StartRollout() {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id("r1");
    request.set_release("releases/gateway/2.0");
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
    ASSERT_OK(driver_->Step());
    EmptyOutbox();
    ASSERT_OK(driver_->Step());
  }
  int Rows(std::string_view table) {
    int rows = 0;
    EXPECT_OK(
        store_->ScanRaw(table, "", "", [&](std::string_view, std::string_view) {
          ++rows;
          return true;
        }));
    return rows;
  }
  bool Signed() {
    return store_->Has(kDocuments, "director/gateway/deltas/2.0");
  }
  store::ReleaseRow old_, new_;
  TestDevice device_;
  uint64_t report_ = 0;
  std::string sha256_;
  std::vector<std::string> gone_;
  std::unique_ptr<BlobSweeper> sweeper_;
  std::unique_ptr<DeltaCollector> collector_;
};

TEST_F(DeltaGcTest, WhatDevicesNeedStays) {
  clock_.Advance(absl::Hours(24 * 30));
  ASSERT_OK_AND_ASSIGN(const auto answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.deltas_size() + answer.waiting_size(), 0);
  EXPECT_TRUE(blobs_->Has(sha256_));
}

TEST_F(DeltaGcTest, WhatNobodyNeedsGoesAfterItsGraceWithItsSignedTarget) {
  StartRollout();
  ASSERT_TRUE(Signed());
  Report(new_);  // nobody runs 1.0 any more
  clock_.Advance(absl::Hours(24 * 30));
  // The rollout is at work and names it.
  ASSERT_OK_AND_ASSIGN(auto answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.deltas_size() + answer.waiting_size(), 0);
  ASSERT_OK(
      Take({OutcomeRecord(device_, "r1", records::v1::OUTCOME_RESULT_SUCCESS,
                          *HexDecode(new_.release().sha256()), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(rollouts_->Get("rollouts/r1")->state(),
            rollout::v1::ROLLOUT_STATE_FINISHED);

  const uint64_t before = store_->revision();
  ASSERT_OK_AND_ASSIGN(answer, collector_->Look());
  EXPECT_EQ(answer.waiting_size(), 1);
  EXPECT_EQ(store_->revision(), before) << "a dry run changes nothing";

  ASSERT_OK_AND_ASSIGN(answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.deltas_size(), 0);
  ASSERT_EQ(answer.waiting_size(), 1);
  EXPECT_EQ(answer.waiting(0).release(), "releases/gateway/2.0");
  EXPECT_EQ(answer.waiting(0).from_version(), "1.0");
  EXPECT_FALSE(Signed()) << "an index that no rollout at work names";
  EXPECT_TRUE(blobs_->Has(sha256_));

  clock_.Advance(absl::Hours(24 * 7));
  ASSERT_OK_AND_ASSIGN(answer, collector_->Look());
  EXPECT_EQ(answer.deltas_size(), 1);
  EXPECT_GT(answer.bytes(), 0u);
  ASSERT_OK_AND_ASSIGN(answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.deltas_size(), 1);
  EXPECT_EQ(Rows(kDeltas), 0);
  EXPECT_FALSE(blobs_->Has(sha256_));
  EXPECT_THAT(gone_, ::testing::Contains(sha256_));
  EXPECT_TRUE(blobs_->Has(*HexDecode(old_.release().sha256())))
      << "images stay";
}

TEST_F(DeltaGcTest, ADeviceThatComesBackInTimeKeepsIt) {
  Report(new_);
  ASSERT_OK_AND_ASSIGN(auto answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.waiting_size(), 1);
  clock_.Advance(absl::Hours(24 * 6));
  Report(old_);
  ASSERT_OK_AND_ASSIGN(answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.waiting_size(), 0);
  clock_.Advance(absl::Hours(24 * 6));
  Report(new_);
  // The grace begins anew.
  ASSERT_OK_AND_ASSIGN(answer, collector_->Collect("operator:ann"));
  EXPECT_EQ(answer.deltas_size(), 0);
  EXPECT_EQ(answer.waiting_size(), 1);
}

// The change is on disk, the process died before the file was gone.
TEST_F(DeltaGcTest, ACrashBeforeTheFileIsGoneLeavesNothing) {
  {
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(const auto pairs, deltas_->Wanted({new_, ""}));
    ASSERT_EQ(pairs.size(), 1u);
    tx.Delete(kDeltas, DeltaKey(pairs[0]));
    ASSERT_OK(tx.Commit());
  }
  ASSERT_OK(sweeper_->Sweep());
  EXPECT_FALSE(blobs_->Has(sha256_));
  EXPECT_TRUE(blobs_->Has(*HexDecode(old_.release().sha256())));
  EXPECT_TRUE(blobs_->Has(*HexDecode(new_.release().sha256())));
  ASSERT_OK(sweeper_->Sweep()) << "and once more";
}

// For weaker devices, say: what it was before is no use to anybody but to the
// devices of a rollout that named it.
TEST_F(DeltaGcTest, ADeltaMadeAnewLeavesNoFileBehind) {
  StartRollout();
  ASSERT_TRUE(Signed());
  const std::string bytes = "another delta of the same pair";
  const std::string anew = crypto::Sha256Digest(bytes);
  {
    ASSERT_OK_AND_ASSIGN(auto writer, BlobWriter::Create(*blobs_));
    ASSERT_OK(writer->Append(bytes));
    ASSERT_OK(writer->Keep(anew));
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(const auto pairs, deltas_->Wanted({new_, ""}));
    ASSERT_OK_AND_ASSIGN(
        auto row, tx.Get<store::DeltaRow>(kDeltas, DeltaKey(pairs.at(0))));
    row.mutable_delta()->set_sha256(anew);
    tx.Put(kDeltas, DeltaKey(pairs[0]), row);
    ASSERT_OK(tx.Commit());
  }
  ASSERT_OK(sweeper_->Sweep());
  EXPECT_TRUE(blobs_->Has(sha256_)) << "the rollout at work names it";
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  ASSERT_OK(driver_->Step());
  ASSERT_OK(collector_->Collect("plane"));
  EXPECT_FALSE(blobs_->Has(sha256_));
  EXPECT_TRUE(blobs_->Has(anew));
  EXPECT_THAT(gone_, ::testing::Contains(sha256_));
}

// Every version of a rollout's document is a file of the plane's tree.
TEST_F(DeltaGcTest, DocumentsThatWereReplacedLeaveNoFiles) {
  StartRollout();
  const auto file_of = [&] {
    const auto row = store_->Get<store::DocumentRow>(
        kDocuments, "director/gateway/rollout/r1");
    return row.ok() ? crypto::Sha256Digest(row->content()) : std::string();
  };
  const std::string before = file_of();
  ASSERT_TRUE(blobs_->Has(before));
  rollout::v1::PauseRolloutRequest pause;
  pause.set_name("rollouts/r1");
  ASSERT_OK(rollouts_->Pause(pause, "operator:ann"));
  ASSERT_OK(driver_->Step());
  ASSERT_NE(file_of(), before);
  ASSERT_OK(sweeper_->Sweep());
  EXPECT_FALSE(blobs_->Has(before));
  EXPECT_TRUE(blobs_->Has(file_of()));
}

TEST_F(DeltaGcTest, ARolloutStartsWithoutItsDeltasWhenItsPolicySaysSo) {
  // Another base, whose delta is not made: the worker is stopped.
  store::DeviceRow row =
      *store_->Get<store::DeviceRow>(kDevices, HexEncode(device_.id));
  const store::ReleaseRow third = MakeRelease("3.0", std::string(90000, 'x'));
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r3");
  request.set_release("releases/gateway/3.0");
  request.set_delta_wait_seconds(60);
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_FALSE(rollouts_->Row("rollouts/r3")->document_signed());
  clock_.Advance(absl::Seconds(61));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(auto started, rollouts_->Row("rollouts/r3"));
  EXPECT_TRUE(started.document_signed());
  EXPECT_TRUE(
      started.rollout().document().release().delta_index_target().empty());
  EmptyOutbox();
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(rollouts_->Get("rollouts/r3")->state(),
            rollout::v1::ROLLOUT_STATE_ACTIVE);
  // What is made later joins.
  ASSERT_OK_AND_ASSIGN(const auto pairs, deltas_->Wanted({third, ""}));
  ASSERT_EQ(pairs.size(), 1u);
  store::DeltaRow made;
  made.mutable_delta()->set_from_sha256(*HexDecode(old_.release().sha256()));
  made.mutable_delta()->set_to_sha256(*HexDecode(third.release().sha256()));
  made.mutable_delta()->set_sha256(std::string(32, 'd'));
  made.mutable_delta()->set_length(10);
  made.mutable_delta()->set_mode("sdelta1");
  made.mutable_delta()->mutable_needs();  // nothing
  {
    Transaction tx(*store_);
    tx.Put(kDeltas, DeltaKey(pairs[0]), made);
    ASSERT_OK(tx.Commit());
  }
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(started, rollouts_->Row("rollouts/r3"));
  EXPECT_EQ(started.rollout().document().release().delta_index_target(),
            "director/gateway/deltas/3.0");
  EXPECT_EQ(started.rollout().document().version(), 2u);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(rollouts_->Row("rollouts/r3")->rollout().document().version(), 2u)
      << "once";

  request.set_rollout_id("r4");
  request.set_delta_wait_seconds(-2);
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("bad_rollout"));
}

}  // namespace
}  // namespace shoal::server
