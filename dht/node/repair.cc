#include "dht/node/repair.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/placement.h"
#include "dht/node_client/pull_client.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kCheckpointRecords = 256;

// Records on their way to the disk.
class InFlight {
 public:
  void Begin() {
    std::lock_guard lock(mutex_);
    ++running_;
  }
  void End(const absl::Status& status) {
    std::lock_guard lock(mutex_);
    --running_;
    // Full or broken: not taken, so it must come again. Anything else is an
    // answer that stays.
    const std::string reason = ReasonOf(status);
    if (!status.ok() && reason != "quota_exceeded" && reason != "superseded" &&
        reason != "expired_record" && reason != "future_record") {
      failure_ = status;
    }
    if (running_ == 0) idle_.notify_all();
  }
  // OK when all that ended so far need not come again.
  absl::Status Wait() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
    return std::exchange(failure_, absl::OkStatus());
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  int running_ = 0;
  absl::Status failure_ = absl::OkStatus();
};

}  // namespace

class Repairer::Impl {
 public:
  Impl(RepairOptions options, std::string self_key,
       const crypto::TlsKeyPair& tls, RecordStore& store, Clock& clock,
       RepairHooks hooks)
      : options_(options),
        self_key_(std::move(self_key)),
        tls_(tls),
        store_(store),
        clock_(clock),
        hooks_(std::move(hooks)),
        random_(std::random_device()()),
        thread_([this] { Run(); }) {}

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      if (reading_ != nullptr) reading_->Cancel();
    }
    wake_.notify_all();
    thread_.join();
  }

  void Kick() {
    std::lock_guard lock(mutex_);
    kicked_ = true;
    wake_.notify_all();
  }
  void TrustChanged() {
    std::lock_guard lock(mutex_);
    read_again_ = true;
    kicked_ = true;
    wake_.notify_all();
  }
  RepairStats Stats() const { return {repaired_, refused_, rounds_}; }

 private:
  struct Peer {
    PullTarget target;
    std::unique_ptr<PullClient> client;
    absl::Duration last_seen;  // monotonic
  };

  void Run();
  bool Pause();
  void Round();
  std::vector<std::string> Holders(const records::v1::NodeDirectory& directory);
  absl::Status Read(const std::string& id, Peer& peer,
                    const std::vector<std::string>& holders);
  bool Take(std::string bytes, const records::v1::Credential* credential,
            const std::vector<std::string>& holders, InFlight& in_flight);

  const RepairOptions options_;
  const std::string self_key_;
  const crypto::TlsKeyPair& tls_;
  RecordStore& store_;
  Clock& clock_;
  const RepairHooks hooks_;
  std::minstd_rand random_;

  std::string self_id_;
  std::map<std::string, Peer> peers_;  // by node id
  std::vector<std::string> last_holders_;
  bool left_out_ = false;  // something was not ours to hold

  std::atomic<uint64_t> repaired_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> rounds_{0};

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  bool kicked_ = true;
  bool read_again_ = false;
  PullClient* reading_ = nullptr;
  std::thread thread_;  // last: runs on everything above
};

void Repairer::Impl::Run() {
  while (Pause()) Round();
}

bool Repairer::Impl::Pause() {
  std::uniform_real_distribution<double> jitter(0.75, 1.25);
  const absl::Duration pause = options_.interval * jitter(random_);
  bool read_again = false;
  {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoMilliseconds(pause),
                   [this] { return stopping_ || kicked_; });
    kicked_ = false;
    read_again = std::exchange(read_again_, false);
    if (stopping_) return false;
  }
  if (read_again) {
    const absl::Status forgotten = store_.ForgetPeerCursors();
    if (!forgotten.ok()) LogError("forget_cursors", {{"error", forgotten}});
  }
  return true;
}

std::vector<std::string> Repairer::Impl::Holders(
    const records::v1::NodeDirectory& directory) {
  const absl::Duration now = clock_.MonotonicNow();
  std::set<std::string> listed;
  std::vector<std::string> holders;
  for (const records::v1::NodeEntry& node : directory.nodes()) {
    if (node.public_key() == self_key_) {
      self_id_ = node.id();
      holders.push_back(node.id());
      continue;
    }
    listed.insert(node.id());
    Peer& peer = peers_[node.id()];
    if (peer.client == nullptr || peer.target.address != node.grpc_address() ||
        peer.target.spki_sha256 != node.tls_spki_sha256()) {
      if (peer.client == nullptr) peer.last_seen = now;
      peer.target = {node.grpc_address(), node.tls_spki_sha256()};
      auto client = PullClient::Open(peer.target, tls_);
      if (!client.ok()) {
        LogError("repair_peer",
                 {{"node", HexEncode(node.id())}, {"error", client.status()}});
        peer.client = nullptr;
        continue;
      }
      peer.client = *std::move(client);
    }
    if (now - peer.last_seen < options_.away_after)
      holders.push_back(node.id());
  }
  std::erase_if(peers_,
                [&](const auto& p) { return !listed.contains(p.first); });
  std::sort(holders.begin(), holders.end());
  return holders;
}

