#include "server/pull/claims.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace shoal::server {
namespace {

TEST(Claims, OneHoldsAndTheOthersWait) {
  Claims claims;
  auto held = std::make_unique<Claims::Held>(claims);
  EXPECT_TRUE(held->Claim("a"));
  EXPECT_FALSE(held->Claim("a"));
  std::atomic<bool> released{false};
  std::latch asked(1);
  std::thread other([&] {
    {
      Claims::Held mine(claims);
      EXPECT_FALSE(mine.Claim("a"));
      EXPECT_TRUE(mine.Claim("b"));
    }
    asked.count_down();
    claims.Wait({"a", "b", "c"});
    EXPECT_TRUE(released);
    Claims::Held mine(claims);
    EXPECT_TRUE(mine.Claim("a"));
  });
  asked.wait();
  released = true;
  held.reset();
  other.join();
}

// As readers do: everybody has the same to do, and what somebody else has is
// waited for.
TEST(Claims, ManyShareTheWorkAndNobodyGoesOnBeforeAllIsDone) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 200;
  Claims claims;
  std::vector<std::string> work;
  for (int i = 0; i < 20; ++i) work.push_back("w" + std::to_string(i));
  std::mutex mutex;
  std::map<std::string, int> done;
  std::latch together(kThreads);
  std::vector<std::thread> threads;
  const auto is_done = [&](const std::string& one) {
    std::lock_guard lock(mutex);
    return done.contains(one);
  };
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      together.arrive_and_wait();
      for (int round = 0; round < kRounds; ++round) {
        std::vector<std::string> others;
        {
          Claims::Held held(claims);
          for (const std::string& one : work) {
            const std::string name = std::to_string(round) + one;
            if (!held.Claim(name)) {
              others.push_back(name);
              continue;
            }
            if (is_done(name)) continue;
            std::lock_guard lock(mutex);
            ++done[name];
          }
        }
        claims.Wait(others);
        for (const std::string& one : others) EXPECT_TRUE(is_done(one));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done.size(), work.size() * kRounds);
  for (const auto& [name, times] : done) EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace shoal::server
