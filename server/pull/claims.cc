#include "server/pull/claims.h"

namespace shoal::server {

bool Claims::Held::Claim(const std::string& digest) {
  {
    std::lock_guard lock(claims_.mutex_);
    if (!claims_.held_.insert(digest).second) return false;
  }
  digests_.push_back(digest);
  return true;
}

void Claims::Release(const std::vector<std::string>& digests) {
  if (digests.empty()) return;
  {
    std::lock_guard lock(mutex_);
    for (const std::string& digest : digests) held_.erase(digest);
  }
  released_.notify_all();
}

void Claims::Wait(const std::vector<std::string>& digests) {
  std::unique_lock lock(mutex_);
  for (const std::string& digest : digests)
    released_.wait(lock, [&] { return !held_.contains(digest); });
}

}  // namespace shoal::server
