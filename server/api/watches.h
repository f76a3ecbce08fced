// How many calls may stay open. Each holds one of the API's threads for as
// long as its caller likes, so one operator's forgotten (or hostile) watches
// must not keep the others from halting a rollout.
#ifndef SHOAL_SERVER_API_WATCHES_H_
#define SHOAL_SERVER_API_WATCHES_H_

#include <map>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"

namespace shoal::server {

// Thread-safe. Must outlive its slots.
class Watches {
 public:
  Watches(int per_operator, int in_all)
      : per_operator_(per_operator), in_all_(in_all) {}

  // One open call; its place is free again when this is destroyed.
  class Slot {
   public:
    Slot(Slot&& other) noexcept;
    Slot& operator=(Slot&&) = delete;
    ~Slot();

   private:
    friend class Watches;
    Slot(Watches* watches, std::string name);
    Watches* watches_;  // null: moved from
    std::string operator_;
  };

  // kResourceExhausted "too_many_watches" when `name` has all that one
  // operator may have, or all operators together have all there are.
  absl::StatusOr<Slot> Open(const std::string& name);

 private:
  const int per_operator_;
  const int in_all_;
  std::mutex mutex_;
  std::map<std::string, int> open_;
  int total_ = 0;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_WATCHES_H_
