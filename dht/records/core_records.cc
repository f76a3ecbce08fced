// Records on their way in and out: put, get, listen, and what a node keeps.
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "dht/records/core.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kConnectPoll = absl::Milliseconds(25);
constexpr size_t kMaxSeen = 8192;
constexpr size_t kMaxRecent = 64;
constexpr size_t kMaxRefused = 64;

}  // namespace

void Network::Core::SetResolver(WriterResolver resolver) {
  options_.resolver = std::move(resolver);
  std::vector<ListenToken> tokens;
  for (const auto& [token, listening] : listening_) tokens.push_back(token);
  for (const ListenToken token : tokens) {
    const auto it = listening_.find(token);
    if (it == listening_.end()) continue;
    const std::string place = it->second.place;
    const bool more = std::exchange(it->second.refused_more, false);
    for (const auto& [digest, value] : std::exchange(it->second.refused, {}))
      Deliver(token, value);
    // Whoever was first with junk keeps no record from a second try.
    if (more)
      engine_->Get(
          place,
          [this, token](const std::string& value) { Deliver(token, value); },
          [] {});
  }
}

void Network::Core::Put(std::string record, const PutOptions& options,
                        bool announce, PutCallback done) {
  if (!done) done = [](const absl::StatusOr<PutResult>&) {};
  records::v1::Record parsed;
  RecordBody body;
  if (record.size() > kMaxRecordSize || !parsed.ParseFromString(record) ||
      !body.ParseFromString(parsed.body()) ||
      body.place().size() != kPlaceSize) {
    done(InvalidArgument("bad_record", "not a serialised Record"));
    return;
  }
  if (is_node() && !announce) {
    auto verified = Verify(record);
    if (!verified.ok()) {
      done(verified.status());
      return;
    }
    if (!options_.hooks.on_store(*verified, "")) {
      done(ResourceExhausted("store_refused",
                             "this node's store refused the record"));
      return;
    }
  }
  const std::string digest = RecordDigest(record);
  publisher_->Start(std::move(record), body.place(), digest, options,
                    is_node() && !announce, std::move(done));
  publisher_due_ = absl::ZeroDuration();
}

void Network::Core::WhenConnected(absl::Duration deadline,
                                  std::function<void(bool)> done) {
  if (Connected() || Now() >= deadline) {
    done(Connected());
    return;
  }
  At(Now() + kConnectPoll, [this, deadline, done = std::move(done)]() mutable {
    WhenConnected(deadline, std::move(done));
  });
}

void Network::Core::Get(const std::string& place, absl::Duration timeout,
                        GetCallback done) {
  const uint64_t id = next_get_++;
  Getting& started = getting_[id];
  started.place = place;
  started.done = std::move(done);
  // What was heard here belongs to the answer, whether or not nodes answer.
  for (const auto& [token, listening] : listening_) {
    if (listening.place != place) continue;
    // Many may listen at one place: each record is verified once.
    for (const std::string& value : listening.recent)
      if (!started.found.Contains(RecordDigest(value)))
        if (auto record = Verify(value); record.ok())
          started.found.Add(*std::move(record));
  }
  const absl::Duration deadline = Now() + timeout;
  At(deadline, [this, id] { FinishGet(id); });
  WhenConnected(deadline, [this, id](bool) {
    const auto it = getting_.find(id);
    if (it == getting_.end()) return;
    engine_->Get(
        it->second.place,
        [this, id](const std::string& value) {
          const auto getting = getting_.find(id);
          if (getting == getting_.end() ||
              getting->second.found.Contains(RecordDigest(value)))
            return;
          auto record = Verify(value);
          if (record.ok() && record->body.place() == getting->second.place)
            getting->second.found.Add(*std::move(record));
        },
        [this, id] { FinishGet(id); });
  });
}

