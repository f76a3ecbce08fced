// A release that nothing needs goes, whole; one that something needs does not.
#include "server/release/release_delete.h"

#include "common/crypto/hash.h"
#include "server/release/delta_gc.h"
#include "server/rollout/delta_demand.h"
#include "signing/verify/fetcher.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using ::shoal::testing::FailsBecause;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kOld[] = "releases/gateway/1.0";

class ReleaseDeleteTest : public RolloutReportsTest {
 protected:
  void SetUp() override {
    RolloutReportsTest::SetUp();
    sweeper_ = std::make_unique<BlobSweeper>(*store_, *writer_, *blobs_);
    sweeper_->OnGone(
        [this](const std::string& sha256) { gone_.push_back(sha256); });
    deleter_ = std::make_unique<ReleaseDeleter>(*store_, *trust_, *publisher_,
                                                *releases_, *sweeper_);
    deltas_->SetDemand(
        [this] { return DemandOfPlane(*rollouts_, *releases_); });
    EnrollNode("n1");
    old_ = MakeRelease("1.0", "the image one");
    new_ = MakeRelease("2.0", "the image two");
    Pair(device_);
    ASSERT_OK(Take({Report(device_, Digest(old_), ++report_)}));
  }
  static std::string Digest(const store::ReleaseRow& row) {
    return *HexDecode(row.release().sha256());
  }
  void Moves() { ASSERT_OK(Take({Report(device_, Digest(new_), ++report_)})); }
  // A delta between the two, made and signed for no rollout.
  void AddDelta() {
    const std::string bytes = "from one to two";
    delta_ = crypto::Sha256Digest(bytes);
    ASSERT_OK_AND_ASSIGN(auto writer, BlobWriter::Create(*blobs_));
    ASSERT_OK(writer->Append(bytes));
    ASSERT_OK(writer->Keep(delta_));
    store::DeltaRow row;
    row.mutable_delta()->set_from_sha256(Digest(old_));
    row.mutable_delta()->set_to_sha256(Digest(new_));
    row.mutable_delta()->set_sha256(delta_);
    row.mutable_delta()->set_length(bytes.size());
    row.mutable_delta()->set_mode("sdelta1");
    Transaction tx(*store_);
    tx.Put(kDeltas,
           "gateway/" + new_.release().sha256() + "/" + old_.release().sha256(),
           row);
    ASSERT_OK(writer_->Publish(tx, records::v1::RECORD_KIND_PROVIDER,
                               HexEncode(delta_), "here", absl::Hours(1),
                               true));
    ASSERT_OK(tx.Commit());
  }
  void Create(const std::string& id, const std::string& release) {
    rollout::v1::CreateRolloutRequest request;
    request.set_rollout_id(id);
    request.set_release(release);
    ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  }
  absl::StatusOr<release::v1::DeleteReleaseResponse> Delete(
      const std::string& name, bool allow_in_use = false) {
    release::v1::DeleteReleaseRequest request;
    request.set_name(name);
    request.set_allow_in_use(allow_in_use);
    return deleter_->Delete(request, "operator:ann");
  }
  std::string TargetFile(const store::ReleaseRow& row) {
    signing::TargetFile target;
    target.path = row.release().image_target();
    target.length = row.release().length();
    target.sha256 = Digest(row);
    return dir_.File("plane/public/" + *signing::TargetFilePath(target));
  }
  bool Renewed(const std::string& sha256) {
    const auto row = store_->Get<store::PublicationRow>(
        kPublications,
        PublicationKey(records::v1::RECORD_KIND_PROVIDER, HexEncode(sha256)));
    return row.ok() && row->keep();
  }
  std::unique_ptr<BlobSweeper> sweeper_;
  std::unique_ptr<ReleaseDeleter> deleter_;
  store::ReleaseRow old_, new_;
  TestDevice device_;
  uint64_t report_ = 0;
  std::string delta_;
  std::vector<std::string> gone_;
};

TEST_F(ReleaseDeleteTest, WhatNothingNeedsGoesWholeAndMayComeAgain) {
  AddDelta();
  Moves();
  ASSERT_TRUE(RealFileSystem().Exists(TargetFile(old_)));
  ASSERT_TRUE(Renewed(delta_));
  release::v1::DeleteReleaseRequest request;
  request.set_name(kOld);
  request.set_validate_only(true);
  const uint64_t before = store_->revision();
  ASSERT_OK_AND_ASSIGN(auto answer, deleter_->Delete(request, "operator:ann"));
  EXPECT_EQ(store_->revision(), before) << "a dry run changes nothing";
  EXPECT_EQ(answer.bytes(), 13u + 15u);
  ASSERT_EQ(answer.deltas_size(), 1);
  EXPECT_EQ(answer.deltas(0).release(), "releases/gateway/2.0");
  EXPECT_THAT(answer.warnings(), IsEmpty());

  request.set_validate_only(false);
  request.set_etag(answer.release().etag());
  request.set_request_id("once");
  ASSERT_OK_AND_ASSIGN(answer, deleter_->Delete(request, "operator:ann"));
  EXPECT_EQ(answer.bytes(), 28u);
  EXPECT_THAT(releases_->Get(kOld), FailsBecause("not_found"));
  EXPECT_FALSE(blobs_->Has(Digest(old_)));
  EXPECT_FALSE(blobs_->Has(delta_));
  EXPECT_FALSE(RealFileSystem().Exists(TargetFile(old_)))
      << "the bytes have no second name";
  EXPECT_THAT(*deltas_->Artifacts(), IsEmpty());
  EXPECT_FALSE(Renewed(delta_)) << "nobody is sent here for it any more";
  EXPECT_THAT(gone_, Contains(Digest(old_)));
  EXPECT_THAT(gone_, Contains(delta_));
  EXPECT_TRUE(blobs_->Has(Digest(new_)));
  EXPECT_TRUE(RealFileSystem().Exists(TargetFile(new_)));
  // A lost answer.
  ASSERT_OK_AND_ASSIGN(const auto again,
                       deleter_->Delete(request, "operator:ann"));
  EXPECT_EQ(again.SerializeAsString(), answer.SerializeAsString());
  EXPECT_THAT(Delete(kOld), FailsBecause("not_found"));

  // It is still signed.
  release::v1::CreateReleaseHeader header;
  header.set_device_type("gateway");
  header.set_version("1.0");
  ASSERT_OK_AND_ASSIGN(auto upload, releases_->Begin(header, "operator:ann"));
  ASSERT_OK(upload->Append("the image one"));
  ASSERT_OK(upload->Finish());
  EXPECT_TRUE(blobs_->Has(Digest(old_)));
}

