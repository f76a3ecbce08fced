#include "dht/node/mirror.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht::node {
namespace {

constexpr absl::Duration kRetryFirst = absl::Seconds(1);
constexpr absl::Duration kRetryMost = absl::Minutes(1);
constexpr size_t kMaxPeers = 100;
constexpr size_t kMaxOrigins = 16;

}  // namespace

// Shared with callbacks of others, which may outlive the Mirror.
class Mirror::Impl : public std::enable_shared_from_this<Mirror::Impl> {
 public:
  Impl(MirrorOptions options, FetchProcess& fetch, FileSystem& fs,
       Clock& clock, MirrorHooks hooks)
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

void Mirror::Impl::Run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, absl::ToChronoMilliseconds(options_.interval),
                     [this] { return stopping_ || kicked_; });
      kicked_ = false;
      if (stopping_) return;
    }
    Look();
  }
}

void Mirror::Impl::Look() {
  TakePublication();
  std::vector<std::string> fetch, seed, announce;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = clock_.MonotonicNow();
    int fetching = 0;
    for (const auto& [sha256, item] : items_) {
      if (item.state == State::kFetching) ++fetching;
    }
    for (auto& [sha256, item] : items_) {
      if (item.unwanted_since.has_value()) continue;
      if (item.state == State::kAbsent && item.retry_at <= now) {
        const auto size = fs_.Size(BlobPath(sha256));
        if (size.ok() && *size == item.wanted.artifact.length) {
          seed.push_back(sha256);
        } else if (fetching < options_.max_fetches) {
          ++fetching;
          fetch.push_back(sha256);
        }
      } else if (item.state == State::kHeld && !item.announcing &&
                 (!item.announced.has_value() ||
                  now - *item.announced > options_.provider_lifetime / 2)) {
        item.announcing = true;
        announce.push_back(sha256);
      }
    }
  }
  for (const std::string& sha256 : seed) BeginSeed(sha256);
  for (const std::string& sha256 : fetch) BeginFetch(sha256);
  for (const std::string& sha256 : announce) Announce(sha256);
  Collect();
  CollectOrphans();
}

// Blobs of an earlier run, and documents that were replaced.
void Mirror::Impl::CollectOrphans() {
  const auto names = fs_.List(JoinPath(options_.public_dir, "blobs"));
  if (!names.ok()) return;
  std::vector<std::string> gone;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = clock_.MonotonicNow();
    std::map<std::string, absl::Duration> orphans;
    for (const std::string& name : *names) {
      const auto sha256 = HexDecode(name);
      if (!sha256.ok() || items_.contains(*sha256) ||
          seen_->documents.contains(*sha256)) {
        continue;
      }
      const auto known = orphans_.find(name);
      const absl::Duration since = known == orphans_.end() ? now : known->second;
      if (now - since < options_.grace) {
        orphans[name] = since;
      } else {
        gone.push_back(name);
      }
    }
    orphans_ = std::move(orphans);
  }
  for (const std::string& name : gone) {
    const absl::Status removed =
        fs_.Remove(JoinPath(options_.public_dir, "blobs/" + name));
    if (!removed.ok()) LogError("remove_blob", {{"error", removed}});
  }
}

void Mirror::Impl::TakePublication() {
  auto publication = hooks_.publication();
  std::lock_guard lock(mutex_);
  if (publication == seen_) return;
  seen_ = publication;
  for (const auto& [sha256, wanted] : publication->artifacts) {
    Item& item = items_[sha256];
    item.wanted = wanted;
    item.unwanted_since.reset();
  }
  for (auto& [sha256, item] : items_) {
    if (!publication->artifacts.contains(sha256) &&
        !item.unwanted_since.has_value()) {
      item.unwanted_since = clock_.MonotonicNow();
    }
  }
}