void Repairer::Impl::Round() {
  const auto directory = hooks_.directory();
  const std::vector<std::string> holders = Holders(*directory);
  if (holders != last_holders_ && left_out_) {
    // Others' shares may be ours now.
    const absl::Status forgotten = store_.ForgetPeerCursors();
    if (!forgotten.ok()) LogError("forget_cursors", {{"error", forgotten}});
    left_out_ = false;
  }
  last_holders_ = holders;
  bool whole = true;
  const uint64_t before = repaired_;
  for (auto& [id, peer] : peers_) {
    if (peer.client == nullptr) continue;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
      reading_ = peer.client.get();
    }
    const absl::Status read = Read(id, peer, holders);
    {
      std::lock_guard lock(mutex_);
      reading_ = nullptr;
      if (stopping_) return;
    }
    if (read.ok()) {
      peer.last_seen = clock_.MonotonicNow();
    } else {
      whole = false;
      LogDebug("repair_read", {{"node", HexEncode(id)}, {"error", read}});
    }
  }
  if (whole) ++rounds_;
  if (repaired_ != before) {
    LogInfo("repaired", {{"records", repaired_ - before}});
  }
}

absl::Status Repairer::Impl::Read(const std::string& id, Peer& peer,
                                  const std::vector<std::string>& holders) {
  SHOAL_ASSIGN_OR_RETURN(const auto saved, store_.GetPeerCursor(id));
  InFlight in_flight;
  size_t since_checkpoint = 0;
  PullPosition reached{saved.store_id, saved.cursor};
  absl::Status failed = absl::OkStatus();
  // The cursor is saved only after everything before it is on disk.
  const auto checkpoint = [&]() {
    since_checkpoint = 0;
    failed = in_flight.Wait();
    if (failed.ok()) {
      failed = store_.PutPeerCursor(id, {reached.store_id, reached.cursor});
    }
    return failed.ok();
  };
  const auto end = peer.client->Pull(
      reached, {}, /*follow=*/false, options_.read_limit,
      [&](std::string bytes, const records::v1::Credential* credential,
          const PullPosition& after) {
        peer.last_seen = clock_.MonotonicNow();
        if (!bytes.empty() &&
            Take(std::move(bytes), credential, holders, in_flight)) {
          ++since_checkpoint;
        }
        const bool moved = after.store_id != reached.store_id ||
                           after.cursor != reached.cursor;
        reached = after;
        return !moved || since_checkpoint < kCheckpointRecords || checkpoint();
      });
  if (!failed.ok()) return failed;
  if (reached.store_id != saved.store_id || reached.cursor != saved.cursor) {
    if (!checkpoint()) return failed;
  } else {
    SHOAL_RETURN_IF_ERROR(in_flight.Wait());
  }
  return end.status();
}

// True when the record is on its way to the disk.
bool Repairer::Impl::Take(std::string bytes,
                          const records::v1::Credential* credential,
                          const std::vector<std::string>& holders,
                          InFlight& in_flight) {
  if (bytes.size() > kMaxRecordSize) {
    ++refused_;
    return false;
  }
  if (store_.Has(RecordDigest(bytes))) return false;
  if (credential != nullptr) hooks_.learn(*credential);
  auto record = hooks_.verify(bytes);
  if (!record.ok()) {
    if (ReasonOf(record.status()) != "expired_record") {
      ++refused_;
      LogDebug("repair_refused", {{"error", record.status()}});
    }
    return false;
  }
  if (!self_id_.empty() &&
      !ShouldHold(record->body.place(), self_id_, holders, options_.copies)) {
    left_out_ = true;
    return false;
  }
  in_flight.Begin();
  auto copy = std::make_shared<VerifiedRecord>(*record);
  store_.Add(*std::move(record), Source::kRepair,
             [this, copy, &in_flight](absl::Status status) {
               if (status.ok()) {
                 ++repaired_;
                 hooks_.stored(*copy);
               }
               in_flight.End(status);
             });
  return true;
}

Repairer::Repairer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Repairer::~Repairer() = default;

std::unique_ptr<Repairer> Repairer::Start(RepairOptions options,
                                          std::string self_key,
                                          const crypto::TlsKeyPair& tls,
                                          RecordStore& store, Clock& clock,
                                          RepairHooks hooks) {
  return std::unique_ptr<Repairer>(new Repairer(std::make_unique<Impl>(
      options, std::move(self_key), tls, store, clock, std::move(hooks))));
}

void Repairer::Kick() { impl_->Kick(); }
void Repairer::TrustChanged() { impl_->TrustChanged(); }
RepairStats Repairer::Stats() const { return impl_->Stats(); }

}  // namespace shoal::dht::node
