#include "dht/node/intake.h"

#include <chrono>
#include <optional>
#include <utility>

namespace shoal::dht::node {

namespace {

bool OfMembers(records::v1::RecordKind kind) {
  return kind == records::v1::RECORD_KIND_LOG_WITNESS ||
         kind == records::v1::RECORD_KIND_PROVIDER;
}

}  // namespace

bool IntakeQueue::Push(VerifiedRecord record) {
  if (!OfMembers(record.body.kind())) {
    if (directors_.size() >= kMaxOfDirectors) return false;
    directors_.push_back(std::move(record));
    return true;
  }
  Key key{record.writer.id, record.body.place()};
  if (const auto before = members_.find(key); before != members_.end()) {
    before->second = std::move(record);  // in its place: the newer word
    return true;
  }
  size_t& of_writer = by_writer_[record.writer.id];
  if (of_writer >= kMaxOfOneMember || members_.size() >= kMaxOfMembers) {
    if (of_writer == 0) by_writer_.erase(record.writer.id);
    return false;
  }
  ++of_writer;
  order_.push_back(key);
  members_.emplace(std::move(key), std::move(record));
  return true;
}

std::optional<VerifiedRecord> IntakeQueue::Pop() {
  std::optional<VerifiedRecord> record;
  if (!directors_.empty()) {
    record = std::move(directors_.front());
    directors_.pop_front();
  } else if (!order_.empty()) {
    const auto it = members_.find(order_.front());
    record = std::move(it->second);
    const auto writer = by_writer_.find(it->first.first);
    if (--writer->second == 0) by_writer_.erase(writer);
    members_.erase(it);
    order_.pop_front();
  }
  return record;
}

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
  if (!queue_.Push(std::move(record))) return;
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
      record = queue_.Pop();
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
