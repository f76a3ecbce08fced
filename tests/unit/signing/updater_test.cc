#include "signing/verify/updater.h"

#include "common/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::FakeClock;
using ::shoal::testing::TempDir;

class Verify : public ::testing::Test {
 protected:
  std::unique_ptr<Updater> Open(const std::string& store = "store") {
    UpdaterOptions options;
    options.directory = dir_.File(store);
    options.fleet_id = repository_.fleet_id();
    options.max_root_rotations = 5;
    auto updater = Updater::Open(options, RealFileSystem(), clock_);
    EXPECT_OK(updater);
    return updater.ok() ? *std::move(updater) : nullptr;
  }
  // A new object on the same store, as after a restart.
  absl::Status Refresh() { return Open()->Refresh(repository_); }

  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
};

TEST_F(Verify, FirstRefreshTrustsWhatTheFleetIdNames) {
  repository_.AddTarget("fw-a", "fw/a/1/image", "bytes");
  repository_.PublishAll();
  auto updater = Open();
  EXPECT_THAT(updater->GetTarget(&repository_, "fw/a/1/image"),
              FailsBecause("not_refreshed"));
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_TRUE(updater->fresh());
  EXPECT_EQ(updater->FreshUntil(), repository_.expires);
  ASSERT_OK_AND_ASSIGN(const TargetFile target,
                       updater->GetTarget(&repository_, "fw/a/1/image"));
  EXPECT_EQ(target.length, 5u);
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       updater->FetchTarget(&repository_, target, 100));
  EXPECT_EQ(bytes, "bytes");
  EXPECT_THAT(updater->GetTarget(&repository_, "fw/a/2/image"),
              Fails(absl::StatusCode::kNotFound, "unknown_target"));
}

TEST_F(Verify, AnotherFleetsRootIsRefused) {
  UpdaterOptions options;
  options.directory = dir_.File("s");
  options.fleet_id = std::string(32, 'x');
  ASSERT_OK_AND_ASSIGN(auto updater,
                       Updater::Open(options, RealFileSystem(), clock_));
  EXPECT_THAT(updater->Refresh(repository_),
              Fails(absl::StatusCode::kPermissionDenied, "wrong_fleet"));
  ASSERT_OK(Open("t")->Refresh(repository_));
  options.directory = dir_.File("t");
  EXPECT_THAT(Updater::Open(options, RealFileSystem(), clock_),
              Fails(absl::StatusCode::kPermissionDenied, "wrong_fleet"));
}

TEST_F(Verify, T61_ADamagedRootIsTakenAnewFromTheFirst) {
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  for (const char* name : {"store/root.json", "store/fleet"}) {
    ASSERT_OK_AND_ASSIGN(const std::string good,
                         RealFileSystem().Read(dir_.File(name), 1 << 20));
    for (const std::string& damage :
         {std::string(), good.substr(0, good.size() / 2),
          std::string(good.size(), 'z')}) {
      ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File(name), damage));
      auto updater = Open();
      ASSERT_TRUE(updater);
      EXPECT_THAT(updater->UseStored(), FailsBecause("not_refreshed"));
      ASSERT_OK(updater->Refresh(repository_));
      ASSERT_OK_AND_ASSIGN(const std::string healed,
                           RealFileSystem().Read(dir_.File(name), 1 << 20));
      EXPECT_EQ(healed, good);
    }
  }
}

TEST_F(Verify, T01_UnsignedRolesAreRefused) {
  ASSERT_OK(Refresh());
  repository_.signer["timestamp"] = "snapshot";  // not the timestamp's key
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kPermissionDenied, "bad_signature"));
  repository_.signer.clear();
  repository_.signer["targets"] = "fw-a";
  repository_.PublishAll();
  EXPECT_THAT(Refresh(), FailsBecause("bad_signature"));
}