void Mirror::Impl::BeginFetch(const std::string& sha256) {
  MirrorSources sources = hooks_.sources(sha256);
  FetchJob job;
  {
    std::lock_guard lock(mutex_);
    const auto it = items_.find(sha256);
    if (it == items_.end() || it->second.state != State::kAbsent) return;
    it->second.state = State::kFetching;
    it->second.origins.clear();
    job.artifact = it->second.wanted.artifact;
    for (const std::string& origin : sources.origins) {
      const auto url = BlobUrl(origin, sha256);
      if (!url.ok() || job.origin_urls.size() >= kMaxOrigins) continue;
      job.origin_urls.push_back(*url);
      it->second.origins.insert(origin);
    }
  }
  if (sources.peers.size() > kMaxPeers) sources.peers.resize(kMaxPeers);
  job.id = HexEncode(sha256);
  job.output_path = PartialPath(sha256);
  job.peers = std::move(sources.peers);
  job.deadline = options_.fetch_deadline;
  const std::weak_ptr<Impl> weak = weak_from_this();
  const absl::Status begun = fetch_.Fetch(
      std::move(job), nullptr,
      [weak, sha256](absl::StatusOr<FetchResult> result) {
        if (const auto self = weak.lock()) {
          self->Fetched(sha256, std::move(result));
        }
      });
  if (!begun.ok()) Fetched(sha256, begun);
}

void Mirror::Impl::RetryLater(Item& item) {
  item.state = State::kAbsent;
  item.retry_at = clock_.MonotonicNow() + item.backoff;
  item.backoff = std::min(item.backoff * 2, kRetryMost);
}

void Mirror::Impl::Fetched(const std::string& sha256,
                           absl::StatusOr<FetchResult> result) {
  absl::Status status = result.status();
  if (status.ok()) status = Adopt(sha256);
  std::lock_guard lock(mutex_);
  const auto it = items_.find(sha256);
  if (it == items_.end()) return;
  if (status.ok()) {
    LogInfo("mirrored", {{"sha256", HexEncode(sha256)},
                         {"from_peers", result->bytes_from_peers},
                         {"from_origin", result->bytes_from_origin}});
    it->second.state = State::kAbsent;  // and on disk: seeded next
    it->second.retry_at = absl::ZeroDuration();
    it->second.backoff = kRetryFirst;
  } else if (ReasonOf(status) == "cancelled") {
    it->second.state = State::kAbsent;
    it->second.retry_at = absl::ZeroDuration();
  } else {
    LogWarn("mirror_failed",
            {{"sha256", HexEncode(sha256)}, {"error", status}});
    RetryLater(it->second);
  }
  kicked_ = true;
  wake_.notify_all();
}

// The finished download becomes a blob. Its bytes were checked by the fetcher
// and are checked once more before they are served.
absl::Status Mirror::Impl::Adopt(const std::string& sha256) {
  const std::string from = PartialPath(sha256);
  const std::string to = BlobPath(sha256);
  if (::chmod(from.c_str(), 0644) != 0) return ErrnoError(errno, "chmod " + from);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return ErrnoError(errno, "rename " + from);
  }
  return SyncDirectory(to.substr(0, to.rfind('/')));
}

void Mirror::Impl::BeginSeed(const std::string& sha256) {
  SeedJob job;
  {
    std::lock_guard lock(mutex_);
    const auto it = items_.find(sha256);
    if (it == items_.end() || it->second.state != State::kAbsent) return;
    it->second.state = State::kVerifying;
    job.artifact = it->second.wanted.artifact;
    job.path = BlobPath(sha256);
  }
  const std::weak_ptr<Impl> weak = weak_from_this();
  const absl::Status begun =
      fetch_.Seed(std::move(job), [weak, sha256](absl::Status status) {
        if (const auto self = weak.lock()) {
          self->Seeded(sha256, std::move(status));
        }
      });
  if (!begun.ok()) Seeded(sha256, begun);
}

void Mirror::Impl::Seeded(const std::string& sha256, absl::Status status) {
  std::lock_guard lock(mutex_);
  const auto it = items_.find(sha256);
  if (it == items_.end()) return;
  if (status.ok()) {
    it->second.state = State::kHeld;
    LinkTarget(it->second);
  } else {
    LogWarn("seed_failed", {{"sha256", HexEncode(sha256)}, {"error", status}});
    if (ReasonOf(status) == "hash_mismatch") {
      const absl::Status removed = fs_.Remove(BlobPath(sha256));
      if (!removed.ok()) LogError("remove_blob", {{"error", removed}});
    }
    RetryLater(it->second);
  }
  kicked_ = true;
  wake_.notify_all();
}

// The same file under the name that a TUF client asks for.
void Mirror::Impl::LinkTarget(const Item& item) {
  if (item.wanted.target_path.empty()) return;
  const std::string path =
      JoinPath(options_.public_dir, item.wanted.target_path);
  absl::Status made =
      fs_.MakeDirectories(path.substr(0, path.rfind('/')));
  if (made.ok() &&
      ::link(BlobPath(item.wanted.artifact.sha256).c_str(), path.c_str()) != 0 &&
      errno != EEXIST) {
    made = ErrnoError(errno, "link " + path);
  }
  if (!made.ok()) LogWarn("link_target", {{"error", made}});
}

