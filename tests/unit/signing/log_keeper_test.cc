// The release log as a reader follows it (T46): what it takes, what it refuses,
// what it remembers, and how it comes back under another key.
#include <gtest/gtest.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "shoal/log/v1/log.pb.h"
#include "signing/log/files.h"
#include "signing/log/leaf.h"
#include "signing/sign/builder.h"
#include "signing/verify/updater.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using shoal::testing::Fails;
using shoal::testing::FailsBecause;

// A repository whose timestamps name a release log.
class LoggedRepository final : public TestRepository {
 public:
  explicit LoggedRepository(absl::Time now) : TestRepository(now) {}

  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t) override {
    ++log_requests;
    if (source >= sources.size())
      return NotFound("no_more_sources", "no more sources");
    const auto it = sources[source].find(name);
    if (it == sources[source].end())
      return Unavailable("no_source", "not here");
    return it->second;
  }

  // The next snapshot and timestamp; the leaf of the snapshot behind `extra`.
  void Publish(const std::vector<std::string>& extra = {}) {
    PublishSnapshot();
    const std::string snapshot =
        file(std::to_string(snapshot_version) + ".snapshot");
    leaves.insert(leaves.end(), extra.begin(), extra.end());
    LogLeaf leaf;
    leaf.number = snapshot_version;
    leaf.sha256 = crypto::Sha256Digest(snapshot);
    leaf.name = "snapshot";
    leaves.push_back(*EncodeLogLeaf(leaf));
    Timestamp(snapshot);
  }
  // Another timestamp over what there is.
  void Timestamp(const std::string& snapshot) {
    std::vector<std::string> hashes;
    LogFrontier frontier;
    for (const std::string& leaf : leaves) {
      hashes.push_back(LogLeafHash(leaf));
      frontier.Append(hashes.back(), [](int, uint64_t, const std::string&) {});
    }
    head = {leaves.size(), frontier.Root(), leaves.size() - 1};
    const std::string name =
        signer.contains("timestamp") ? signer["timestamp"] : "timestamp";
    file("timestamp") =
        BuildTimestamp(++timestamp_version, expires, snapshot_version, snapshot,
                       {&key(name)}, head)
            .value();
    const auto none = [](int, uint64_t) -> absl::StatusOr<std::string> {
      return NotFound("none", "none");
    };
    sources = {TilesAfter(0, hashes, none).value()};
  }
  void WithoutLog() { PublishTimestamp(); }

  std::vector<std::string> leaves;
  LogHead head;
  std::vector<std::map<std::string, std::string>> sources;
  int log_requests = 0;
};

class LogKeeperTest : public ::testing::Test {
 protected:
  LogKeeperTest() : repo_(clock_.WallNow()) { Open(); }
  void Open() {
    updater_.reset();
    UpdaterOptions options;
    options.directory = dir_.File("metadata");
    options.fleet_id = repo_.fleet_id();
    auto opened = Updater::Open(options, RealFileSystem(), clock_);
    ASSERT_OK(opened);
    updater_ = *std::move(opened);
  }
  absl::Status Refresh() { return updater_->Refresh(repo_); }
  const log::v1::LogMemory& memory() { return updater_->log(); }
  // As many leaves, other ones: a second truth.
  void Fork(size_t keep) {
    for (size_t i = keep; i < repo_.leaves.size(); ++i) repo_.leaves[i] += "x";
  }
  // The proof file of the head that was just published, out of its tiles.
  log::v1::LogProof ProofSince(uint64_t before) {
    const auto tiles = repo_.sources[0];
    const auto nodes = NodesFromTiles(
        [&](const std::string& name) -> absl::StatusOr<std::string> {
          return tiles.at(name);
        });
    log::v1::LogProof proof;
    proof.set_size(repo_.head.size);
    proof.set_root(repo_.head.root);
    const auto inclusion =
        InclusionPath(repo_.head.snapshot, repo_.head.size, nodes);
    EXPECT_OK(inclusion);
    for (const std::string& hash : *inclusion) proof.add_inclusion(hash);
    log::v1::LogPrefix* prefix = proof.add_prefixes();
    prefix->set_size(before);
    const auto path = PrefixPath(before, repo_.head.size, nodes);
    EXPECT_OK(path);
    for (const std::string& hash : *path) prefix->add_path(hash);
    return proof;
  }
  void NewTimestampKey(const std::string& name) {
    repo_.RotateKey("timestamp", name);
    repo_.PublishRoot({"root-1", "root-2"});
  }

  testing::FakeClock clock_;
  testing::TempDir dir_;
  LoggedRepository repo_;
  std::unique_ptr<Updater> updater_;
};

