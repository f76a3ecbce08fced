#include "server/pull/batcher.h"

#include <utility>

namespace shoal::server {

Batcher::Batcher(Take take, size_t max)
    : take_(std::move(take)), max_(max), thread_([this] { Run(); }) {}

Batcher::~Batcher() { Finish().IgnoreError(); }

bool Batcher::Add(std::string record, const dht::PullPosition& after) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock,
                [this] { return records_.size() < max_ || !status_.ok(); });
  if (!status_.ok()) return false;
  records_.push_back(std::move(record));
  after_ = after;
  changed_.notify_all();
  return true;
}

bool Batcher::ok() {
  std::lock_guard lock(mutex_);
  return status_.ok();
}

absl::Status Batcher::Finish() {
  {
    std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  return status_;
}

void Batcher::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finished_ || !records_.empty(); });
    if (records_.empty()) return;
    const std::vector<std::string> batch = std::exchange(records_, {});
    const dht::PullPosition after = after_;
    changed_.notify_all();
    lock.unlock();
    absl::Status taken = take_(batch, after);
    lock.lock();
    if (taken.ok()) continue;
    status_ = std::move(taken);
    changed_.notify_all();
    return;
  }
}

}  // namespace shoal::server