TEST_F(ReleaseDeleteTest, WhatDevicesRunStaysUnlessSaidOtherwise) {
  EXPECT_THAT(Delete(kOld), FailsBecause("release_running"));
  ASSERT_OK_AND_ASSIGN(const auto answer, Delete(kOld, true));
  EXPECT_THAT(answer.warnings(), ElementsAre(HasSubstr("1 devices run")));
  EXPECT_EQ(answer.release().devices(), 1u);
  // The device takes the full image: no delta waits for a base that is gone.
  ASSERT_OK_AND_ASSIGN(const auto progress, deltas_->ProgressOf({new_, ""}));
  EXPECT_EQ(progress.wanted, 0u);
  Create("r1", "releases/gateway/2.0");
  ASSERT_OK(driver_->Step());
  EXPECT_TRUE(rollouts_->Row("rollouts/r1")->document_signed());
}

TEST_F(ReleaseDeleteTest, WhatARolloutAtWorkLeadsToStays) {
  Create("r1", "releases/gateway/2.0");
  // Not signed yet.
  EXPECT_THAT(Delete("releases/gateway/2.0", true),
              FailsBecause("release_in_use"));
  ASSERT_OK(driver_->Step());
  EXPECT_THAT(Delete("releases/gateway/2.0", true),
              FailsBecause("release_in_use"));
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  ASSERT_OK(driver_->Step());
  ASSERT_OK(Delete("releases/gateway/2.0"));
  // A rollout to what is gone is refused, and so is one back to it.
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r2");
  request.set_release("releases/gateway/2.0");
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("not_found"));
}

TEST_F(ReleaseDeleteTest, WhereAnAbortWouldLeadBackToStaysUnlessSaidOtherwise) {
  Create("r1", "releases/gateway/2.0");
  Moves();
  EXPECT_THAT(Delete(kOld), FailsBecause("way_back"));
  ASSERT_OK_AND_ASSIGN(const auto answer, Delete(kOld, true));
  EXPECT_THAT(answer.warnings(), ElementsAre(HasSubstr("rollouts/r1")));
  ASSERT_OK(driver_->Step());
  rollout::v1::AbortRolloutRequest abort;
  abort.set_name("rollouts/r1");
  EXPECT_THAT(rollouts_->Abort(abort, "operator:ann"),
              FailsBecause("no_release_before"));
}

TEST_F(ReleaseDeleteTest, BytesThatAnotherReleaseHoldsStay) {
  AddDelta();
  const auto twin = MakeRelease("1.1", "the image one");
  // The device runs the image all the same.
  ASSERT_OK_AND_ASSIGN(const auto answer, Delete(kOld));
  EXPECT_EQ(answer.bytes(), 0u);
  EXPECT_EQ(answer.deltas_size(), 0);
  EXPECT_TRUE(blobs_->Has(Digest(old_)));
  EXPECT_TRUE(blobs_->Has(delta_));
  EXPECT_TRUE(RealFileSystem().Exists(TargetFile(twin)));
  EXPECT_FALSE(RealFileSystem().Exists(TargetFile(old_)));
}

TEST_F(ReleaseDeleteTest, TheEtagIsOfWhatWasUploaded) {
  Moves();
  ASSERT_OK_AND_ASSIGN(const auto release, releases_->Get(kOld));
  release::v1::DeleteReleaseRequest request;
  request.set_name(kOld);
  request.set_etag(releases_->Get("releases/gateway/2.0")->etag());
  EXPECT_THAT(deleter_->Delete(request, "operator:ann"),
              FailsBecause("stale_etag"));
  request.set_etag(release.etag());
  ASSERT_OK(Take({Report(device_, Digest(new_), ++report_)}));
  EXPECT_OK(deleter_->Delete(request, "operator:ann"));
  request.set_name("gateway/1.0");
  EXPECT_THAT(deleter_->Delete(request, "operator:ann"),
              FailsBecause("bad_name"));
}

// The rows are gone, the process died before the files were.
TEST_F(ReleaseDeleteTest, ACrashBetweenRowsAndFilesLeavesNothing) {
  Moves();
  {
    Transaction tx(*store_);
    tx.Delete(kReleases, "gateway/1.0");
    ASSERT_OK(tx.Commit());
  }
  ASSERT_TRUE(blobs_->Has(Digest(old_)));
  // As at the next start.
  ASSERT_OK(releases_->SyncTree());
  ASSERT_OK(sweeper_->Sweep());
  EXPECT_FALSE(blobs_->Has(Digest(old_)));
  EXPECT_FALSE(RealFileSystem().Exists(TargetFile(old_)));
  EXPECT_TRUE(blobs_->Has(Digest(new_)));
}

}  // namespace
}  // namespace shoal::server
