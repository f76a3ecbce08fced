// What is said or done once for each thing, however often it comes, in bounded
// memory.
#ifndef SHOAL_COMMON_ONCE_EACH_H_
#define SHOAL_COMMON_ONCE_EACH_H_

#include <cstddef>
#include <set>
#include <string>
#include <utility>

namespace shoal {

// Not thread-safe.
class OnceEach {
 public:
  // Once `max` things are known all are forgotten, and come once more.
  explicit OnceEach(size_t max) : max_(max) {}

  // Whether it had not come yet.
  bool First(std::string thing) {
    if (seen_.contains(thing)) return false;
    if (seen_.size() >= max_) seen_.clear();
    seen_.insert(std::move(thing));
    return true;
  }
  bool Knows(const std::string& thing) const { return seen_.contains(thing); }
  void Forget() { seen_.clear(); }

 private:
  const size_t max_;
  std::set<std::string> seen_;
};

}  // namespace shoal

#endif  // SHOAL_COMMON_ONCE_EACH_H_
