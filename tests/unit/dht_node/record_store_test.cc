#include "dht/node/record_store.h"

#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include "tests/unit/dht_node/record_store_fixture.h"

namespace shoal::dht::node {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_OUTCOME;
using records::v1::RECORD_KIND_TELEMETRY;
using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::testing::ElementsAre;

TEST_F(RecordStoreTest, ReadsInOrderOfArrivalByKindAndFromACursor) {
  Open();
  const auto first = Make(RECORD_KIND_TELEMETRY, "t", 1);
  const auto second = Make(RECORD_KIND_OUTCOME, "o", 1);
  const auto third = Make(RECORD_KIND_TELEMETRY, "t", 2);
  for (const auto& record : {first, second, third}) {
    ASSERT_OK(store_->AddBlocking(record, Source::kNetwork));
  }
  EXPECT_THAT(ReadAll(0, {}),
              ElementsAre(first.bytes, second.bytes, third.bytes));
  EXPECT_THAT(ReadAll(0, {RECORD_KIND_TELEMETRY}),
              ElementsAre(first.bytes, third.bytes));
  EXPECT_THAT(ReadAll(2, {}), ElementsAre(third.bytes));
  std::vector<RecordStore::Entry> none;
  ASSERT_OK_AND_ASSIGN(const uint64_t cursor, store_->Read(3, {}, 10, &none));
  EXPECT_EQ(cursor, 3u);
}

TEST_F(RecordStoreTest, TheSameRecordTwiceIsKeptOnce) {
  Open();
  const auto record = Make(RECORD_KIND_TELEMETRY, "t", 1);
  ASSERT_OK(store_->AddBlocking(record, Source::kNetwork));
  ASSERT_OK(store_->AddBlocking(record, Source::kRepair));
  EXPECT_EQ(store_->Stats().records, 1u);
  EXPECT_EQ(ReadAll(0, {}).size(), 1u);
}

TEST_F(RecordStoreTest, SurvivesReopeningWithIdentitySequenceAndUsage) {
  RecordStoreOptions options;
  options.device.records = 2;
  Open(options);
  const std::string id = store_->store_id();
  ASSERT_OK(store_->AddBlocking(
      Make(RECORD_KIND_TELEMETRY, "t", 1, "a", absl::Seconds(10)),
      Source::kNetwork));
  ASSERT_OK(store_->AddBlocking(
      Make(RECORD_KIND_TELEMETRY, "t", 2, "a", absl::Seconds(10)),
      Source::kNetwork));
  Open(options);
  EXPECT_EQ(store_->store_id(), id);
  EXPECT_THAT(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 3),
                                  Source::kNetwork),
              FailsBecause("quota_exceeded"));
  // The newest is gone, and its number is still not given again.
  clock_.Advance(absl::Seconds(11));
  ASSERT_OK_AND_ASSIGN(const uint64_t swept, store_->Sweep());
  EXPECT_EQ(swept, 2u);
  Open(options);
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 4),
                                Source::kNetwork));
  EXPECT_EQ(store_->Stats().last_sequence, 3u);
}

TEST_F(RecordStoreTest, T41_WhatAFormerWriterLeftHidesNothing) {
  Open();
  const auto honest = Make(records::v1::RECORD_KIND_METADATA, "m", 1, "honest");
  ASSERT_OK(store_->AddBlocking(honest, Source::kNetwork));
  // By many at once, and by one without end: on either side of the honest key.
  for (uint64_t i = 0; i < 300; ++i) {
    for (const char* writer : {"former", "another", "third"})
      ASSERT_OK(store_->AddBlocking(Make(records::v1::RECORD_KIND_METADATA, "m",
                                         ~uint64_t{0} - i, writer),
                                    Source::kNetwork));
  }
  for (int i = 0; i < 20; ++i)
    ASSERT_OK(store_->AddBlocking(Make(records::v1::RECORD_KIND_METADATA, "m",
                                       ~uint64_t{0}, "w" + std::to_string(i)),
                                  Source::kNetwork));
  int asked = 0;
  const auto good = [&](const std::string& bytes) {
    ++asked;
    return bytes == honest.bytes;
  };
  EXPECT_THAT(
      *store_->AtPlace(Place("m"), records::v1::RECORD_KIND_METADATA, 1, good),
      ElementsAre(honest.bytes));
  EXPECT_EQ(asked, 3 * 64 + 20 + 1);
  EXPECT_THAT(*store_->AtPlace(Place("m"), records::v1::RECORD_KIND_METADATA,
                               256, good),
              ElementsAre(honest.bytes));
}

