#include "dht/node/mirror.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/mirror_impl.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht::node {
namespace {

constexpr absl::Duration kRetryMost = absl::Minutes(1);
constexpr size_t kMaxPeers = 100;
constexpr size_t kMaxOrigins = 16;
constexpr absl::Duration kBeginAgainPause = absl::Minutes(1);

}  // namespace

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
  const absl::Status begun =
      fetch_.Fetch(std::move(job), nullptr,
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
    Item& item = it->second;
    for (const std::string& origin : sources.origins)
      again = again || (!item.origins.contains(origin) &&
                        item.origins.size() < kMaxOrigins &&
                        BlobUrl(origin, sha256).ok());
    const absl::Duration now = clock_.MonotonicNow();
    again = again && now >= item.begin_again_at;
    if (again) item.begin_again_at = now + kBeginAgainPause;
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
