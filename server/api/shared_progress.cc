#include "server/api/shared_progress.h"

#include <utility>

namespace shoal::server {
namespace {

constexpr absl::Duration kGoodFor = absl::Milliseconds(500);
constexpr size_t kMostRollouts = 64;

}  // namespace

absl::StatusOr<std::shared_ptr<const SharedProgress::Progress>>
SharedProgress::Of(const std::string& name) {
  std::lock_guard lock(mutex_);
  const absl::Duration now = store_.clock().MonotonicNow();
  // Before it is read: what changes meanwhile is read next time.
  const uint64_t revision = store_.revision();
  if (const auto it = known_.find(name); it != known_.end() &&
                                         it->second.revision == revision &&
                                         now < it->second.until)
    return it->second.progress;
  auto progress = std::make_shared<Progress>();
  SHOAL_ASSIGN_OR_RETURN(progress->rollout, rollouts_.Progress(name));
  progress->bytes = progress->rollout.SerializeAsString();
  if (known_.size() >= kMostRollouts && !known_.contains(name)) known_.clear();
  Known& known = known_[name];
  known.revision = revision;
  known.until = now + kGoodFor;
  if (known.progress == nullptr || known.progress->bytes != progress->bytes)
    known.progress = std::move(progress);
  return known.progress;
}

}  // namespace shoal::server
