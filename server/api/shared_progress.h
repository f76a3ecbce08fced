// The progress of rollouts for the many who watch the same one: computed once
// for each change and not once for each of them.
#ifndef SHOAL_SERVER_API_SHARED_PROGRESS_H_
#define SHOAL_SERVER_API_SHARED_PROGRESS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/rollout/rollouts.h"
#include "server/store/store.h"

namespace shoal::server {

// Thread-safe.
class SharedProgress {
 public:
  SharedProgress(const Store& store, const Rollouts& rollouts)
      : store_(store), rollouts_(rollouts) {}

  struct Progress {
    rollout::v1::Rollout rollout;
    std::string bytes;  // of it
  };
  // Rollouts::Progress. The same object as long as nothing of it changes.
  absl::StatusOr<std::shared_ptr<const Progress>> Of(const std::string& name);

 private:
  struct Known {
    uint64_t revision = 0;  // of the store
    absl::Duration until;   // monotonic: time alone changes it too
    std::shared_ptr<const Progress> progress;
  };
  const Store& store_;
  const Rollouts& rollouts_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // by name
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_API_SHARED_PROGRESS_H_