void Mirror::Impl::Announce(const std::string& sha256) {
  const std::weak_ptr<Impl> weak = weak_from_this();
  hooks_.announce(sha256, [weak, sha256](absl::Status status) {
    const auto self = weak.lock();
    if (self == nullptr) return;
    std::lock_guard lock(self->mutex_);
    const auto it = self->items_.find(sha256);
    if (it == self->items_.end()) return;
    it->second.announcing = false;
    if (status.ok()) {
      it->second.announced = self->clock_.MonotonicNow();
    } else {
      LogWarn("announce_failed",
              {{"sha256", HexEncode(sha256)}, {"error", status}});
    }
  });
}

// Deletes what has been unwanted for long enough.
void Mirror::Impl::Collect() {
  std::vector<Item> gone;
  {
    std::lock_guard lock(mutex_);
    const absl::Duration now = clock_.MonotonicNow();
    for (auto it = items_.begin(); it != items_.end();) {
      const Item& item = it->second;
      if (!item.unwanted_since.has_value() ||
          now - *item.unwanted_since < options_.grace) {
        ++it;
        continue;
      }
      gone.push_back(item);
      it = items_.erase(it);
    }
  }
  for (const Item& item : gone) {
    const std::string& sha256 = item.wanted.artifact.sha256;
    fetch_.Cancel(HexEncode(sha256));
    fetch_.StopSeeding(sha256);
    std::vector<std::string> paths = {BlobPath(sha256), PartialPath(sha256)};
    if (!item.wanted.target_path.empty()) {
      paths.push_back(JoinPath(options_.public_dir, item.wanted.target_path));
    }
    for (const std::string& path : paths) {
      const absl::Status removed = fs_.Remove(path);
      if (!removed.ok()) LogError("remove_blob", {{"error", removed}});
    }
    LogInfo("blob_dropped", {{"sha256", HexEncode(sha256)}});
  }
}

void Mirror::Impl::OfferSource(const std::string& sha256,
                               const MirrorSources& sources) {
  bool again = false;
  {
    std::lock_guard lock(mutex_);
    const auto it = items_.find(sha256);
    if (it == items_.end()) return;
    if (it->second.state == State::kAbsent) {
      it->second.retry_at = absl::ZeroDuration();
      it->second.backoff = kRetryFirst;
      kicked_ = true;
      wake_.notify_all();
      return;
    }
    if (it->second.state != State::kFetching) return;
    for (const std::string& origin : sources.origins) {
      again = again || !it->second.origins.contains(origin);
    }
  }
  // A job takes more peers but no more origins: begun again, it keeps what is
  // on disk.
  if (again) {
    fetch_.Cancel(HexEncode(sha256));
  } else {
    fetch_.AddPeers(HexEncode(sha256), sources.peers);
  }
}

std::vector<std::string> Mirror::Impl::Fetching() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [sha256, item] : items_) {
    if (item.state == State::kFetching || item.state == State::kAbsent) {
      out.push_back(sha256);
    }
  }
  return out;
}

std::vector<std::string> Mirror::Impl::Held() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [sha256, item] : items_) {
    if (item.state == State::kHeld) out.push_back(HexEncode(sha256));
  }
  return out;
}

Mirror::Mirror(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Mirror::~Mirror() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<Mirror>> Mirror::Start(MirrorOptions options,
                                                      FetchProcess& fetch,
                                                      FileSystem& fs,
                                                      Clock& clock,
                                                      MirrorHooks hooks) {
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(options.public_dir, "blobs")));
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(options.partial_dir, 0700));
  auto impl = std::make_shared<Impl>(std::move(options), fetch, fs, clock,
                                     std::move(hooks));
  impl->StartThread();
  return std::unique_ptr<Mirror>(new Mirror(std::move(impl)));
}

void Mirror::Kick() { impl_->Kick(); }
void Mirror::OfferSource(const std::string& sha256,
                         const MirrorSources& sources) {
  impl_->OfferSource(sha256, sources);
}
std::vector<std::string> Mirror::Fetching() const { return impl_->Fetching(); }
std::vector<std::string> Mirror::Held() const { return impl_->Held(); }

}  // namespace shoal::dht::node
