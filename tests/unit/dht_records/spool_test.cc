#include "dht/records/spool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

#include "common/bytes.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;
using ::shoal::testing::TempDir;
using ::shoal::testing::WaitFor;
using testing::StartNodes;
using testing::TestFleet;
using namespace records::v1;

class SpoolTest : public ::testing::Test {
 protected:
  std::unique_ptr<Network> Client() {
    auto client = Network::Open(fleet_.Options());
    EXPECT_OK(client);
    return *std::move(client);
  }
  std::string Head(uint64_t version, absl::Duration life = absl::Hours(1)) {
    RecordFields fields = fleet_.Fields(
        RECORD_KIND_HEAD, fleet_.places.Head("gateway"), version, "x");
    fields.expires = absl::Now() + life;
    return SignRecord(fields, fleet_.director, fleet_.fleet_id);
  }
  SpoolOptions Options(Network* network) {
    SpoolOptions options;
    options.directory = dir_.File("spool");
    options.files = &RealFileSystem();
    options.clock = &SystemClock();
    options.network = network;
    options.patience = absl::Seconds(2);
    options.backoff = absl::Milliseconds(50);
    options.on_acknowledged = [this](const std::string&,
                                     const PutResult& result) {
      ++acknowledged_;
      if (result.under_replicated) ++under_replicated_;
    };
    options.on_expired = [this](const std::string&) { ++expired_; };
    return options;
  }
  size_t FilesLeft() {
    return RealFileSystem().List(dir_.File("spool"))->size();
  }

  TempDir dir_;
  TestFleet fleet_;
  std::atomic<int> acknowledged_{0};
  std::atomic<int> under_replicated_{0};
  std::atomic<int> expired_{0};
};

TEST_F(SpoolTest, ARecordLeavesTheSpoolWhenThreeNodesHaveIt) {
  auto nodes = StartNodes(fleet_, 3);
  auto client = Client();
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(client.get())));
  const std::string record = Head(1);
  ASSERT_OK(spool->Add(record));
  ASSERT_OK(spool->Add(record));
  ASSERT_OK(WaitFor("acknowledged", [&] { return acknowledged_ == 1; }));
  EXPECT_EQ(spool->size(), 0u);
  for (auto& node : nodes) EXPECT_TRUE(node->Has(RecordDigest(record)));
  EXPECT_EQ(under_replicated_, 0);
  EXPECT_EQ(FilesLeft(), 0u);
}

TEST_F(SpoolTest, T63_RecordsSurviveARestartWithoutANetwork) {
  const std::string record = Head(1);
  {
    auto nobody = Client();
    ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(nobody.get())));
    ASSERT_OK(spool->Add(record));
    ASSERT_OK(spool->Add(Head(2)));
    EXPECT_EQ(spool->pending(), 2u);
  }
  EXPECT_EQ(FilesLeft(), 2u);
  auto nodes = StartNodes(fleet_, 3);
  auto client = Client();
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(client.get())));
  // A record is gone before its callback has run.
  ASSERT_OK(WaitFor("acknowledged", [&] { return acknowledged_ == 2; }));
  EXPECT_EQ(spool->size(), 0u);
  EXPECT_TRUE(nodes[0]->Has(RecordDigest(record)));
}

TEST_F(SpoolTest, T63_UnderReplicatedIsAcknowledgedAndRepairedLater) {
  auto nodes = StartNodes(fleet_, 3);
  nodes[2]->Close();
  auto client = Client();
  auto spool = Spool::Open(Options(client.get()));
  ASSERT_OK(spool);
  ASSERT_OK((*spool)->Add(Head(1)));
  ASSERT_OK(WaitFor("acknowledged", [&] { return acknowledged_ == 1; }));
  EXPECT_EQ(under_replicated_, 1);
  EXPECT_EQ((*spool)->pending(), 0u);
  EXPECT_EQ((*spool)->size(), 1u);
  // Still known after a restart, and not announced twice.
  spool->reset();
  spool = Spool::Open(Options(client.get()));
  ASSERT_OK(spool);
  EXPECT_EQ((*spool)->pending(), 0u);
  EXPECT_EQ((*spool)->size(), 1u);
  ASSERT_OK(nodes[2]->Open());
  ASSERT_OK(WaitFor("repaired", [&] { return (*spool)->size() == 0; }));
  EXPECT_EQ(nodes[2]->stored(), 1u);
  EXPECT_EQ(acknowledged_, 1);
}

TEST_F(SpoolTest, ItIsBoundedAndRefusesJunk) {
  auto nobody = Client();
  SpoolOptions options = Options(nobody.get());
  options.max_records = 2;
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(std::move(options)));
  EXPECT_THAT(spool->Add("junk"), FailsBecause("bad_record"));
  const std::string first = Head(1);
  ASSERT_OK(spool->Add(first));
  ASSERT_OK(spool->Add(Head(2)));
  EXPECT_THAT(spool->Add(Head(3)), FailsBecause("spool_full"));
  EXPECT_TRUE(spool->Contains(RecordDigest(first)));
  ASSERT_OK(spool->Remove(RecordDigest(first)));
  EXPECT_FALSE(spool->Contains(RecordDigest(first)));
  ASSERT_OK(spool->Add(Head(3)));
}

TEST_F(SpoolTest, ExpiredRecordsAreGivenUp) {
  auto nobody = Client();
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(nobody.get())));
  ASSERT_OK(spool->Add(Head(1, absl::Seconds(1))));
  ASSERT_OK(WaitFor("gone", [&] { return spool->size() == 0; }));
  ASSERT_OK(WaitFor("told", [&] { return expired_ == 1; }));
  EXPECT_EQ(acknowledged_, 0);
}

TEST_F(SpoolTest, T61_DamagedFilesAreSetAside) {
  FileSystem& files = RealFileSystem();
  ASSERT_OK(files.MakeDirectories(dir_.File("spool"), 0700));
  const std::string name = dir_.File("spool/" + std::string(64, 'a') + ".rec");
  ASSERT_OK(files.WriteAtomic(name, "torn"));
  auto nobody = Client();
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(nobody.get())));
  EXPECT_EQ(spool->size(), 0u);
  EXPECT_TRUE(files.Exists(name + ".bad"));
  EXPECT_FALSE(files.Exists(name));
}

TEST_F(SpoolTest, RewritesWhatWaitsAndSurvivesARestart) {
  const std::string first = Head(1);
  const std::string second = Head(2);
  const std::string other = Head(7);
  {
    auto network = Client();  // no nodes: nothing is acknowledged
    ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(network.get())));
    ASSERT_OK(spool->Add(first));
    ASSERT_OK(spool->Add(second));
    ASSERT_OK_AND_ASSIGN(
        const int replaced,
        spool->Rewrite(
            [&](const std::string& record) -> std::optional<std::string> {
              if (record == first) return other;
              return std::nullopt;
            }));
    EXPECT_EQ(replaced, 1);
    EXPECT_FALSE(spool->Contains(RecordDigest(first)));
    EXPECT_TRUE(spool->Contains(RecordDigest(other)));
    EXPECT_EQ(spool->bytes(), second.size() + other.size());
  }
  auto network = Client();
  ASSERT_OK_AND_ASSIGN(auto spool, Spool::Open(Options(network.get())));
  EXPECT_EQ(spool->pending(), 2u);
  EXPECT_TRUE(spool->Contains(RecordDigest(other)));
  EXPECT_TRUE(spool->Contains(RecordDigest(second)));
}

}  // namespace
}  // namespace shoal::dht
