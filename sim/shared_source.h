// What the devices of one socket look up is looked up once for all of them:
// OpenDHT answers many gets at one place in one client slowly, and no real
// device shares its client. Each device still verifies all of it itself.
#ifndef SHOAL_SIM_SHARED_SOURCE_H_
#define SHOAL_SIM_SHARED_SOURCE_H_

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "signing/verify/fetcher.h"

namespace shoal::sim {

// Thread-safe; shared by the sources that Wrap() made.
class SharedSource : public std::enable_shared_from_this<SharedSource> {
 public:
  // `own` outlives the result.
  std::unique_ptr<signing::Fetcher> Wrap(signing::Fetcher& own);
  // A push came: the newest timestamp is looked up anew.
  void Forget();

 private:
  friend class WrappedSource;
  using Answer = absl::StatusOr<std::string>;
  // The answer that is kept under `key`, or that of `ask`, which is kept when
  // it is good; with `keep_none` also kNotFound, until the next push. One asks
  // at a time for each key, the others wait for it.
  Answer Get(const std::string& key, bool keep_none,
             const std::function<Answer()>& ask);

  struct Entry {
    std::mutex asking;
    std::optional<std::string> bytes;
    absl::Status none;
    int64_t generation = 0;
    absl::Duration asked = -absl::InfiniteDuration();  // monotonic
  };
  std::mutex mutex_;
  int64_t generation_ = 1;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::list<std::string> order_;  // oldest first
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_SHARED_SOURCE_H_
