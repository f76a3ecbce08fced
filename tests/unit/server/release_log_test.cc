// The release log as the plane grows it: every head goes on from the last, and
// everything that is published or signed online is in it.
#include "signing/log/files.h"
#include "signing/log/leaf.h"
#include "signing/sign/builder.h"
#include "signing/verify/log_prover.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class ReleaseLogTest : public PlaneTest {
 protected:
  std::vector<signing::LogLeaf> Leaves() {
    TrustRepository::Changed all;
    EXPECT_OK(trust_->AddLog(all));
    std::vector<signing::LogLeaf> leaves;
    for (const auto& [n, bytes] : all.log_bundles) {
      const auto bundle = signing::ParseLogEntries(bytes);
      EXPECT_OK(bundle);
      if (!bundle.ok()) continue;
      for (const std::string& leaf : *bundle)
        leaves.push_back(signing::ParseLogLeaf(leaf).value());
    }
    return leaves;
  }
  bool Has(signing::LogLeafKind kind, const std::string& name,
           uint64_t number) {
    for (const signing::LogLeaf& leaf : Leaves())
      if (leaf.kind == kind && leaf.name == name && leaf.number == number)
        return true;
    return false;
  }
  void Put(const std::string& id) {
    RepositoryChange change;
    change.put["director/gateway/rollout/" + id] = "document";
    ASSERT_OK(trust_->Apply(change, nullptr));
  }
  void Restart() {
    ASSERT_OK_AND_ASSIGN(trust_, TrustRepository::Open(*store_, *keys_, clock_,
                                                       absl::Hours(24 * 7)));
  }
};

TEST_F(ReleaseLogTest, EverythingInForceIsInIt) {
  for (const auto& [role, version] : trust_->View()->versions)
    if (role != "timestamp") {
      EXPECT_TRUE(Has(signing::LogLeafKind::kMetadata, role, version)) << role;
    }
  Put("r1");
  EXPECT_TRUE(
      Has(signing::LogLeafKind::kTarget, "director/gateway/rollout/r1", 8));
  EXPECT_TRUE(Has(signing::LogLeafKind::kMetadata, "director-gateway", 2));
  // The snapshot that the timestamp pins is the leaf that the head names.
  const auto view = trust_->View();
  const auto leaves = Leaves();
  ASSERT_EQ(leaves.size(), view->log.size);
  EXPECT_EQ(leaves[view->log.snapshot].name, "snapshot");
  EXPECT_EQ(leaves[view->log.snapshot].number, view->versions.at("snapshot"));
}

// The client's own check has run on each of these (TrustRepository::Verify);
// here the roots are recomputed once more from the entries alone.
TEST_F(ReleaseLogTest, T46_EveryHeadIsABeginningOfTheLast) {
  std::map<uint64_t, std::string> heads;
  const auto note = [&] {
    const auto head = trust_->View()->log;
    const auto [it, fresh] = heads.emplace(head.size, head.root);
    EXPECT_EQ(it->second, head.root);
  };
  for (int i = 0; i < 100; ++i) {
    Put("r" + std::to_string(i));
    note();
    if (i % 20 == 7) Restart();
    note();
    if (i % 20 == 9) {
      clock_.Advance(absl::Minutes(61));
      ASSERT_OK(trust_->Renew(absl::Hours(1), nullptr));
      note();
    }
  }
  EXPECT_GT(heads.rbegin()->first, 256u) << "more than one tile";
  const testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto files, signing::LogDirectory::Open(
                                       RealFileSystem(), dir.File("log")));
  ASSERT_OK(trust_->CopyLog(*files));
  for (const auto& [size, root] : heads) {
    ASSERT_OK_AND_ASSIGN(const std::string said,
                         signing::LogRoot(size, files->Nodes()));
    EXPECT_EQ(said, root) << size;
  }
}

TEST_F(ReleaseLogTest, ARefusedChangeLeavesNoEntry) {
  const auto before = trust_->View()->log;
  RepositoryChange change;
  change.put["director/gateway/rollout/r1"] = "document";
  EXPECT_THAT(
      trust_->Apply(change,
                    [](Transaction&, const TrustRepository::Changed&,
                       const TrustView&) { return Unavailable("test", "no"); }),
      FailsBecause("test"));
  EXPECT_EQ(trust_->View()->log, before);
  Restart();
  EXPECT_EQ(trust_->View()->log, before);
  EXPECT_EQ(Leaves().size(), before.size);
}

TEST_F(ReleaseLogTest, CredentialsComeWithTheNextHead) {
  const uint64_t before = trust_->View()->log.size;
  records::v1::Credential credential;
  credential.set_body("body");
  {
    Transaction tx(*store_);
    ASSERT_OK(
        LogCredential(tx, "device", std::string(16, 'd'), 77, credential));
    ASSERT_OK(tx.Commit());
  }
  EXPECT_EQ(trust_->View()->log.size, before);
  ASSERT_OK_AND_ASSIGN(bool renewed, trust_->Renew(absl::Hours(1), nullptr));
  EXPECT_TRUE(renewed);
  EXPECT_EQ(trust_->View()->log.size, before + 1);
  EXPECT_TRUE(Has(signing::LogLeafKind::kCredential,
                  "device/64646464646464646464646464646464", 77));
  // The snapshot is the one before, where it was.
  EXPECT_EQ(Leaves()[trust_->View()->log.snapshot].name, "snapshot");
  ASSERT_OK_AND_ASSIGN(renewed, trust_->Renew(absl::Hours(1), nullptr));
  EXPECT_FALSE(renewed);
}

// What a reader gets that is further behind than the published proof reaches.
TEST_F(ReleaseLogTest, AProofFromAnySizeOnDemand) {
  const auto first = trust_->View()->log;
  for (int i = 0; i < 20; ++i) Put("r" + std::to_string(i));
  const auto head = trust_->View()->log;
  ASSERT_OK_AND_ASSIGN(const auto proof, trust_->LogProof(head, first.size));
  EXPECT_EQ(proof.first, signing::LogProofName(head.root));
  log::v1::LogProof parsed;
  ASSERT_TRUE(parsed.ParseFromString(proof.second));
  bool found = false;
  for (const auto& prefix : parsed.prefixes()) {
    if (prefix.size() != first.size) continue;
    found = true;
    ASSERT_OK_AND_ASSIGN(
        const std::string root,
        signing::RootOfPrefix(first.size, head.size, head.root,
                              {prefix.path().begin(), prefix.path().end()}));
    EXPECT_EQ(root, first.root);
  }
  EXPECT_TRUE(found);
}

// An answer is of one moment: its timestamp's head is proven even when the next
// head is committed before the proof is made.
TEST_F(ReleaseLogTest, TheHeadOfAnOlderViewIsProvenToo) {
  const auto first = trust_->View()->log;
  Put("r1");
  const auto view = trust_->View();
  Put("r2");
  ASSERT_NE(trust_->View()->log.size, view->log.size);
  ASSERT_OK_AND_ASSIGN(const auto proof,
                       trust_->LogProof(view->log, first.size));
  EXPECT_EQ(proof.first, signing::LogProofName(view->log.root));
  EXPECT_OK(signing::ParseLogProof(proof.second, view->log));
  log::v1::LogProof parsed;
  ASSERT_TRUE(parsed.ParseFromString(proof.second));
  ASSERT_EQ(parsed.size(), view->log.size);
  for (const auto& prefix : parsed.prefixes())
    EXPECT_LT(prefix.size(), view->log.size);
}

}  // namespace
}  // namespace shoal::server
