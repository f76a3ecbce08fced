#include "sim/scheduler.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <future>

namespace shoal::sim {
namespace {

TEST(Scheduler, EveryItemComesAtOnceAndNobodyTwiceAtATime) {
  constexpr size_t kItems = 200;
  std::array<std::atomic<int>, kItems> running{};
  std::array<std::atomic<int>, kItems> rounds{};
  std::atomic<bool> overlap{false};
  std::atomic<size_t> done{0};
  std::promise<void> all;
  {
    Scheduler scheduler(kItems, 8, [&](size_t item) {
      if (++running[item] != 1) overlap = true;
      const int round = ++rounds[item];
      --running[item];
      if (round == 3 && ++done == kItems) all.set_value();
      return round < 3 ? absl::ZeroDuration() : absl::InfiniteDuration();
    });
    all.get_future().wait();
  }
  EXPECT_FALSE(overlap);
  for (const auto& round : rounds) EXPECT_EQ(round, 3);
}

TEST(Scheduler, WhoeverIsWokenComesBeforeItsTime) {
  std::promise<void> first;
  std::promise<void> second;
  std::atomic<int> rounds{0};
  Scheduler scheduler(1, 2, [&](size_t) {
    if (++rounds == 1) first.set_value();
    if (rounds == 2) second.set_value();
    return absl::InfiniteDuration();
  });
  first.get_future().wait();
  scheduler.Wake(0);
  second.get_future().wait();
}

TEST(Scheduler, WhoeverIsWokenAtWorkComesAgain) {
  std::promise<void> again;
  std::atomic<int> rounds{0};
  std::promise<Scheduler*> self;
  auto me = self.get_future().share();
  Scheduler scheduler(1, 2, [&](size_t) {
    if (++rounds == 1) me.get()->Wake(0);  // as by a record that comes now
    if (rounds == 2) again.set_value();
    return absl::InfiniteDuration();
  });
  self.set_value(&scheduler);
  again.get_future().wait();
}

}  // namespace
}  // namespace shoal::sim
