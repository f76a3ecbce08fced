#include "dht/records/spool.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"

namespace shoal::dht {
namespace {

// <hex digest>.rec waits; <hex digest>.ack is acknowledged and under repair.
// Both at once: a crash between writing the one and removing the other.
constexpr std::string_view kWaiting = ".rec";
constexpr std::string_view kAcknowledged = ".ack";
constexpr std::string_view kBad = ".bad";

// The signed expiry, or nullopt for bytes that are no record.
std::optional<absl::Time> ExpiryOf(const std::string& bytes) {
  records::v1::Record record;
  RecordBody body;
  if (bytes.empty() || bytes.size() > kMaxRecordSize ||
      !record.ParseFromString(bytes) || !body.ParseFromString(record.body()) ||
      body.place().size() != kPlaceSize)
    return std::nullopt;
  return absl::FromUnixSeconds(body.expires());
}

}  // namespace

class Spool::Impl : public std::enable_shared_from_this<Impl> {
 public:
  explicit Impl(SpoolOptions options) : options_(std::move(options)) {}

  absl::Status Load();
  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Add(const std::string& record);
  absl::Status Remove(const std::string& digest);
  absl::StatusOr<int> Rewrite(
      const std::function<std::optional<std::string>(const std::string&)>&
          rewrite);
  void Kick();
  bool Contains(const std::string& digest) const {
    std::lock_guard lock(mutex_);
    return items_.contains(digest);
  }
  size_t Count(bool with_repairs) const {
    std::lock_guard lock(mutex_);
    return static_cast<size_t>(
        std::count_if(items_.begin(), items_.end(), [&](const auto& item) {
          return with_repairs || !item.second.acknowledged;
        }));
  }
  uint64_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  struct Item {
    uint64_t size = 0;
    absl::Time expires;
    bool acknowledged = false;
    bool in_flight = false;
    absl::Duration next_try;
    absl::Duration pause;
  };
  struct Answer {
    std::string digest;
    absl::StatusOr<PutResult> result;
  };
  using Lock = std::unique_lock<std::mutex>;

  static absl::Duration Now() { return SystemClock().MonotonicNow(); }
  std::string Path(const std::string& digest, std::string_view suffix) const {
    return JoinPath(options_.directory,
                    HexEncode(digest) + std::string(suffix));
  }
  void Run();
  void TakeAnswers(Lock& lock);
  absl::Duration TryDue(Lock& lock);
  void Try(Lock& lock, const std::string& digest, bool acknowledged);
  void Settle(Lock& lock, const Answer& answer);
  absl::Status Erase(const std::string& digest);