TEST_F(Verify, T01_WrongTargetBytesAreRefused) {
  repository_.AddTarget("policy", "policy/p", "good");
  repository_.PublishAll();
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  ASSERT_OK_AND_ASSIGN(const TargetFile target,
                       updater->GetTarget(&repository_, "policy/p"));
  class Liar final : public Fetcher {
   public:
    absl::StatusOr<std::string> FetchMetadata(std::string_view,
                                              std::optional<uint64_t>,
                                              uint64_t) override {
      return Unavailable("x", "x");
    }
    absl::StatusOr<std::string> FetchTarget(const TargetFile&) override {
      return bytes;
    }
    std::string bytes;
  } liar;
  liar.bytes = "evil";
  EXPECT_THAT(updater->FetchTarget(&liar, target, 100),
              Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
  liar.bytes = "good and more";
  EXPECT_THAT(updater->FetchTarget(&liar, target, 100),
              Fails(absl::StatusCode::kDataLoss, "length_mismatch"));
  EXPECT_THAT(updater->FetchTarget(&liar, target, 3),
              FailsBecause("target_too_large"));
}

TEST_F(Verify, T02_EndlessMetadataIsRefused) {
  repository_.file("timestamp").append(kMaxTimestampBytes, ' ');
  EXPECT_THAT(Refresh(), Fails(absl::StatusCode::kResourceExhausted,
                               "metadata_too_large"));
}

TEST_F(Verify, T02_EndlessRootRotationIsRefused) {
  for (int i = 0; i < 5; ++i) repository_.PublishRoot({"root-1", "root-2"});
  ASSERT_OK(Open("five")->Refresh(repository_));
  repository_.PublishRoot({"root-1", "root-2"});
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kResourceExhausted, "too_many_roots"));
  // What was verified on the way is kept: the next refresh gets to the end.
  EXPECT_OK(Refresh());
}

TEST_F(Verify, T03_OnlyWhatMetadataNamesIsFetched) {
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_THAT(repository_.requests,
              ::testing::ElementsAre("1.root", "2.root", "timestamp",
                                     "1.snapshot", "1.targets"));
  EXPECT_THAT(updater->GetTarget(&repository_, "policy/none"),
              FailsBecause("unknown_target"));
  EXPECT_EQ(repository_.requests.back(), "1.policy");
  EXPECT_EQ(repository_.requests.size(), 6u);
}

TEST_F(Verify, T04_FastForwardEndsWhenKeysRotate) {
  repository_.timestamp_version = 1'000'000;
  repository_.snapshot_version = 2'000'000;
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.timestamp_version = 1;
  repository_.snapshot_version = 1;
  repository_.PublishAll();
  EXPECT_THAT(Refresh(), FailsBecause("rollback"));
  // Root gives timestamp and snapshot new keys.
  for (const std::string role : {"timestamp", "snapshot"}) {
    const Key key = repository_.public_key(role + "-new");
    repository_.root.keys.emplace(key.id, key);
    repository_.root.roles[role].key_ids = {key.id};
    repository_.signer[role] = role + "-new";
  }
  repository_.PublishRoot({"root-1", "root-2"});
  repository_.PublishAll();
  EXPECT_OK(Refresh());
}

TEST_F(Verify, T05_FreezeEndsAtTheExpiry) {
  ASSERT_OK(Refresh());
  clock_.Advance(absl::Hours(24 * 30) - absl::Seconds(1));
  EXPECT_OK(Refresh());
  clock_.Advance(absl::Seconds(1));
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "expired_metadata"));
  auto updater = Open();
  EXPECT_THAT(updater->UseStored(), FailsBecause("expired_metadata"));
  EXPECT_OK(updater->UseStored(true));
  EXPECT_FALSE(updater->fresh());
}

TEST_F(Verify, T05_AClockSetBackDoesNotReviveMetadata) {
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  ASSERT_OK(updater->time_floor().Raise(repository_.expires + absl::Hours(1)));
  ASSERT_OK(updater->time_floor().Raise(absl::UnixEpoch()));  // ignored
  clock_.SetWall(absl::FromUnixSeconds(0));
  EXPECT_THAT(Refresh(), FailsBecause("expired_metadata"));
}