TEST_F(RecordStoreTest, T43_AWriterOverItsQuotaIsRefusedAndOthersAreNot) {
  RecordStoreOptions options;
  options.device = {3, 1 << 20};
  Open(options);
  for (uint64_t i = 1; i <= 3; ++i) {
    ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", i, "flood"),
                                  Source::kNetwork));
  }
  const auto more = Make(RECORD_KIND_TELEMETRY, "t", 4, "flood");
  EXPECT_THAT(store_->MayAdd(more), FailsBecause("quota_exceeded"));
  EXPECT_THAT(store_->AddBlocking(more, Source::kNetwork),
              Fails(absl::StatusCode::kResourceExhausted, "quota_exceeded"));
  EXPECT_FALSE(store_->Has(more.digest));
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 1, "good"),
                                Source::kNetwork));
  // What another node had accepted is not lost to a race of the counts.
  ASSERT_OK(store_->AddBlocking(more, Source::kRepair));
  EXPECT_EQ(store_->Stats().refused, 1u);
}

TEST_F(RecordStoreTest, T43_BytesCountTooAndSoDoesTheWholeStore) {
  RecordStoreOptions options;
  const uint64_t size = Make(RECORD_KIND_TELEMETRY, "t", 1).bytes.size();
  options.device = {1000, 2 * size + size / 2};
  options.max_bytes = 4 * size + size / 2;
  Open(options);
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 1, "a"),
                                Source::kNetwork));
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 2, "a"),
                                Source::kNetwork));
  EXPECT_THAT(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 3, "a"),
                                  Source::kNetwork),
              FailsBecause("quota_exceeded"));
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 1, "b"),
                                Source::kNetwork));
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 2, "b"),
                                Source::kNetwork));
  EXPECT_THAT(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 1, "c"),
                                  Source::kNetwork),
              FailsBecause("store_full"));
}

TEST_F(RecordStoreTest, T43_NothingIsKeptLongerThanItsKindMayLive) {
  Open();
  const absl::Duration centuries = absl::Hours(24 * 365 * 300);
  const auto endless = Make(RECORD_KIND_TELEMETRY, "t", 1, "flood", centuries);
  clock_.SetWall(clock_.WallNow() + centuries / 2);
  const auto future = Make(RECORD_KIND_TELEMETRY, "t", 2, "flood", centuries);
  clock_.SetWall(clock_.WallNow() - centuries / 2);
  ASSERT_OK(store_->AddBlocking(endless, Source::kNetwork));
  ASSERT_OK(store_->AddBlocking(future, Source::kNetwork));
  const absl::Duration longest = MaxLifetime(RECORD_KIND_TELEMETRY);
  std::promise<absl::StatusOr<absl::Time>> until;
  store_->Confirm(endless.digest, [&](auto time) { until.set_value(time); });
  ASSERT_OK_AND_ASSIGN(const absl::Time kept, until.get_future().get());
  EXPECT_EQ(kept, clock_.WallNow() + longest);
  clock_.Advance(longest + absl::Seconds(1));
  EXPECT_FALSE(store_->Has(endless.digest));
  ASSERT_OK_AND_ASSIGN(const uint64_t swept, store_->Sweep());
  EXPECT_EQ(swept, 2u);
  // Nor does one node get it from another again.
  EXPECT_THAT(store_->AddBlocking(endless, Source::kRepair),
              FailsBecause("expired_record"));
  EXPECT_THAT(store_->AddBlocking(future, Source::kRepair),
              FailsBecause("future_record"));
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", 3),
                                Source::kRepair));
}

TEST_F(RecordStoreTest, OnlyTheNewestVersionStaysWhereOnlyItCounts) {
  Open();
  const auto old = Make(RECORD_KIND_ASSIGNMENT, "d", 1);
  const auto current = Make(RECORD_KIND_ASSIGNMENT, "d", 2);
  const auto other = Make(RECORD_KIND_ASSIGNMENT, "d", 1, "b");
  for (const auto& record : {old, current, other}) {
    ASSERT_OK(store_->AddBlocking(record, Source::kNetwork));
  }
  EXPECT_TRUE(store_->Has(old.digest));  // within the grace time
  EXPECT_THAT(store_->AddBlocking(
                  Make(RECORD_KIND_ASSIGNMENT, "d", 1, "a", absl::Hours(2)),
                  Source::kRepair),
              FailsBecause("superseded"));
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK_AND_ASSIGN(const uint64_t swept, store_->Sweep());
  EXPECT_EQ(swept, 1u);
  EXPECT_FALSE(store_->Has(old.digest));
  EXPECT_TRUE(store_->Has(current.digest));
  EXPECT_TRUE(store_->Has(other.digest));
  // One that comes late goes again.
  ASSERT_OK(store_->AddBlocking(old, Source::kNetwork));
  clock_.Advance(absl::Minutes(11));
  ASSERT_OK(store_->Sweep());
  EXPECT_FALSE(store_->Has(old.digest));
  ASSERT_OK_AND_ASSIGN(const auto at,
                       store_->AtPlace(Place("d"), RECORD_KIND_ASSIGNMENT));
  EXPECT_THAT(at, ElementsAre(current.bytes, other.bytes));
}