  const SpoolOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Item> items_;
  std::deque<Answer> answers_;
  uint64_t bytes_ = 0;
  int in_flight_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

absl::Status Spool::Impl::Load() {
  SHOAL_RETURN_IF_ERROR(
      options_.files->MakeDirectories(options_.directory, 0700));
  SHOAL_ASSIGN_OR_RETURN(const auto names,
                         options_.files->List(options_.directory));
  for (const std::string& name : names) {
    const bool acknowledged = name.ends_with(kAcknowledged);
    if (!acknowledged && !name.ends_with(kWaiting)) continue;
    const std::string path = JoinPath(options_.directory, name);
    auto bytes = options_.files->Read(path, kMaxRecordSize);
    if (!bytes.ok() &&
        bytes.status().code() != absl::StatusCode::kResourceExhausted)
      return bytes.status();
    const auto expires =
        bytes.ok() ? ExpiryOf(*bytes) : std::optional<absl::Time>();
    const std::string digest = bytes.ok() ? RecordDigest(*bytes) : "";
    if (!expires || HexEncode(digest) != name.substr(0, name.size() - 4)) {
      LogWarn("spool_bad_file", {{"file", name}});
      if (bytes.ok())
        SHOAL_RETURN_IF_ERROR(options_.files->WriteAtomic(
            path + std::string(kBad), *bytes, 0600));
      SHOAL_RETURN_IF_ERROR(options_.files->Remove(path));
      continue;
    }
    // "x.ack" comes before "x.rec" in the sorted list and wins.
    if (items_.contains(digest)) {
      SHOAL_RETURN_IF_ERROR(options_.files->Remove(path));
      continue;
    }
    items_[digest] = {bytes->size(),        *expires,
                      acknowledged,         false,
                      absl::ZeroDuration(), options_.backoff};
    bytes_ += bytes->size();
  }
  return absl::OkStatus();
}

absl::Status Spool::Impl::Add(const std::string& record) {
  const auto expires = ExpiryOf(record);
  if (!expires) return InvalidArgument("bad_record", "not a serialised Record");
  const std::string digest = RecordDigest(record);
  {
    // Held while writing: two Adds of one record are one file.
    std::lock_guard lock(mutex_);
    if (items_.contains(digest)) return absl::OkStatus();
    if (items_.size() >= options_.max_records ||
        bytes_ + record.size() > options_.max_bytes)
      return ResourceExhausted("spool_full",
                               "too many records wait for storage nodes");
    SHOAL_RETURN_IF_ERROR(
        options_.files->WriteAtomic(Path(digest, kWaiting), record, 0600));
    items_[digest] = {record.size(),        *expires,        false, false,
                      absl::ZeroDuration(), options_.backoff};
    bytes_ += record.size();
  }
  wake_.notify_all();
  return absl::OkStatus();
}

absl::Status Spool::Impl::Erase(const std::string& digest) {
  const auto it = items_.find(digest);
  if (it == items_.end()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(options_.files->Remove(Path(digest, kWaiting)));
  SHOAL_RETURN_IF_ERROR(options_.files->Remove(Path(digest, kAcknowledged)));
  bytes_ -= it->second.size;
  items_.erase(it);
  return absl::OkStatus();
}

absl::Status Spool::Impl::Remove(const std::string& digest) {
  std::lock_guard lock(mutex_);
  return Erase(digest);
}

absl::StatusOr<int> Spool::Impl::Rewrite(
    const std::function<std::optional<std::string>(const std::string&)>&
        rewrite) {
  int replaced = 0;
  {
    std::lock_guard lock(mutex_);
    std::vector<std::string> waiting;
    for (const auto& [digest, item] : items_)
      if (!item.acknowledged) waiting.push_back(digest);
    for (const std::string& digest : waiting) {
      SHOAL_ASSIGN_OR_RETURN(
          const std::string record,
          options_.files->Read(Path(digest, kWaiting), kMaxRecordSize));
      const std::optional<std::string> other = rewrite(record);
      if (!other) continue;
      const auto expires = ExpiryOf(*other);
      if (!expires)
        return InvalidArgument("bad_record", "not a serialised Record");
      const std::string fresh = RecordDigest(*other);
      if (!items_.contains(fresh)) {
        SHOAL_RETURN_IF_ERROR(
            options_.files->WriteAtomic(Path(fresh, kWaiting), *other, 0600));
        items_[fresh] = {other->size(),        *expires,        false, false,
                         absl::ZeroDuration(), options_.backoff};
        bytes_ += other->size();
      }
      SHOAL_RETURN_IF_ERROR(Erase(digest));
      ++replaced;
    }
  }
  wake_.notify_all();
  return replaced;
}

void Spool::Impl::Kick() {
  {
    std::lock_guard lock(mutex_);
    for (auto& [digest, item] : items_) {
      item.next_try = absl::ZeroDuration();
      item.pause = options_.backoff;
    }
  }
  wake_.notify_all();
}

void Spool::Impl::Run() {
  Lock lock(mutex_);
  while (!stopping_) {
    TakeAnswers(lock);
    const absl::Duration next = TryDue(lock);
    if (stopping_ || !answers_.empty()) continue;
    const absl::Duration rest =
        std::clamp(next - Now(), absl::Milliseconds(1), absl::Minutes(1));
    wake_.wait_for(lock, absl::ToChronoMilliseconds(rest));
  }
}

void Spool::Impl::TakeAnswers(Lock& lock) {
  while (!answers_.empty()) {
    const Answer answer = std::move(answers_.front());
    answers_.pop_front();
    --in_flight_;
    Settle(lock, answer);
  }
}

void Spool::Impl::Settle(Lock& lock, const Answer& answer) {
  const auto it = items_.find(answer.digest);
  if (it == items_.end()) return;
  Item& item = it->second;
  item.in_flight = false;
  item.next_try = Now() + item.pause;
  item.pause = std::min(item.pause * 2, options_.max_backoff);
  if (!answer.result.ok()) return;  // tried again
  const bool news = !item.acknowledged;
  absl::Status status;
  if (!answer.result->under_replicated) {
    status = Erase(answer.digest);
  } else if (news) {
    const auto bytes =
        options_.files->Read(Path(answer.digest, kWaiting), kMaxRecordSize);
    status = bytes.ok() ? options_.files->WriteAtomic(
                              Path(answer.digest, kAcknowledged), *bytes, 0600)
                        : bytes.status();
    if (status.ok()) {
      item.acknowledged = true;
      status = options_.files->Remove(Path(answer.digest, kWaiting));
    }
  }
  // The record is safe with the nodes; the worst is that it is sent again.
  if (!status.ok()) LogError("spool_write_failed", {{"error", status}});
  if (!news || !options_.on_acknowledged) return;
  lock.unlock();
  options_.on_acknowledged(answer.digest, *answer.result);
  lock.lock();
}

absl::Duration Spool::Impl::TryDue(Lock& lock) {
  const absl::Time wall = options_.clock->WallNow();
  const absl::Duration now = Now();
  absl::Duration next = absl::InfiniteDuration();
  std::vector<std::pair<std::string, bool>> due;
  std::vector<std::string> expired;
  for (const auto& [digest, item] : items_) {
    if (item.expires <= wall) {
      expired.push_back(digest);
    } else if (item.in_flight) {
      continue;
    } else if (item.next_try <= now) {
      due.emplace_back(digest, item.acknowledged);
    } else {
      next = std::min(next, item.next_try);
    }
  }
  // What nobody has yet goes first.
  std::stable_sort(due.begin(), due.end(), [](const auto& a, const auto& b) {
    return a.second < b.second;
  });
  for (const auto& [digest, acknowledged] : due) {
    if (in_flight_ >= options_.max_in_flight) break;  // an answer wakes us
    Try(lock, digest, acknowledged);
  }
  for (const std::string& digest : expired) {
    const auto it = items_.find(digest);
    if (it == items_.end()) continue;
    const bool lost = !it->second.acknowledged;
    if (const absl::Status status = Erase(digest); !status.ok()) {
      LogError("spool_write_failed", {{"error", status}});
      continue;
    }
    if (!lost || !options_.on_expired) continue;
    lock.unlock();
    options_.on_expired(digest);
    lock.lock();
  }
  return next;
}

void Spool::Impl::Try(Lock&, const std::string& digest, bool acknowledged) {
  Item& item = items_.at(digest);
  auto record = options_.files->Read(
      Path(digest, acknowledged ? kAcknowledged : kWaiting), kMaxRecordSize);
  if (!record.ok()) {
    LogError("spool_read_failed", {{"error", record.status()}});
    item.next_try = Now() + item.pause;
    item.pause = std::min(item.pause * 2, options_.max_backoff);
    return;
  }
  item.in_flight = true;
  ++in_flight_;
  PutOptions put;
  put.deadline = options_.patience;
  // Only posts to the network's thread, so the lock may be held.
  options_.network->Put(
      *std::move(record), put,
      [weak = weak_from_this(), digest](absl::StatusOr<PutResult> result) {
        const auto self = weak.lock();
        if (!self) return;
        {
          std::lock_guard lock(self->mutex_);
          self->answers_.push_back({digest, std::move(result)});
        }
        self->wake_.notify_all();
      });
}

Spool::Spool(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<Spool>> Spool::Open(SpoolOptions options) {
  auto impl = std::make_shared<Impl>(std::move(options));
  SHOAL_RETURN_IF_ERROR(impl->Load());
  impl->Start();
  return std::unique_ptr<Spool>(new Spool(std::move(impl)));
}

Spool::~Spool() { impl_->Stop(); }

absl::Status Spool::Add(std::string record) { return impl_->Add(record); }
absl::Status Spool::Remove(const std::string& digest) {
  return impl_->Remove(digest);
}
absl::StatusOr<int> Spool::Rewrite(
    const std::function<std::optional<std::string>(const std::string&)>&
        rewrite) {
  return impl_->Rewrite(rewrite);
}
void Spool::Kick() { impl_->Kick(); }
bool Spool::Contains(const std::string& digest) const {
  return impl_->Contains(digest);
}
size_t Spool::pending() const { return impl_->Count(false); }
size_t Spool::size() const { return impl_->Count(true); }
uint64_t Spool::bytes() const { return impl_->bytes(); }

}  // namespace shoal::dht
