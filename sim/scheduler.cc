#include "sim/scheduler.h"

#include <algorithm>

#include "common/clock.h"

namespace shoal::sim {
namespace {

absl::Duration Now() { return SystemClock().MonotonicNow(); }

}  // namespace

Scheduler::Scheduler(size_t items, int threads, Work work)
    : work_(std::move(work)), items_(items) {
  const absl::Duration now = Now();
  for (size_t i = 0; i < items; ++i) {
    items_[i].due = now;
    queue_.emplace(now, i);
  }
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

Scheduler::~Scheduler() { Stop(); }

void Scheduler::Wake(size_t item) {
  {
    std::lock_guard lock(mutex_);
    Item& one = items_[item];
    if (one.running) {
      one.woken = true;
      return;
    }
    const absl::Duration now = Now();
    if (one.due <= now) return;
    queue_.erase({one.due, item});
    one.due = now;
    queue_.emplace(now, item);
  }
  clock_.notify_one();
}

void Scheduler::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  clock_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable()) thread.join();
}

size_t Scheduler::Late() const {
  std::lock_guard lock(mutex_);
  const absl::Duration now = Now();
  size_t late = 0;
  for (const auto& [due, item] : queue_) {
    if (due > now) break;
    ++late;
  }
  return late;
}

void Scheduler::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const absl::Duration now = Now();
    if (queue_.empty() || queue_.begin()->first > now) {
      absl::Duration rest = absl::Seconds(1);
      if (!queue_.empty()) rest = std::min(rest, queue_.begin()->first - now);
      // One thread watches the clock; the others wait for it to call.
      if (watched_) {
        wake_.wait(lock);
        continue;
      }
      watched_ = true;
      clock_.wait_for(lock, absl::ToChronoMicroseconds(rest));
      watched_ = false;
      continue;
    }
    const size_t index = queue_.begin()->second;
    queue_.erase(queue_.begin());
    Item& item = items_[index];
    item.running = true;
    item.woken = false;
    // Somebody else watches meanwhile.
    if (!watched_) wake_.notify_one();
    lock.unlock();
    const absl::Duration pause = work_(index);
    lock.lock();
    item.running = false;
    item.due = item.woken ? Now() : Now() + pause;
    queue_.emplace(item.due, index);
    // Perhaps sooner than what the clock is watched for.
    if (watched_ && queue_.begin()->second == index) clock_.notify_one();
  }
}

}  // namespace shoal::sim