TEST_F(Verify, T26_T61_ADamagedTimeFloorMendsItself) {
  const std::string path = dir_.File("store/time_floor");
  const absl::Time floor = repository_.expires + absl::Hours(1);
  ASSERT_OK(Open()->time_floor().Raise(floor));
  FileSystem& fs = RealFileSystem();
  ASSERT_OK_AND_ASSIGN(const std::string whole, fs.Read(path, 100));
  std::string flipped = whole;
  ++flipped[0];
  // Whichever copy, and however it was torn: the other one counts.
  for (const std::string& torn :
       {std::string(), whole.substr(0, 4), whole.substr(0, whole.size() - 1),
        flipped, std::string(200, '7'), std::string(10, '\0')}) {
    for (const std::string& name : {path, path + ".copy"}) {
      ASSERT_OK(fs.WriteAtomic(name, torn));
      EXPECT_EQ(Open()->time_floor().floor(), floor) << torn;
      EXPECT_EQ(fs.Read(name, 100).value_or(""), whole) << torn;
    }
  }
  // One was lost, or a crash came between the two.
  ASSERT_OK(fs.Remove(path));
  EXPECT_EQ(Open()->time_floor().floor(), floor);
  ASSERT_OK(Open()->time_floor().Raise(floor + absl::Hours(1)));
  ASSERT_OK(fs.WriteAtomic(path, whole));
  EXPECT_EQ(Open()->time_floor().floor(), floor + absl::Hours(1));
  // As an earlier version left it.
  ASSERT_OK(fs.Remove(path + ".copy"));
  ASSERT_OK(fs.WriteAtomic(path, "1700000000\n"));
  EXPECT_EQ(Open()->time_floor().floor(), absl::FromUnixSeconds(1700000000));
  // Both: it goes on by its own clock, and the next time told binds again.
  ASSERT_OK(fs.WriteAtomic(path, "?"));
  ASSERT_OK(fs.WriteAtomic(path + ".copy", "?"));
  ASSERT_OK(Refresh());
  EXPECT_EQ(Open()->time_floor().floor(), absl::UnixEpoch());
  ASSERT_OK(Open()->time_floor().Raise(floor));
  EXPECT_EQ(Open()->time_floor().floor(), floor);
  EXPECT_THAT(Refresh(), FailsBecause("expired_metadata"));
}

TEST_F(Verify, T06_MixAndMatchIsRefused) {
  ASSERT_OK(Refresh());
  const std::string old_targets = repository_.file("1.targets");
  repository_.PublishAll();
  repository_.file("2.targets") = old_targets;
  EXPECT_THAT(Refresh(), Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
}

TEST_F(Verify, T06_VersionAskedForIsTheVersionInTheFile) {
  // Pins without hash and length, as other repositories have them.
  Snapshot snapshot;
  snapshot.version = 2;
  snapshot.expires = repository_.expires;
  snapshot.meta["targets"] = {2, {}, {}};
  repository_.file("2.snapshot") =
      SignSnapshot(snapshot, {&repository_.key("snapshot")}).value();
  repository_.snapshot_version = 2;
  repository_.file("2.targets") = repository_.file("1.targets");
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(), Fails(absl::StatusCode::kDataLoss, "wrong_version"));
}

TEST_F(Verify, T07_OlderTimestampIsRefused) {
  const std::string old = repository_.file("timestamp");
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.file("timestamp") = old;
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "rollback"));
}

TEST_F(Verify, T07_OlderSnapshotIsRefused) {
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.snapshot_version = 1;
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "rollback"));
}

TEST_F(Verify, T07_OlderTargetsInANewerSnapshotAreRefused) {
  const RoleFile old = repository_.newest_["fw-a"];
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.newest_["fw-a"] = old;
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "rollback"));
}

TEST_F(Verify, T07_ARoleMayNotDisappear) {
  ASSERT_OK(Refresh());
  repository_.newest_.erase("policy");
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "rollback"));
}

