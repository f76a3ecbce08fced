#include "server/api/watches.h"

#include <fmt/format.h>

#include <utility>

#include "common/status.h"

namespace shoal::server {

Watches::Slot::Slot(Watches* watches, std::string name)
    : watches_(watches), operator_(std::move(name)) {}

Watches::Slot::Slot(Slot&& other) noexcept
    : watches_(std::exchange(other.watches_, nullptr)),
      operator_(std::move(other.operator_)) {}

Watches::Slot::~Slot() {
  if (watches_ == nullptr) return;
  std::lock_guard lock(watches_->mutex_);
  --watches_->total_;
  const auto it = watches_->open_.find(operator_);
  if (--it->second == 0) watches_->open_.erase(it);
}

absl::StatusOr<Watches::Slot> Watches::Open(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (total_ >= in_all_) {
    return ResourceExhausted(
        "too_many_watches",
        fmt::format("{} watches are open, all that the plane serves; close "
                    "some or try again later",
                    total_));
  }
  int& own = open_[name];
  if (own >= per_operator_) {
    return ResourceExhausted(
        "too_many_watches",
        fmt::format("{} has {} watches open, all that one operator may have; "
                    "close some",
                    name, own));
  }
  ++own;
  ++total_;
  return Slot(this, name);
}

}  // namespace shoal::server