TEST_F(RecordStoreTest, StreamsKeepEveryVersion) {
  Open();
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_TELEMETRY, "t", i),
                                  Source::kNetwork));
  }
  clock_.Advance(absl::Minutes(30));
  ASSERT_OK_AND_ASSIGN(const uint64_t swept, store_->Sweep());
  EXPECT_EQ(swept, 0u);
  EXPECT_EQ(ReadAll(0, {}).size(), 5u);
}

TEST_F(RecordStoreTest, AnExpiredRecordIsNeitherTakenNorShown) {
  Open();
  const auto record =
      Make(RECORD_KIND_TELEMETRY, "t", 1, "a", absl::Seconds(5));
  ASSERT_OK(store_->AddBlocking(record, Source::kNetwork));
  clock_.Advance(absl::Seconds(5));
  EXPECT_FALSE(store_->Has(record.digest));
  EXPECT_TRUE(ReadAll(0, {}).empty());
  EXPECT_THAT(store_->AddBlocking(record, Source::kNetwork),
              FailsBecause("expired_record"));
}

TEST_F(RecordStoreTest, ConfirmAnswersAfterWhatWasAddedBefore) {
  Open();
  const auto record = Make(RECORD_KIND_TELEMETRY, "t", 1);
  std::mutex mutex;
  std::condition_variable answered;
  std::vector<absl::StatusOr<absl::Time>> answers;
  const auto reply = [&](absl::StatusOr<absl::Time> answer) {
    std::lock_guard lock(mutex);
    answers.push_back(std::move(answer));
    answered.notify_all();
  };
  store_->Confirm(record.digest, reply);
  store_->Add(record, Source::kNetwork, nullptr);
  store_->Confirm(record.digest, reply);
  std::unique_lock lock(mutex);
  answered.wait(lock, [&] { return answers.size() == 2; });
  // The first may share the batch with the record: both answers are true.
  if (!answers[0].ok()) {
    EXPECT_THAT(answers[0], Fails(absl::StatusCode::kNotFound, "not_stored"));
  }
  ASSERT_OK(answers[1]);
  EXPECT_EQ(absl::ToUnixSeconds(*answers[1]), record.body.expires());
}

TEST_F(RecordStoreTest, ManyRecordsShareOneSync) {
  Open();
  std::atomic<int> done{0};
  std::mutex mutex;
  std::condition_variable all;
  constexpr int kRecords = 2000;
  for (uint64_t i = 1; i <= kRecords; ++i) {
    store_->Add(Make(RECORD_KIND_TELEMETRY, "t", i), Source::kNetwork,
                [&](absl::Status status) {
                  EXPECT_OK(status);
                  std::lock_guard lock(mutex);
                  if (++done == kRecords) all.notify_all();
                });
  }
  std::unique_lock lock(mutex);
  all.wait(lock, [&] { return done == kRecords; });
  EXPECT_EQ(store_->Stats().records, static_cast<uint64_t>(kRecords));
  EXPECT_LT(store_->Stats().commits, static_cast<uint64_t>(kRecords / 4));
}

TEST_F(RecordStoreTest, RemembersCredentialsAndPeerCursors) {
  Open();
  records::v1::Credential credential;
  credential.set_body("b");
  ASSERT_OK(store_->PutCredential("digest", credential));
  ASSERT_OK(store_->PutPeerCursor("node", {"store", 7}));
  Open();
  ASSERT_OK_AND_ASSIGN(const auto found, store_->GetCredential("digest"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->body(), "b");
  ASSERT_OK_AND_ASSIGN(auto cursor, store_->GetPeerCursor("node"));
  EXPECT_EQ(cursor.cursor, 7u);
  EXPECT_EQ(cursor.store_id, "store");
  ASSERT_OK(store_->ForgetPeerCursors());
  ASSERT_OK_AND_ASSIGN(cursor, store_->GetPeerCursor("node"));
  EXPECT_EQ(cursor.cursor, 0u);
}

}  // namespace
}  // namespace shoal::dht::node
