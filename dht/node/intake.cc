#include "dht/node/intake.h"

#include <chrono>
#include <utility>

namespace shoal::dht::node {

Intake::Intake(std::function<void(const VerifiedRecord&, bool)> handle,
               std::function<void()> idle)
    : handle_(std::move(handle)),
      idle_(std::move(idle)),
      thread_([this] { Run(); }) {}

Intake::~Intake() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool Intake::Wants(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_HEAD ||
         kind == records::v1::RECORD_KIND_METADATA ||
         kind == records::v1::RECORD_KIND_NODE_DIRECTORY ||
         kind == records::v1::RECORD_KIND_PROVIDER;
}

void Intake::Push(VerifiedRecord record, bool repaired) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  queue_.emplace_back(std::move(record), repaired);
  wake_.notify_one();
}

void Intake::Run() {
  auto next_idle = std::chrono::steady_clock::now();
  while (true) {
    std::pair<VerifiedRecord, bool> item;
    bool have = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, next_idle,
                       [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      if (!queue_.empty()) {
        item = std::move(queue_.front());
        queue_.pop_front();
        have = true;
      }
    }
    if (have) handle_(item.first, item.second);
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_idle) {
      idle_();
      next_idle = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    }
  }
}

}  // namespace shoal::dht::node
