// For mirror.cc (fetching and serving) and mirror_files.cc (blobs on disk).
#ifndef SHOAL_DHT_NODE_MIRROR_IMPL_H_
#define SHOAL_DHT_NODE_MIRROR_IMPL_H_

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "dht/node/mirror.h"

namespace shoal::dht::node {

inline constexpr absl::Duration kRetryFirst = absl::Seconds(1);

// Shared with callbacks of others, which may outlive the Mirror.
class Mirror::Impl : public std::enable_shared_from_this<Mirror::Impl> {
 public:
  Impl(MirrorOptions options, FetchProcess& fetch, FileSystem& fs, Clock& clock,
       MirrorHooks hooks)
      : options_(std::move(options)),
        fetch_(fetch),
        fs_(fs),
        clock_(clock),
        hooks_(std::move(hooks)) {}

  void StartThread() {
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
    // No callback of the fetcher finds anything to do from here on.
  }
  void Kick() {
    std::lock_guard lock(mutex_);
    kicked_ = true;
    wake_.notify_all();
  }
  void OfferSource(const std::string& sha256, const MirrorSources& sources);
  std::vector<std::string> Fetching() const;
  std::vector<std::string> Held() const;

 private:
  enum class State { kAbsent, kFetching, kVerifying, kHeld };
  struct Item {
    Publication::Wanted wanted;
    State state = State::kAbsent;
    absl::Duration retry_at = absl::ZeroDuration();  // monotonic
    absl::Duration backoff = kRetryFirst;
    std::set<std::string> origins;  // of the running fetch
    // Anybody may offer an origin; a fetch is not begun again for each.
    absl::Duration begin_again_at = absl::ZeroDuration();  // monotonic
    bool announcing = false;
    std::optional<absl::Duration> announced;  // monotonic
    // Set while no metadata names it.
    std::optional<absl::Duration> unwanted_since;
  };

  std::string BlobPath(const std::string& sha256) const {
    return JoinPath(options_.public_dir, "blobs/" + HexEncode(sha256));
  }
  std::string PartialPath(const std::string& sha256) const {
    return JoinPath(options_.partial_dir, HexEncode(sha256));
  }

  void Run();
  void Look();
  void TakePublication();
  void Collect();
  void BeginFetch(const std::string& sha256);
  void Fetched(const std::string& sha256, absl::StatusOr<FetchResult> result);
  void BeginSeed(const std::string& sha256);
  void Seeded(const std::string& sha256, absl::Status status);
  void Announce(const std::string& sha256);
  absl::Status Adopt(const std::string& sha256);
  void LinkTarget(const Item& item);
  void CollectOrphans();
  void RetryLater(Item& item);

  const MirrorOptions options_;
  FetchProcess& fetch_;
  FileSystem& fs_;
  Clock& clock_;
  const MirrorHooks hooks_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool kicked_ = true;
  std::map<std::string, Item> items_;  // by SHA-256
  std::shared_ptr<const Publication> seen_;
  // Files among the blobs that nothing names, since when (monotonic).
  std::map<std::string, absl::Duration> orphans_;
  std::thread thread_;
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_MIRROR_IMPL_H_
