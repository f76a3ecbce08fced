#include "server/store/store.h"

#include <thread>

#include "server/fleet/telemetry.h"
#include "server/store/requests.h"
#include "server/store/state.pb.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    store_.reset();
    ASSERT_OK_AND_ASSIGN(auto kv, kv::Store::Open(dir_.File("store"), {}));
    ASSERT_OK_AND_ASSIGN(store_, Store::Open(std::move(kv), clock_));
  }
  store::DocumentRow Row(const std::string& content) {
    store::DocumentRow row;
    row.set_content(content);
    return row;
  }
  testing::TempDir dir_;
  testing::FakeClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ATransactionIsAllOrNothing) {
  {
    Transaction tx(*store_);
    tx.Put(kDocuments, "a", Row("1"));
    EXPECT_EQ(tx.Get<store::DocumentRow>(kDocuments, "a")->content(), "1");
  }
  EXPECT_FALSE(store_->Has(kDocuments, "a"));
  {
    Transaction tx(*store_);
    tx.Put(kDocuments, "a", Row("1"));
    tx.Put(kDocuments, "b", Row("2"));
    tx.Delete(kDocuments, "b");
    EXPECT_FALSE(tx.Has(kDocuments, "b"));
    ASSERT_OK(tx.Commit());
  }
  Reopen();
  ASSERT_OK_AND_ASSIGN(auto row,
                       store_->Get<store::DocumentRow>(kDocuments, "a"));
  EXPECT_EQ(row.content(), "1");
  EXPECT_THAT(store_->Get<store::DocumentRow>(kDocuments, "b"),
              Fails(absl::StatusCode::kNotFound, "not_found"));
}

TEST_F(StoreTest, SequencesNeverRepeatEvenAfterTheirRowsAreGone) {
  for (uint64_t expected : {1, 2}) {
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(uint64_t sequence, tx.NextSequence(kOutbox));
    EXPECT_EQ(sequence, expected);
    tx.Put(kOutbox, SequenceKey(sequence), store::OutboxRow());
    ASSERT_OK(tx.Commit());
  }
  {
    Transaction tx(*store_);
    tx.Delete(kOutbox, SequenceKey(2));
    ASSERT_OK(tx.Commit());
  }
  Reopen();
  Transaction tx(*store_);
  ASSERT_OK_AND_ASSIGN(uint64_t next, tx.NextSequence(kOutbox));
  EXPECT_EQ(next, 3u);
}

TEST_F(StoreTest, ScansStayInTheirTableAndResumeAfterAKey) {
  Transaction tx(*store_);
  for (const char* key : {"a", "ab", "b", "c"}) {
    tx.Put(kDocuments, key, Row(key));
  }
  tx.Put(kTuf, "b", store::MetadataFileRow());
  ASSERT_OK(tx.Commit());
  std::string seen;
  ASSERT_OK(store_->Scan<store::DocumentRow>(
      kDocuments, "", "a", [&](std::string_view key, const auto& row) {
        EXPECT_EQ(key, row.content());
        seen += std::string(key) + " ";
        return true;
      }));
  EXPECT_EQ(seen, "ab b c ");
}

TEST_F(StoreTest, AStoreOfALaterProgramIsRefused) {
  store_.reset();
  {
    ASSERT_OK_AND_ASSIGN(auto kv, kv::Store::Open(dir_.File("store"), {}));
    kv::WriteBatch batch;
    batch.Put(kv::kDefaultFamily, std::string("meta\0schema", 11),
              SequenceKey(kSchemaVersion + 1));
    ASSERT_OK(kv->Write(batch, true));
  }
  ASSERT_OK_AND_ASSIGN(auto kv, kv::Store::Open(dir_.File("store"), {}));
  EXPECT_THAT(Store::Open(std::move(kv), clock_),
              Fails(absl::StatusCode::kFailedPrecondition, "schema_too_new"));
}

TEST_F(StoreTest, WaitersWakeOnACommit) {
  const uint64_t seen = store_->revision();
  std::thread writer([&] {
    Transaction tx(*store_);
    tx.Put(kDocuments, "a", Row("1"));
    EXPECT_OK(tx.Commit());
  });
  EXPECT_NE(store_->WaitForChange(seen, absl::Seconds(20)), seen);
  writer.join();
}

TEST_F(StoreTest, ARequestIdGivesTheFirstAnswerAgain) {
  Transaction tx(*store_);
  store::DocumentRow answer;
  ASSERT_OK_AND_ASSIGN(bool again,
                       FindRequest(tx, "M", "ann", "id", Row("q"), answer));
  EXPECT_FALSE(again);
  RememberRequest(tx, "M", "ann", "id", Row("q"), Row("first"));
  ASSERT_OK_AND_ASSIGN(again,
                       FindRequest(tx, "M", "ann", "id", Row("q"), answer));
  EXPECT_TRUE(again);
  EXPECT_EQ(answer.content(), "first");
  EXPECT_THAT(FindRequest(tx, "M", "ann", "id", Row("other"), answer),
              FailsBecause("request_id_reused"));
  ASSERT_OK_AND_ASSIGN(again,
                       FindRequest(tx, "M", "bob", "id", Row("q"), answer));
  EXPECT_FALSE(again);
}

TEST(AddSequence, RangesJoinAndDuplicatesAreFound) {
  store::StreamRow row;
  for (const uint64_t sequence : {5, 1, 3, 2, 9}) {
    EXPECT_TRUE(AddSequence(row, sequence)) << sequence;
  }
  for (const uint64_t sequence : {5, 1, 3, 2, 9}) {
    EXPECT_FALSE(AddSequence(row, sequence)) << sequence;
  }
  EXPECT_EQ(row.batches(), 5u);
  ASSERT_EQ(row.arrived_size(), 3);
  EXPECT_EQ(row.arrived(0).from(), 1u);
  EXPECT_EQ(row.arrived(0).to(), 3u);
  EXPECT_TRUE(AddSequence(row, 4));
  ASSERT_EQ(row.arrived_size(), 2);
  EXPECT_EQ(row.arrived(0).to(), 5u);
  EXPECT_EQ(row.arrived(1).from(), 9u);
}

}  // namespace
}  // namespace shoal::server
