#include "dht/node/intake.h"

#include <chrono>
#include <optional>
#include <utility>

namespace shoal::dht::node {

Intake::Intake(std::function<void(const VerifiedRecord&)> handle,
               std::function<void()> idle)
    : handle_(std::move(handle)), idle_(std::move(idle)) {}

void Intake::Start() {
  thread_ = std::thread([this] { Run(); });
}

Intake::~Intake() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool Intake::Wants(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_HEAD ||
         kind == records::v1::RECORD_KIND_METADATA ||
         kind == records::v1::RECORD_KIND_NODE_DIRECTORY ||
         kind == records::v1::RECORD_KIND_LOG_WITNESS ||
         kind == records::v1::RECORD_KIND_NODE_KEYS ||
         kind == records::v1::RECORD_KIND_PROVIDER;
}

void Intake::Push(VerifiedRecord record) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  queue_.push_back(std::move(record));
  wake_.notify_one();
}

void Intake::Run() {
  auto next_idle = std::chrono::steady_clock::now();
  while (true) {
    std::optional<VerifiedRecord> record;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, next_idle,
                       [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      if (!queue_.empty()) {
        record = std::move(queue_.front());
        queue_.pop_front();
      }
    }
    if (record.has_value()) handle_(*record);
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_idle) {
      idle_();
      next_idle = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    }
  }
}

}  // namespace shoal::dht::node