TEST_F(LogKeeperTest, FollowsALogThatGrows) {
  for (int round = 0; round < 20; ++round) {
    repo_.Publish(std::vector<std::string>(static_cast<size_t>(round), "leaf"));
    ASSERT_OK(Refresh());
    EXPECT_EQ(memory().head().size(), repo_.head.size);
    EXPECT_EQ(memory().head().root(), repo_.head.root);
    if (round % 5 == 0) Open();
  }
  EXPECT_FALSE(memory().has_fork());
  EXPECT_EQ(memory().restarts_size(), 0);
}

// Whoever holds both truths shows them to one that has seen neither.
TEST_F(LogKeeperTest, T46_AProofOfAForkIsTakenFromAnybody) {
  repo_.Publish();
  repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.Publish();
  const std::string one = repo_.file("timestamp");
  Fork(2);
  --repo_.timestamp_version;
  repo_.Timestamp(
      repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot"));
  const std::string other = repo_.file("timestamp");
  ASSERT_NE(one, other);
  // Neither alone, nor one that the key did not sign.
  EXPECT_THAT(updater_->TakeForkProof(one, one), FailsBecause("no_fork"));
  EXPECT_THAT(updater_->TakeForkProof(one, repo_.file("1.root")),
              ::testing::Not(shoal::testing::IsOk()));
  std::string forged = other;
  const size_t root = forged.find("\"root\":\"") + 8;
  forged[root] = forged[root] == '0' ? '1' : '0';
  EXPECT_THAT(updater_->TakeForkProof(one, forged),
              FailsBecause("bad_signature"));
  EXPECT_FALSE(memory().has_fork());
  ASSERT_OK(updater_->TakeForkProof(one, other));
  EXPECT_EQ(memory().fork().ours(), one);
  EXPECT_EQ(memory().fork().theirs(), other);
  // As final as one's own, over a restart too.
  Open();
  ASSERT_OK(updater_->UseStored());
  ASSERT_TRUE(memory().has_fork());
  repo_.Publish();
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
  // Root's new key ends it, and the proof under the old one says nothing more.
  NewTimestampKey("timestamp-2");
  repo_.Publish();
  ASSERT_OK(Refresh());
  EXPECT_THAT(updater_->TakeForkProof(one, other),
              FailsBecause("bad_signature"));
  EXPECT_FALSE(memory().has_fork());
}

TEST_F(LogKeeperTest, TwoTimestampsThatCanBothBeTrueAreNoProof) {
  std::vector<std::string> all;
  for (int i = 0; i < 4; ++i) {
    repo_.Publish();
    all.push_back(repo_.file("timestamp"));
    repo_.Timestamp(
        repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot"));
    all.push_back(repo_.file("timestamp"));
  }
  ASSERT_OK(Refresh());
  for (const std::string& one : all)
    for (const std::string& other : all)
      EXPECT_THAT(updater_->TakeForkProof(one, other), FailsBecause("no_fork"));
  EXPECT_FALSE(memory().has_fork());
}

TEST_F(LogKeeperTest, AFleetWithoutALogWorks) {
  repo_.PublishAll();
  ASSERT_OK(Refresh());
  EXPECT_EQ(memory().head().size(), 0u);
  repo_.Publish();
  ASSERT_OK(Refresh());
  EXPECT_EQ(memory().head().size(), 1u);
}

// A stock client knows no log: neither the head nor its lack of proofs matters.
TEST_F(LogKeeperTest, AStockClientPassesItOver) {
  UpdaterOptions options;
  options.directory = dir_.File("stock");
  options.anchored_by_root = true;
  ASSERT_OK(Updater::InstallRoot(options.directory, repo_.file("1.root"),
                                 options.policy, RealFileSystem()));
  ASSERT_OK_AND_ASSIGN(auto stock,
                       Updater::Open(options, RealFileSystem(), clock_));
  repo_.Publish();
  repo_.sources.clear();
  EXPECT_OK(stock->Refresh(repo_));
  repo_.Publish({"leaf"});
  Fork(0);
  repo_.sources.clear();
  EXPECT_OK(stock->Refresh(repo_));
  EXPECT_EQ(repo_.log_requests, 0);
  EXPECT_EQ(stock->log().head().size(), 0u);
}

TEST_F(LogKeeperTest, T46_OnceSeenALogIsMandatory) {
  repo_.Publish();
  ASSERT_OK(Refresh());
  const std::string kept = *updater_->StoredBytes("timestamp");
  repo_.WithoutLog();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "log_missing"));
  ASSERT_OK(updater_->UseStored());
  EXPECT_EQ(*updater_->StoredBytes("timestamp"), kept);
}

