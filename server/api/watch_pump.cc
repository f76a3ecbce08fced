#include "server/api/watch_pump.h"

#include <algorithm>
#include <set>
#include <utility>

namespace shoal::server {
namespace {

// Also what follows from time alone (a device that counts as lost) is seen.
constexpr absl::Duration kTick = absl::Milliseconds(500);
// Between two rounds at least, and at least so many times what a round took.
constexpr absl::Duration kMinPause = absl::Milliseconds(20);
constexpr int kPauseFactor = 4;
constexpr absl::Duration kMaxPause = absl::Seconds(2);

}  // namespace

WatchPump::WatchPump(const Store& store)
    : store_(store), thread_([this] { Run(); }) {}

WatchPump::~WatchPump() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WatchPump::Add(std::shared_ptr<Watch> watch) {
  if (watch->LookAgain() == Watch::Look::kOver) return;
  std::lock_guard lock(mutex_);
  watches_.push_back(std::move(watch));
  changed_.notify_all();
}

void WatchPump::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_ && !store_.shut_down()) {
    if (watches_.empty()) {
      changed_.wait_for(lock, absl::ToChronoMilliseconds(kTick));
      continue;
    }
    const uint64_t revision = store_.revision();
    const auto round = watches_;
    lock.unlock();
    const absl::Duration begun = store_.clock().MonotonicNow();
    bool more = false;
    std::set<const Watch*> over;
    for (const auto& watch : round) {
      const Watch::Look look = watch->LookAgain();
      more |= look == Watch::Look::kMore;
      if (look == Watch::Look::kOver) over.insert(watch.get());
    }
    const absl::Duration took = store_.clock().MonotonicNow() - begun;
    lock.lock();
    std::erase_if(watches_, [&](const auto& watch) {
      return over.contains(watch.get());
    });
    const auto stop = [this] { return stopping_; };
    changed_.wait_for(lock,
                      absl::ToChronoMilliseconds(std::clamp(
                          kPauseFactor * took, kMinPause, kMaxPause)),
                      stop);
    if (more || stopping_) continue;
    lock.unlock();
    store_.WaitForChange(revision, kTick);
    lock.lock();
  }
  const auto rest = std::exchange(watches_, {});
  lock.unlock();
  for (const auto& watch : rest) watch->End();
}

}  // namespace shoal::server
