#include "server/pull/batcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>

#include "common/status.h"

namespace shoal::server {
namespace {

dht::PullPosition At(uint64_t cursor) {
  dht::PullPosition position;
  position.cursor = cursor;
  return position;
}

TEST(Batcher, WhatComesWhileTheDiskIsBusyIsOneBatch) {
  std::promise<void> begun;
  std::promise<void> go_on;
  auto may_go_on = go_on.get_future().share();
  std::vector<std::pair<size_t, uint64_t>> batches;
  Batcher batcher(
      [&](const std::vector<std::string>& records,
          const dht::PullPosition& after) {
        batches.emplace_back(records.size(), after.cursor);
        if (batches.size() == 1) begun.set_value();
        may_go_on.wait();
        return absl::OkStatus();
      },
      100);
  ASSERT_TRUE(batcher.Add("0", At(1)));
  begun.get_future().wait();
  for (uint64_t i = 1; i <= 50; ++i) ASSERT_TRUE(batcher.Add("r", At(1 + i)));
  go_on.set_value();
  EXPECT_TRUE(batcher.Finish().ok());
  EXPECT_EQ(batches,
            (std::vector<std::pair<size_t, uint64_t>>{{1, 1}, {50, 51}}));
}

TEST(Batcher, AFullBatchHoldsTheStreamBack) {
  std::atomic<size_t> taken{0};
  size_t largest = 0;
  Batcher batcher(
      [&](const std::vector<std::string>& records, const dht::PullPosition&) {
        largest = std::max(largest, records.size());
        taken += records.size();
        return absl::OkStatus();
      },
      4);
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(batcher.Add("r", At(i)));
  EXPECT_TRUE(batcher.Finish().ok());
  EXPECT_EQ(taken, 1000u);
  EXPECT_LE(largest, 4u);
}

TEST(Batcher, AfterAnErrorNothingIsTaken) {
  int calls = 0;
  Batcher batcher(
      [&](const std::vector<std::string>&, const dht::PullPosition&) {
        ++calls;
        return ResourceExhausted("disk_full", "no room");
      },
      1);
  // The batch behind the bad one is not taken either, nor the stream held.
  bool accepted = true;
  for (int i = 0; i < 10 && accepted; ++i) accepted = batcher.Add("r", At(1));
  EXPECT_FALSE(accepted);
  EXPECT_FALSE(batcher.ok());
  EXPECT_EQ(ReasonOf(batcher.Finish()), "disk_full");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace shoal::server
