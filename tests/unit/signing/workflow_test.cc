// The order of the client's workflow: what is trusted when, what stays when a
// later role fails, and which time counts (TUF 1.0, section 5).
#include <functional>

#include "common/files.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::FakeClock;
using ::shoal::testing::TempDir;

class Workflow : public ::testing::Test {
 protected:
  std::unique_ptr<Updater> Open() {
    UpdaterOptions options;
    options.directory = dir_.File("store");
    options.fleet_id = repository_.fleet_id();
    auto updater = Updater::Open(options, RealFileSystem(), clock_);
    EXPECT_OK(updater);
    return updater.ok() ? *std::move(updater) : nullptr;
  }
  absl::Status Refresh() { return Open()->Refresh(repository_); }
  std::string Stored(const std::string& name) {
    return RealFileSystem()
        .Read(dir_.File("store/" + name), kMaxTargetsBytes)
        .value_or("");
  }
  void PublishRoot() { repository_.PublishRoot({"root-1", "root-2"}); }

  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
};

// Lets time pass while it answers.
class SlowFetcher final : public Fetcher {
 public:
  SlowFetcher(Fetcher& source, FakeClock& clock, absl::Duration each)
      : source_(source), clock_(clock), each_(each) {}
  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override {
    clock_.Advance(each_);
    return source_.FetchMetadata(role, version, max_bytes);
  }
  absl::StatusOr<std::string> FetchTarget(const TargetFile& target) override {
    return source_.FetchTarget(target);
  }

 private:
  Fetcher& source_;
  FakeClock& clock_;
  absl::Duration each_;
};

TEST_F(Workflow, T05_OneTimeCountsForAWholeRefresh) {
  // Every answer takes ten days of the thirty that all is valid for.
  SlowFetcher slow(repository_, clock_, absl::Hours(240));
  auto updater = Open();
  EXPECT_OK(updater->Refresh(slow));
  // The next one begins after all of it has expired.
  EXPECT_THAT(updater->Refresh(slow), FailsBecause("expired_metadata"));
}

TEST_F(Workflow, T05_WhatIsExpiredIsNotEvenKept) {
  const absl::Time good = repository_.expires;
  const std::pair<const char*, std::function<void()>> roles[] = {
      {"timestamp", [&] { repository_.PublishTimestamp(); }},
      {"snapshot", [&] { repository_.PublishSnapshot(); }},
      {"targets", [&] { repository_.PublishRole("targets"); }}};
  for (const auto& [role, publish] : roles) {
    ASSERT_OK(Refresh());
    const std::string before = Stored(std::string(role) + ".json");
    repository_.expires = clock_.WallNow() - absl::Hours(1);
    publish();
    repository_.expires = good;
    if (std::string(role) == "targets") repository_.PublishSnapshot();
    if (std::string(role) != "timestamp") repository_.PublishTimestamp();
    EXPECT_THAT(Refresh(), Fails(absl::StatusCode::kFailedPrecondition,
                                 "expired_metadata"))
        << role;
    EXPECT_EQ(Stored(std::string(role) + ".json"), before) << role;
    repository_.PublishAll();
  }
}

TEST_F(Workflow, T05_AnExpiredRootIsTakenAndEndsTheRefresh) {
  ASSERT_OK(Refresh());
  const std::string timestamp = Stored("timestamp.json");
  const absl::Time good = repository_.expires;
  repository_.expires = clock_.WallNow() - absl::Hours(1);
  PublishRoot();
  repository_.expires = good;
  repository_.PublishAll();
  EXPECT_THAT(Refresh(), FailsBecause("expired_metadata"));
  // Taken all the same: it may be the one that takes a stolen key away.
  EXPECT_EQ(Stored("root.json"), repository_.file("2.root"));
  EXPECT_EQ(Stored("timestamp.json"), timestamp);
  // One expired on the way to a good one is no obstacle.
  PublishRoot();
  EXPECT_OK(Refresh());
}

TEST_F(Workflow, T07_ExpiredVersionsStillBoundTheNext) {
  const std::string old = repository_.file("timestamp");
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  clock_.Advance(absl::Hours(24 * 31));
  repository_.expires = clock_.WallNow() + absl::Hours(24);
  PublishRoot();
  repository_.timestamp_version = 0;
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(), FailsBecause("rollback"));
  repository_.PublishAll();
  repository_.PublishAll();
  EXPECT_OK(Refresh());
}

TEST_F(Workflow, T04_AKeyThatIsOnlyAddedForgetsNothing) {
  const std::string old = repository_.file("timestamp");
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  const Key second = repository_.public_key("timestamp-2");
  repository_.root.keys.emplace(second.id, second);
  repository_.root.roles["timestamp"].key_ids.push_back(second.id);
  PublishRoot();
  repository_.file("timestamp") = old;
  EXPECT_THAT(Refresh(), FailsBecause("rollback"));
}

TEST_F(Workflow, T04_ANewSnapshotKeyAloneTakesTargetsBack) {
  for (int i = 0; i < 20; ++i) repository_.PublishRole("targets");
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.roles["targets"].version = 0;
  repository_.newest_.erase("policy");
  repository_.RotateKey("snapshot", "snapshot-2");
  PublishRoot();
  repository_.PublishRole("targets");
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_EQ(updater->targets().version, 1u);
}

// One stolen key of a role drove its versions up; root answers with a threshold
// and takes no key away. The Updater stays open all the while.
class HigherThreshold : public Workflow,
                        public ::testing::WithParamInterface<const char*> {};

