// How many calls of one kind are served at once. Each takes a thread or memory
// for as long as it lasts, so one operator's forgotten (or hostile) calls must
// not keep the others from halting a rollout.
#ifndef SHOAL_SERVER_API_CALLER_QUOTA_H_
#define SHOAL_SERVER_API_CALLER_QUOTA_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"

namespace shoal::server {

// Thread-safe. Must outlive its slots.
class CallerQuota {
 public:
  // `what`: "watches", "calls"; for messages and the reason "too_many_WHAT".
  CallerQuota(std::string what, int per_operator, int in_all)
      : what_(std::move(what)), per_operator_(per_operator), in_all_(in_all) {}

  // One open call; its place is free again when this is destroyed.
  class Slot {
   public:
    Slot(Slot&& other) noexcept;
    Slot& operator=(Slot&&) = delete;
    ~Slot();

   private:
    friend class CallerQuota;
    Slot(CallerQuota* quota, std::string name);
    CallerQuota* quota_;  // null: moved from
    std::string operator_;
  };

  // kResourceExhausted "too_many_…" when `name` has all that one operator may
  // have, or all operators together have all there are.
  absl::StatusOr<Slot> Open(const std::string& name);

 private:
  const std::string what_;
  const int per_operator_;
  const int in_all_;
  std::mutex mutex_;
  std::map<std::string, int> open_;
  int total_ = 0;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_CALLER_QUOTA_H_