TEST_F(Verify, T08_NextRootNeedsOldAndNewThreshold) {
  ASSERT_OK(Refresh());
  const Key replacement = repository_.public_key("root-3");
  repository_.root.keys.emplace(replacement.id, replacement);
  repository_.root.roles["root"].key_ids[0] = replacement.id;
  repository_.PublishRoot({"root-2", "root-3"});  // new only
  EXPECT_THAT(Refresh(), FailsBecause("bad_signature"));
  repository_.root.version = 1;
  repository_.PublishRoot({"root-1", "root-2"});  // old only
  EXPECT_THAT(Refresh(), FailsBecause("bad_signature"));
  repository_.root.version = 1;
  repository_.PublishRoot({"root-1", "root-2", "root-3"});
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_EQ(updater->root().version, 2u);
}

TEST_F(Verify, T08_RootVersionsMayNotBeSkipped) {
  ASSERT_OK(Refresh());
  repository_.PublishRoot({"root-1", "root-2"});
  repository_.PublishRoot({"root-1", "root-2"});
  repository_.file("2.root") = repository_.file("3.root");
  EXPECT_THAT(Refresh(), FailsBecause("wrong_version"));
}

TEST_F(Verify, T11_DuplicateSignaturesAreRefused) {
  // The builder refuses them as the reader does.
  EXPECT_THAT(SignRoot(repository_.root, {&repository_.key("root-1"),
                                          &repository_.key("root-1")}),
              FailsBecause("bad_metadata"));
  // Even on top of signatures enough.
  std::string root = repository_.file("1.root");
  const size_t begin = root.find("[{\"keyid\"") + 1;
  const size_t end = root.find("},", begin);
  root.insert(begin, root.substr(begin, end - begin + 2));
  EXPECT_THAT(ParseRoot(root), FailsBecause("bad_metadata"));
}

TEST_F(Verify, T07_OfTwoTimestampsOfOneVersionTheFirstStays) {
  ASSERT_OK(Refresh());
  const std::string first = repository_.file("timestamp");
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_FALSE(updater->equivocation());
  // The same version again, of a snapshot that nobody has.
  repository_.timestamp_version = 0;
  repository_.file("100.snapshot") = "never asked for";
  repository_.snapshot_version = 100;
  repository_.PublishTimestamp();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_TRUE(updater->equivocation());
  EXPECT_EQ(repository_.requests.back(), "timestamp");
  ASSERT_OK_AND_ASSIGN(
      const std::string stored,
      RealFileSystem().Read(dir_.File("store/timestamp.json"), 20000));
  EXPECT_EQ(stored, first);
  EXPECT_EQ(updater->timestamp().snapshot.version, 1u);
}

TEST_F(Verify, TheLastGoodSetOutlivesAFailedRefresh) {
  repository_.AddTarget("targets", "note", "one");
  repository_.PublishAll();
  ASSERT_OK(Refresh());
  repository_.AddTarget("targets", "note", "two!");
  repository_.PublishAll();
  repository_.file("3.targets") = "gone";
  auto updater = Open();
  EXPECT_FALSE(updater->Refresh(repository_).ok());
  ASSERT_OK(updater->UseStored());
  ASSERT_OK_AND_ASSIGN(const TargetFile target,
                       updater->GetTarget(nullptr, "note"));
  EXPECT_EQ(target.length, 3u);
  // But the newer timestamp is remembered against rollback.
  EXPECT_EQ(updater->timestamp().version, 2u);
  ASSERT_OK_AND_ASSIGN(
      const std::string stored,
      RealFileSystem().Read(dir_.File("store/timestamp.json"), 20000));
  EXPECT_EQ(stored, repository_.file("timestamp"));
}

