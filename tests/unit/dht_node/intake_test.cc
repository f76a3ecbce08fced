// One member's records must not keep the fleet's own word waiting (T43).
#include "dht/node/intake.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shoal::dht::node {
namespace {

using namespace records::v1;

VerifiedRecord Record(RecordKind kind, const std::string& writer,
                      const std::string& place, const std::string& payload) {
  VerifiedRecord record;
  record.body.set_kind(kind);
  record.body.set_place(place);
  record.body.set_payload(payload);
  record.writer.id = writer;
  return record;
}

std::vector<std::string> All(IntakeQueue& queue) {
  std::vector<std::string> payloads;
  while (auto record = queue.Pop()) payloads.push_back(record->body.payload());
  EXPECT_TRUE(queue.empty());
  return payloads;
}

TEST(IntakeQueue, T43_WhatDirectorsSayComesFirst) {
  IntakeQueue queue;
  for (int i = 0; i < 1000; ++i)
    queue.Push(
        Record(RECORD_KIND_LOG_WITNESS, "device", std::to_string(i), "junk"));
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_HEAD, "director", "head", "1")));
  EXPECT_TRUE(queue.Push(
      Record(RECORD_KIND_LOG_WITNESS, "other device", "p", "witness")));
  EXPECT_TRUE(
      queue.Push(Record(RECORD_KIND_NODE_DIRECTORY, "director", "d", "2")));
  const auto all = All(queue);
  ASSERT_EQ(all.size(), IntakeQueue::kMaxOfOneMember + 3);
  EXPECT_EQ(all[0], "1");
  EXPECT_EQ(all[1], "2");
  EXPECT_EQ(all.back(), "witness");
}

TEST(IntakeQueue, T43_OfOneWriterAtOnePlaceTheNewestWaits) {
  IntakeQueue queue;
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_PROVIDER, "a", "p", "old")));
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_PROVIDER, "b", "p", "of b")));
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_PROVIDER, "a", "p", "new")));
  EXPECT_EQ(All(queue), (std::vector<std::string>{"new", "of b"}));
  // Handled, it makes room for the next.
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_PROVIDER, "a", "p", "next")));
  EXPECT_EQ(All(queue), (std::vector<std::string>{"next"}));
}

TEST(IntakeQueue, T43_ManyMembersFillABoundedQueue) {
  IntakeQueue queue;
  size_t taken = 0;
  for (size_t i = 0; i < 2 * IntakeQueue::kMaxOfMembers; ++i)
    taken +=
        queue.Push(Record(RECORD_KIND_PROVIDER, std::to_string(i), "p", ""));
  EXPECT_EQ(taken, IntakeQueue::kMaxOfMembers);
  EXPECT_TRUE(queue.Push(Record(RECORD_KIND_HEAD, "director", "head", "1")));
  EXPECT_EQ(All(queue).front(), "1");
}

}  // namespace
}  // namespace shoal::dht::node
