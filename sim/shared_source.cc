#include "sim/shared_source.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/status.h"

namespace shoal::sim {
namespace {

constexpr char kNewest[] = "timestamp";
constexpr size_t kMaxEntries = 512;
// A push may be lost: whoever polls finds what is new all the same.
constexpr absl::Duration kFresh = absl::Seconds(5);

}  // namespace

class WrappedSource final : public signing::Fetcher {
 public:
  WrappedSource(std::shared_ptr<SharedSource> shared, signing::Fetcher& own)
      : shared_(std::move(shared)), own_(own) {}

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override {
    const std::string key =
        version ? fmt::format("metadata/{}/{}", *version, role) : kNewest;
    // Every refresh asks whether root has another version: there is none yet.
    return shared_->Get(key, role == "root", [&] {
      return own_.FetchMetadata(role, version, max_bytes);
    });
  }
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override {
    return shared_->Get("target/" + HexEncode(target.sha256), false,
                        [&] { return own_.FetchTarget(target); });
  }
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override {
    // The own fetcher looks up all sources of a name with the first.
    return shared_->Get(fmt::format("log/{}/{}", name, source), source > 0,
                        [&]() -> absl::StatusOr<std::string> {
                          if (source > 0)
                            (void)own_.FetchLog(name, 0, max_bytes);
                          return own_.FetchLog(name, source, max_bytes);
                        });
  }

 private:
  const std::shared_ptr<SharedSource> shared_;
  signing::Fetcher& own_;
};

std::unique_ptr<signing::Fetcher> SharedSource::Wrap(signing::Fetcher& own) {
  return std::make_unique<WrappedSource>(shared_from_this(), own);
}

void SharedSource::Forget() {
  std::lock_guard lock(mutex_);
  ++generation_;
}

SharedSource::Answer SharedSource::Get(const std::string& key, bool keep_none,
                                       const std::function<Answer()>& ask) {
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    auto& slot = entries_[key];
    if (!slot) {
      slot = std::make_shared<Entry>();
      order_.push_back(key);
      if (order_.size() > kMaxEntries) {
        const std::string oldest = order_.front();
        order_.pop_front();
        if (oldest != key) entries_.erase(oldest);
      }
    }
    entry = entries_[key];
  }
  std::lock_guard asking(entry->asking);
  int64_t generation = 0;
  {
    std::lock_guard lock(mutex_);
    generation = generation_;
  }
  // What has a version never changes; the newest, and what is not there, may
  // with every push.
  const absl::Duration now = SystemClock().MonotonicNow();
  const bool present =
      entry->generation == generation && now - entry->asked < kFresh;
  if (entry->bytes && (key != kNewest || present)) return *entry->bytes;
  if (keep_none && present && !entry->none.ok()) return entry->none;
  Answer answer = ask();
  entry->generation = generation;
  entry->asked = now;
  if (answer.ok())
    entry->bytes = *answer;
  else if (absl::IsNotFound(answer.status()))
    entry->none = answer.status();
  return answer;
}

}  // namespace shoal::sim