TEST_F(Verify, T08_NothingIsAnsweredUnderKeysThatRotated) {
  repository_.AddTarget("targets", "note", "one");
  repository_.PublishAll();
  auto updater = Open();
  ASSERT_OK(updater->Refresh(repository_));
  const Key key = repository_.public_key("targets-new");
  repository_.root.keys.emplace(key.id, key);
  repository_.root.roles["targets"].key_ids = {key.id};
  repository_.PublishRoot({"root-1", "root-2"});
  // The repository's targets are still signed by the old, maybe stolen, key.
  EXPECT_THAT(updater->Refresh(repository_), FailsBecause("bad_signature"));
  EXPECT_THAT(updater->GetTarget(&repository_, "note"),
              FailsBecause("not_refreshed"));
  EXPECT_THAT(updater->UseStored(), FailsBecause("bad_signature"));
  repository_.signer["targets"] = "targets-new";
  repository_.PublishAll();
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_OK(updater->GetTarget(&repository_, "note"));
}

// Of several files found under one name.
TEST_F(Verify, T01_T06_T08_T41_OnlyWhatMayBeNextIsWorthATry) {
  const std::string root_1 = repository_.file("1.root");
  const std::string snapshot_1 = repository_.file("1.snapshot");
  const std::string targets_1 = repository_.file("1.targets");
  const std::string timestamp = repository_.file("timestamp");
  auto updater = Open();
  // Before anything is trusted: the root that the fleet id names, and no other.
  EXPECT_OK(updater->MayBe("root", 1, root_1));
  EXPECT_THAT(updater->MayBe("root", 1, "{}"), FailsBecause("wrong_fleet"));
  EXPECT_THAT(updater->MayBe("timestamp", std::nullopt, timestamp),
              FailsBecause("not_refreshed"));
  ASSERT_OK(updater->Refresh(repository_));
  repository_.PublishRoot({"root-1", "root-2"});
  const std::string root_2 = repository_.file("2.root");
  repository_.PublishRoot({"root-1", "root-2"});
  EXPECT_OK(updater->MayBe("root", 2, root_2));
  EXPECT_FALSE(updater->MayBe("root", 2, root_1).ok());
  EXPECT_FALSE(updater->MayBe("root", 2, repository_.file("3.root")).ok());
  EXPECT_FALSE(updater->MayBe("root", 2, "junk").ok());
  EXPECT_FALSE(updater->MayBe("root", 2, "").ok());

  EXPECT_OK(updater->MayBe("timestamp", std::nullopt, timestamp));
  EXPECT_FALSE(updater->MayBe("timestamp", std::nullopt, snapshot_1).ok());
  std::string forged = timestamp;
  forged.insert(forged.rfind("\"version\":") + 10, "9");
  EXPECT_THAT(updater->MayBe("timestamp", std::nullopt, forged),
              FailsBecause("bad_signature"));
  TestRepository other(clock_.WallNow());
  EXPECT_THAT(
      updater->MayBe("timestamp", std::nullopt, other.file("timestamp")),
      FailsBecause("bad_signature"));
  EXPECT_THAT(updater->MayBe("snapshot", 1, other.file("1.snapshot")),
              FailsBecause("bad_signature"));
  EXPECT_THAT(updater->MayBe("targets", 1, other.file("1.targets")),
              FailsBecause("bad_signature"));

  // What is pinned is pinned, whoever signed the rest.
  EXPECT_OK(updater->MayBe("snapshot", 1, snapshot_1));
  EXPECT_THAT(updater->MayBe("snapshot", 2, snapshot_1),
              FailsBecause("wrong_version"));
  const uint64_t director = repository_.newest_.at("director").version;
  EXPECT_OK(
      updater->MayBe("director", director, repository_.newest("director")));
  EXPECT_FALSE(
      updater->MayBe("director", director, repository_.newest("policy")).ok());
  repository_.PublishAll();
  EXPECT_FALSE(
      updater->MayBe("snapshot", 1, repository_.file("2.snapshot")).ok());
  EXPECT_OK(updater->MayBe("targets", 1, targets_1));
  EXPECT_THAT(updater->MayBe("targets", 2, targets_1),
              FailsBecause("wrong_version"));
}

TEST_F(Verify, MissingFilesAreNamed) {
  repository_.Erase("1.snapshot");
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kNotFound, "metadata_missing"));
  auto updater = Open("other");
  EXPECT_THAT(updater->UseStored(), FailsBecause("not_refreshed"));
}

}  // namespace
}  // namespace shoal::signing
