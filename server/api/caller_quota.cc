#include "server/api/caller_quota.h"

#include <fmt/format.h>

#include <utility>

#include "common/status.h"

namespace shoal::server {

CallerQuota::Slot::Slot(CallerQuota* quota, std::string name)
    : quota_(quota), operator_(std::move(name)) {}

CallerQuota::Slot::Slot(Slot&& other) noexcept
    : quota_(std::exchange(other.quota_, nullptr)),
      operator_(std::move(other.operator_)) {}

CallerQuota::Slot::~Slot() {
  if (quota_ == nullptr) return;
  std::lock_guard lock(quota_->mutex_);
  --quota_->total_;
  const auto it = quota_->open_.find(operator_);
  if (--it->second == 0) quota_->open_.erase(it);
}

absl::StatusOr<CallerQuota::Slot> CallerQuota::Open(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (total_ >= in_all_) {
    return ResourceExhausted(
        "too_many_" + what_,
        fmt::format("{} {} are open, all that the plane serves; close some or "
                    "try again later",
                    total_, what_));
  }
  int& own = open_[name];
  if (own >= per_operator_) {
    return ResourceExhausted(
        "too_many_" + what_,
        fmt::format("{} has {} {} open, all that one operator may have; close "
                    "some",
                    name, own, what_));
  }
  ++own;
  ++total_;
  return Slot(this, name);
}

}  // namespace shoal::server
