#include "agent/link/record_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace shoal::agent {
namespace {

using records::v1::RECORD_KIND_ASSIGNMENT;
using records::v1::RECORD_KIND_HALT;
using records::v1::RECORD_KIND_HEAD;

dht::VerifiedRecord Record(records::v1::RecordKind kind,
                           const std::string& writer, uint64_t version) {
  dht::VerifiedRecord record;
  record.body.set_kind(kind);
  record.body.set_version(version);
  record.writer.public_key = writer;
  return record;
}

std::map<int, size_t> Counts(const std::vector<dht::VerifiedRecord>& records) {
  std::map<int, size_t> counts;
  for (const auto& record : records) ++counts[record.body.kind()];
  return counts;
}

TEST(RecordQueue, T28_T43_AFloodPushesOutNoHalt) {
  RecordQueue queue;
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_HALT, "alice", 1)));
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_ASSIGNMENT, "plane", 1)));
  // By keys that nobody knows, one each, and by one that everybody knows.
  for (uint64_t i = 1; i <= 2000; ++i) {
    queue.Push(Record(RECORD_KIND_HEAD, "key" + std::to_string(i), i));
    queue.Push(Record(RECORD_KIND_HEAD, "plane", i));
  }
  for (uint64_t i = 2; i <= 300; ++i)
    queue.Push(Record(RECORD_KIND_HALT, "alice", i));
  const auto taken = queue.Take();
  auto counts = Counts(taken);
  EXPECT_EQ(counts[RECORD_KIND_HALT], 300u);
  EXPECT_EQ(counts[RECORD_KIND_ASSIGNMENT], 1u);
  EXPECT_EQ(counts[RECORD_KIND_HEAD], RecordQueue::kMaxHeads);
  // A halt is looked at before anything that might begin an update.
  EXPECT_EQ(taken.front().body.kind(), RECORD_KIND_HALT);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.Take().empty());
}

TEST(RecordQueue, OfHeadsTheLastOfEachKeyStays) {
  RecordQueue queue;
  for (uint64_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(queue.Push(Record(RECORD_KIND_HEAD, "a", i)));
    EXPECT_TRUE(queue.Push(Record(RECORD_KIND_HEAD, "b", i)));
  }
  const auto taken = queue.Take();
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[0].body.version(), 3u);
  EXPECT_EQ(taken[1].body.version(), 3u);
}

TEST(RecordQueue, OfAllElseTheOldestGoesFirst) {
  RecordQueue queue;
  for (uint64_t i = 1; i <= RecordQueue::kMaxOthers; ++i)
    EXPECT_TRUE(queue.Push(Record(RECORD_KIND_ASSIGNMENT, "plane", i)));
  EXPECT_FALSE(queue.Push(Record(RECORD_KIND_ASSIGNMENT, "plane", 999)));
  const auto taken = queue.Take();
  ASSERT_EQ(taken.size(), RecordQueue::kMaxOthers);
  EXPECT_EQ(taken.front().body.version(), 2u);
  EXPECT_EQ(taken.back().body.version(), 999u);
}

}  // namespace
}  // namespace shoal::agent
