#include "agent/link/log_gossip.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "shoal/log/v1/log.pb.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kLookUp = absl::Seconds(3);
constexpr absl::Duration kLifetime = absl::Hours(24);
// A few witnesses of one head at a place are enough: who finds them says
// nothing, so that a look stays cheap in a fleet of any size.
constexpr size_t kEnough = 3;
constexpr size_t kMaxJudgedAtOnce = 16;
constexpr size_t kMaxRemembered = 1024;
constexpr int kLooksInVain = 3;

}  // namespace

LogGossip::LogGossip(signing::Updater* updater, signing::Fetcher* source,
                     dht::Network* network, const dht::PlaceNamer* places,
                     RecordOut* out, absl::Duration interval)
    : updater_(updater),
      source_(source),
      network_(network),
      places_(places),
      out_(out),
      interval_(interval),
      random_(ReadBigEndian(crypto::RandomBytes(8), 8)) {
  Schedule(true);
}

// The first look comes at any moment of one interval: devices that were
// switched on together do not ask together.
void LogGossip::Schedule(bool first) {
  std::uniform_real_distribution<double> part(first ? 0 : 0.75,
                                              first ? 1 : 1.25);
  due_ = out_->clock()->MonotonicNow() + interval_ * part(random_);
}

uint32_t LogGossip::OwnShard() const {
  return dht::OutcomeShardOf(out_->membership().device_id(),
                             dht::kLogWitnessShards);
}

void LogGossip::Step() {
  if (out_->clock()->MonotonicNow() < due_) return;
  Schedule(false);
  const log::v1::LogMemory& memory = updater_->log();
  if (memory.head().size() == 0) return;
  if (memory.root_version() != root_version_) {
    // Other keys: what was nobody's word may be somebody's now.
    root_version_ = memory.root_version();
    judged_.Forget();
    unconnected_.clear();
  }
  const uint32_t own = OwnShard();
  const size_t same = Look(own);
  Look((own + 1 + random_() % (dht::kLogWitnessShards - 1)) %
       dht::kLogWitnessShards);
  if (same < kEnough) Publish();
}

// How many others say what this device has to say: its very head, or that the
// log was forked.
size_t LogGossip::Look(uint32_t shard) {
  auto found = network_->GetBlocking(places_->LogWitness(shard), kLookUp);
  if (!found.ok()) return 0;
  std::shuffle(found->begin(), found->end(), random_);
  size_t same = 0;
  size_t judged = 0;
  for (const dht::VerifiedRecord& record : *found) {
    records::v1::LogWitness witness;
    if (record.body.kind() != records::v1::RECORD_KIND_LOG_WITNESS ||
        record.writer.id == out_->membership().device_id() ||
        !witness.ParseFromString(record.body.payload()))
      continue;
    const bool fork = updater_->log().has_fork();
    const auto parsed = signing::ParseTimestamp(witness.timestamp());
    if (fork ? !witness.contradicts().empty()
             : parsed.ok() && parsed->value.log &&
                   parsed->value.log->root == updater_->log().head().root())
      ++same;
    if (fork || judged_.Knows(crypto::Sha256Digest(witness.timestamp() +
                                                   witness.contradicts())))
      continue;
    if (++judged > kMaxJudgedAtOnce) break;
    TakeWitness(witness.timestamp(), witness.contradicts());
    if (updater_->log().has_fork()) return 0;  // nobody has said so yet
  }
  return same;
}

void LogGossip::TakeWitness(const std::string& timestamp,
                            const std::string& contradicts) {
  if (contradicts.empty()) {
    Judge(timestamp);
    return;
  }
  const absl::Status proof = updater_->TakeForkProof(timestamp, contradicts);
  if (proof.ok()) return;
  LogDebug("fork_proof_ignored", {{"error", proof}});
  judged_.First(crypto::Sha256Digest(timestamp + contradicts));
  // Not by themselves, but beside what is known here they may prove one.
  for (const std::string& one : {timestamp, contradicts})
    if (!judged_.Knows(crypto::Sha256Digest(one))) Judge(one);
}

void LogGossip::Judge(const std::string& timestamp) {
  const std::string digest = crypto::Sha256Digest(timestamp);
  const auto verdict = updater_->CompareLog(*source_, timestamp);
  if (ReasonOf(verdict.status()) == "log_unproven") {
    const int looks = ++unconnected_[digest];
    if (looks == kLooksInVain)
      LogWarn("log_unproven", {{"error", verdict.status()}});
    if (unconnected_.size() > kMaxRemembered)
      unconnected_.erase(unconnected_.begin());
    return;
  }
  unconnected_.erase(digest);
  judged_.First(digest);
  if (!verdict.ok())
    LogDebug("witness_ignored", {{"error", verdict.status()}});
  else
    LogDebug("witness_compared",
             {{"fork", *verdict == signing::LogVerdict::kFork}});
}

void LogGossip::Publish() {
  const log::v1::LogMemory& memory = updater_->log();
  const absl::Duration now = out_->clock()->MonotonicNow();
  records::v1::LogWitness witness;
  witness.set_timestamp(memory.timestamp());
  if (memory.has_fork()) {
    witness.set_timestamp(memory.fork().ours());
    witness.set_contradicts(memory.fork().theirs());
  }
  std::string digest = crypto::Sha256Digest(witness.SerializeAsString());
  if (published_ == digest && now - published_at_ < kLifetime / 2) return;
  const absl::Status sent = out_->Send(
      records::v1::RECORD_KIND_LOG_WITNESS, places_->LogWitness(OwnShard()),
      static_cast<uint64_t>(absl::ToUnixMillis(out_->clock()->WallNow())),
      witness.SerializeAsString(), kLifetime);
  if (!sent.ok()) {
    LogWarn("witness_waits", {{"error", sent}});
    return;
  }
  published_ = std::move(digest);
  published_at_ = now;
}

std::string LogGossip::Unconnected() const {
  for (const auto& [digest, looks] : unconnected_)
    if (looks >= kLooksInVain)
      return fmt::format(
          "a head that the fleet's key signed, seen by another device, could "
          "not be connected with this one's in {} looks",
          looks);
  return "";
}

}  // namespace shoal::agent