void Network::Core::FinishGet(uint64_t id) {
  const auto it = getting_.find(id);
  if (it == getting_.end()) return;
  Getting getting = std::move(it->second);
  getting_.erase(it);
  if (getting.done) getting.done(getting.found.Take());
}

void Network::Core::Listen(ListenToken token, const std::string& place,
                           ListenCallback callback) {
  Listening& started = listening_[token];
  started.place = place;
  started.callback = std::move(callback);
  const uint64_t engine_token =
      engine_->Listen(place, [this, token](const std::string& value) {
        if (const auto it = listening_.find(token); it != listening_.end())
          it->second.heard = Now();
        Deliver(token, value);
      });
  const auto it = listening_.find(token);
  if (it != listening_.end()) {
    it->second.engine_token = engine_token;
  } else {
    engine_->Cancel(engine_token);  // cancelled by its first callback
  }
}

void Network::Core::Deliver(ListenToken token, const std::string& value) {
  const auto it = listening_.find(token);
  if (it == listening_.end()) return;
  Listening& listening = it->second;
  const std::string digest = RecordDigest(value);
  if (listening.seen.contains(digest) || listening.refused.contains(digest))
    return;
  auto record = Verify(value);
  if (!record.ok() || record->body.place() != listening.place) {
    if (listening.refused.size() < kMaxRefused)
      listening.refused.emplace(digest, value);
    else
      listening.refused_more = true;
    return;
  }
  // A crowded place that changes a lot: some records may come twice then.
  if (listening.seen.size() >= kMaxSeen) listening.seen.clear();
  listening.seen.insert(digest);
  listening.recent.push_back(value);
  if (listening.recent.size() > kMaxRecent) listening.recent.pop_front();
  const ListenCallback callback = listening.callback;  // it may cancel itself
  callback(*record);
}

void Network::Core::Cancel(ListenToken token) {
  const auto it = listening_.find(token);
  if (it == listening_.end()) return;
  const uint64_t engine_token = it->second.engine_token;
  listening_.erase(it);
  if (engine_token != 0) engine_->Cancel(engine_token);
}

absl::StatusOr<VerifiedRecord> Network::Core::Verify(std::string_view bytes) {
  auto record =
      VerifyRecord(bytes, {options_.fleet_id, places_ ? &*places_ : nullptr,
                           options_.resolver, options_.clock->WallNow()});
  if (!record.ok()) {
    ++counters_.refused;
    LogDebug("record_refused", {{"error", record.status()}});
  }
  return record;
}

std::optional<absl::Duration> Network::Core::Accept(const std::string& place,
                                                    const std::string& value,
                                                    const Address& from) {
  const auto record = Verify(value);
  if (!record.ok()) return std::nullopt;
  const absl::Time now = options_.clock->WallNow();
  const absl::Time until = KeepUntil(record->body, now);
  if (record->body.place() != place || until <= now ||
      !options_.hooks.on_store(*record, from.ToString())) {
    ++counters_.refused;
    return std::nullopt;
  }
  return until - now;
}

absl::Status Network::Core::StoreLocal(const std::string& record) {
  if (!is_node())
    return FailedPrecondition("not_a_node", "only nodes keep records");
  SHOAL_ASSIGN_OR_RETURN(const VerifiedRecord verified, Verify(record));
  if (engine_->store_size().first + record.size() > options_.max_store_bytes)
    return ResourceExhausted("store_full", "no memory left for records");
  const absl::Time now = options_.clock->WallNow();
  const absl::Time until = KeepUntil(verified.body, now);
  if (until <= now)
    return FailedPrecondition("expired_record", "it lived as long as it may");
  engine_->Store(verified.body.place(), record, until - now);
  return absl::OkStatus();
}

void Network::Core::ForEachLocal(
    const std::function<void(const std::string&)>& each) {
  for (const std::string& place : engine_->StoredPlaces())
    for (const std::string& record : engine_->Stored(place)) each(record);
}

}  // namespace shoal::dht