TEST_F(LogKeeperTest, T46_AnotherLogIsAForkThatLastsOverRestarts) {
  for (int i = 0; i < 5; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  const std::string ours = repo_.file("timestamp");
  Fork(2);
  repo_.Publish();
  EXPECT_THAT(Refresh(),
              Fails(absl::StatusCode::kFailedPrecondition, "log_fork"));
  EXPECT_EQ(memory().fork().ours(), ours);
  EXPECT_EQ(memory().fork().theirs(), repo_.file("timestamp"));
  // The evidence, for people: both timestamps.
  ASSERT_OK_AND_ASSIGN(
      const std::string evidence,
      RealFileSystem().Read(dir_.File("metadata/log_fork.jsonl"), 65536));
  EXPECT_EQ(evidence, ours + "\n" + repo_.file("timestamp") + "\n");
  Open();
  EXPECT_TRUE(memory().has_fork());
  // The old state stays; nothing that the key signs is taken any more.
  ASSERT_OK(updater_->UseStored());
  EXPECT_EQ(*updater_->StoredBytes("timestamp"), ours);
  repo_.Publish();
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
}

TEST_F(LogKeeperTest, T46_AsManyEntriesAndAnotherRoot) {
  for (int i = 0; i < 4; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  Fork(0);
  repo_.Timestamp(
      repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot"));
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
}

TEST_F(LogKeeperTest, T46_ALogThatShrinksIsAFork) {
  for (int i = 0; i < 4; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.leaves.resize(1);
  repo_.Publish();
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
}

// One version with two contents: the first stays, and what differs in the log
// is a fork.
TEST_F(LogKeeperTest, T46_OneVersionWithTwoHeadsIsAFork) {
  repo_.Publish();
  ASSERT_OK(Refresh());
  --repo_.timestamp_version;
  repo_.Publish();
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
}

// An older timestamp of another truth is refused as a rollback is, and is a
// proof all the same.
TEST_F(LogKeeperTest, T46_AnOlderTimestampOfAnotherLogIsAFork) {
  const auto snapshot = [this] {
    return repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot");
  };
  for (int i = 0; i < 3; ++i) repo_.Publish();
  const auto leaves = repo_.leaves;
  Fork(1);
  repo_.Timestamp(snapshot());
  const std::string other = repo_.file("timestamp");
  repo_.leaves = leaves;
  for (int i = 0; i < 3; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.file("timestamp") = other;
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
}

TEST_F(LogKeeperTest, T46_ASnapshotThatIsNotInTheLogIsNotTaken) {
  repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.PublishSnapshot();
  repo_.leaves.push_back("another leaf in its place");
  repo_.Timestamp(
      repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot"));
  EXPECT_THAT(Refresh(), Fails(absl::StatusCode::kUnavailable, "log_unproven"));
  EXPECT_FALSE(memory().has_fork());
  EXPECT_EQ(memory().head().size(), 1u);
}

// Nobody who merely serves proofs can raise an alarm or get a head taken.
TEST_F(LogKeeperTest, FalseProofsOfSourcesSayNothing) {
  for (int i = 0; i < 3; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.Publish();
  const auto good = repo_.sources[0];
  auto bad = good;
  for (auto& [name, bytes] : bad) bytes[5] ^= 1;
  repo_.sources = {bad, {}};
  EXPECT_THAT(Refresh(), FailsBecause("log_unproven"));
  EXPECT_FALSE(memory().has_fork());
  // One honest source behind them is enough.
  repo_.sources = {bad, {}, good};
  EXPECT_OK(Refresh());
}

TEST_F(LogKeeperTest, AProofFileSparesTheTiles) {
  for (int i = 0; i < 5; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  const uint64_t before = repo_.head.size;
  repo_.Publish();
  const log::v1::LogProof proof = ProofSince(before);
  repo_.sources = {
      {{LogProofName(repo_.head.root), proof.SerializeAsString()}}};
  EXPECT_OK(Refresh());
  // Of another head, cut, or too large, it is nothing.
  repo_.Publish();
  for (const std::string& bytes :
       {proof.SerializeAsString(), std::string("\xff\xff"),
        std::string(20'000, '\n')}) {
    repo_.sources = {{{LogProofName(repo_.head.root), bytes}}};
    EXPECT_THAT(Refresh(), FailsBecause("log_unproven"));
  }
}

TEST_F(LogKeeperTest, T43_T46_FalseProofsHideNoTrueOne) {
  for (int i = 0; i < 5; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  const uint64_t before = repo_.head.size;
  repo_.Publish();
  const std::string name = LogProofName(repo_.head.root);
  const log::v1::LogProof proof = ProofSince(before);
  log::v1::LogProof forged = proof;
  (*forged.mutable_inclusion(0))[0] ^= 1;
  (*forged.mutable_prefixes(0)->mutable_path(0))[0] ^= 1;
  repo_.sources.assign(200, {{name, forged.SerializeAsString()}});
  EXPECT_THAT(Refresh(), FailsBecause("log_unproven"));
  repo_.sources.push_back({{name, proof.SerializeAsString()}});
  EXPECT_OK(Refresh());
  EXPECT_FALSE(memory().has_fork());
}

TEST_F(LogKeeperTest, RenewalsOfOneHeadAskForNoTilesOfOldOnes) {
  repo_.Publish();
  ASSERT_OK(Refresh());
  repo_.Timestamp(
      repo_.file(std::to_string(repo_.snapshot_version) + ".snapshot"));
  EXPECT_OK(Refresh());
  EXPECT_EQ(memory().timestamp(), repo_.file("timestamp"));
}

TEST_F(LogKeeperTest, T46_AnothersHeadIsCompared) {
  for (int i = 0; i < 3; ++i) repo_.Publish();
  const std::string older = repo_.file("timestamp");
  for (int i = 0; i < 3; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  const std::string ours = repo_.file("timestamp");
  EXPECT_THAT(updater_->CompareLog(repo_, older), testing::IsOk());
  EXPECT_EQ(*updater_->CompareLog(repo_, older), LogVerdict::kAgrees);
  EXPECT_EQ(*updater_->CompareLog(repo_, ours), LogVerdict::kAgrees);
  repo_.Publish();
  EXPECT_EQ(*updater_->CompareLog(repo_, repo_.file("timestamp")),
            LogVerdict::kAgrees);
  // What the timestamp's key did not sign is a device's invention.
  std::string invented = ours;
  const size_t root = invented.find("\"root\":\"") + 8;
  invented[root] = invented[root] == '0' ? '1' : '0';
  EXPECT_THAT(updater_->CompareLog(repo_, invented),
              FailsBecause("bad_signature"));
  EXPECT_THAT(updater_->CompareLog(repo_, "no timestamp"),
              FailsBecause("bad_metadata"));
  EXPECT_FALSE(memory().has_fork());
  Fork(1);
  repo_.Publish();
  ASSERT_OK_AND_ASSIGN(const LogVerdict verdict,
                       updater_->CompareLog(repo_, repo_.file("timestamp")));
  EXPECT_EQ(verdict, LogVerdict::kFork);
  EXPECT_EQ(memory().fork().theirs(), repo_.file("timestamp"));
}

// Root takes the stolen key away: the log may go on or begin anew, and what did
// not go on stays as a note.
TEST_F(LogKeeperTest, T46_ANewKeyEndsTheAlarmAndLeavesANote) {
  for (int i = 0; i < 4; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  const std::string before = memory().head().root();
  Fork(1);
  repo_.Publish();
  EXPECT_THAT(Refresh(), FailsBecause("log_fork"));
  NewTimestampKey("timestamp2");
  repo_.Publish();
  ASSERT_OK(Refresh());
  EXPECT_FALSE(memory().has_fork());
  EXPECT_EQ(memory().head().root(), repo_.head.root);
  ASSERT_EQ(memory().restarts_size(), 1);
  EXPECT_EQ(memory().restarts(0).before().root(), before);
  EXPECT_TRUE(memory().restarts(0).forked());
  Open();
  repo_.Publish();
  ASSERT_OK(Refresh());
  EXPECT_EQ(memory().restarts_size(), 1);
}

TEST_F(LogKeeperTest, ALogThatGoesOnUnderANewKeyNeedsNoNote) {
  for (int i = 0; i < 4; ++i) repo_.Publish();
  ASSERT_OK(Refresh());
  NewTimestampKey("timestamp2");
  repo_.Publish();
  ASSERT_OK(Refresh());
  EXPECT_EQ(memory().restarts_size(), 0);
  EXPECT_EQ(memory().head().size(), repo_.head.size);
}

TEST_F(LogKeeperTest, ADamagedMemoryIsAsGoodAsNone) {
  repo_.Publish();
  ASSERT_OK(Refresh());
  ASSERT_OK(
      RealFileSystem().WriteAtomic(dir_.File("metadata/log"), "\xff\xff\xff"));
  Open();
  EXPECT_EQ(memory().head().size(), 0u);
  repo_.Publish();
  EXPECT_OK(Refresh());
}

}  // namespace
}  // namespace shoal::signing