TEST_P(HigherThreshold, T04_ForgetsWhatOneKeySigned) {
  const std::string role = GetParam();
  TestRepository& r = repository_;
  auto updater = Open();
  ASSERT_OK(updater->Refresh(r));
  for (int i = 0; i < 20; ++i) {
    r.PublishSnapshot();
    r.PublishTimestamp();
  }
  ASSERT_OK(updater->Refresh(r));

  const Key second = r.public_key("second");
  r.root.keys.emplace(second.id, second);
  r.root.roles[role].key_ids.push_back(second.id);
  r.root.roles[role].threshold = 2;
  PublishRoot();
  const auto signers = [&](const std::string& of) {
    std::vector<const crypto::SigningKey*> keys = {&r.key(of)};
    if (of == role) keys.push_back(&r.key("second"));
    return keys;
  };
  const std::string snapshot =
      *BuildSnapshot(3, r.expires, r.newest_, signers("snapshot"));
  r.file("3.snapshot") = snapshot;
  r.file("timestamp") =
      *BuildTimestamp(3, r.expires, 3, snapshot, signers("timestamp"));
  ASSERT_OK(updater->Refresh(r));
  EXPECT_EQ(updater->timestamp().version, 3u);
  EXPECT_EQ(updater->snapshot().version, 3u);
  EXPECT_EQ(Stored("timestamp.json"), r.file("timestamp"));
  EXPECT_EQ(Stored("snapshot.json"), snapshot);
}
INSTANTIATE_TEST_SUITE_P(Roles, HigherThreshold,
                         ::testing::Values("timestamp", "snapshot"));

// Who signed it by the keys that are needed now may not go back.
TEST_F(Workflow, T04_AThresholdThatIsMetForgetsNothing) {
  const auto sign = [&](uint64_t version) {
    repository_.file("timestamp") = *BuildTimestamp(
        version, repository_.expires, repository_.snapshot_version,
        repository_.file(std::to_string(repository_.snapshot_version) +
                         ".snapshot"),
        {&repository_.key("timestamp"), &repository_.key("second")});
  };
  const Key second = repository_.public_key("second");
  repository_.root.keys.emplace(second.id, second);
  repository_.root.roles["timestamp"].key_ids.push_back(second.id);
  PublishRoot();
  sign(9);
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  repository_.root.roles["timestamp"].threshold = 2;
  PublishRoot();
  sign(8);
  EXPECT_THAT(updater->Refresh(repository_), FailsBecause("rollback"));
}

TEST_F(Workflow, T08_AChainOfWholeRotationsIsWalked) {
  ASSERT_OK(Refresh());
  std::vector<std::string> old = {"root-1", "root-2"};
  for (int step = 0; step < 4; ++step) {
    std::vector<std::string> fresh;
    std::vector<std::string> both = old;
    RoleKeys& keys = repository_.root.roles["root"];
    keys.key_ids.clear();
    for (int i = 0; i < 2; ++i) {
      fresh.push_back("root-" + std::to_string(step) + std::to_string(i));
      both.push_back(fresh.back());
      const Key key = repository_.public_key(fresh.back());
      repository_.root.keys.emplace(key.id, key);
      keys.key_ids.push_back(key.id);
    }
    repository_.PublishRoot(both);
    old = fresh;
  }
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_EQ(updater->root().version, 5u);
  EXPECT_EQ(Stored("root.json"), repository_.file("5.root"));
}

TEST_F(Workflow, T08_ABadRootLeavesTheGoodOnesBeforeIt) {
  ASSERT_OK(Refresh());
  PublishRoot();
  repository_.PublishRoot({"root-1"});  // one of two
  EXPECT_THAT(Refresh(), FailsBecause("bad_signature"));
  EXPECT_EQ(Stored("root.json"), repository_.file("2.root"));
}

TEST_F(Workflow, T06_WhatIsTrustedStaysWhenALaterRoleFails) {
  ASSERT_OK(Refresh());
  const std::string snapshot = Stored("snapshot.json");
  const std::string targets = Stored("targets.json");
  repository_.PublishAll();
  repository_.Erase("2.snapshot");
  EXPECT_THAT(Refresh(), FailsBecause("metadata_missing"));
  EXPECT_EQ(Stored("timestamp.json"), repository_.file("timestamp"));
  EXPECT_EQ(Stored("snapshot.json"), snapshot);
  repository_.PublishAll();
  repository_.Erase("3.targets");
  EXPECT_THAT(Refresh(), FailsBecause("metadata_missing"));
  EXPECT_EQ(Stored("snapshot.json"), repository_.file("3.snapshot"));
  EXPECT_EQ(Stored("targets.json"), targets);
}

TEST_F(Workflow, T03_AnUnchangedRepositoryCostsTwoRequests) {
  ASSERT_OK(Refresh());
  repository_.requests.clear();
  ASSERT_OK(Refresh());
  EXPECT_THAT(repository_.requests,
              ::testing::ElementsAre("2.root", "timestamp"));
}

TEST_F(Workflow, T06_WithoutConsistentSnapshotsNamesHaveNoVersion) {
  repository_.root.consistent_snapshot = false;
  PublishRoot();
  repository_.file("snapshot") = repository_.file("1.snapshot");
  repository_.file("targets") = repository_.file("1.targets");
  ASSERT_OK(Refresh());
  EXPECT_THAT(repository_.requests,
              ::testing::ElementsAre("1.root", "2.root", "3.root", "timestamp",
                                     "snapshot", "targets"));
}

TEST_F(Workflow, T06_AnEqualSnapshotIsFetchedWhenItsPinIsNew) {
  ASSERT_OK(Refresh());
  // The same version with another digest: our copy is not what is pinned.
  repository_.snapshot_version = 0;
  repository_.PublishAll();
  EXPECT_OK(Refresh());
  EXPECT_EQ(Stored("snapshot.json"), repository_.file("1.snapshot"));
}

}  // namespace
}  // namespace shoal::signing
