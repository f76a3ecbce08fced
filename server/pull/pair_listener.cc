#include "server/pull/pair_listener.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kLookAgain = absl::Seconds(5);
constexpr absl::Duration kGetTimeout = absl::Seconds(4);
constexpr absl::Duration kExpiryPass = absl::Seconds(30);

}  // namespace

PairListener::PairListener(Store& store, Pairing& pairing, Intake& intake,
                           dht::Network& network)
    : store_(store), pairing_(pairing), intake_(intake), network_(network) {}

PairListener::~PairListener() { Stop(); }

void PairListener::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PairListener::Stop() {
  if (thread_.joinable()) thread_.join();
}

void PairListener::Run() {
  absl::Duration next_look = absl::ZeroDuration();
  absl::Duration next_expiry = absl::ZeroDuration();
  uint64_t seen = 0;
  const auto take = [inbox = inbox_](const dht::VerifiedRecord& record) {
    if (record.body.kind() != records::v1::RECORD_KIND_PAIR_ANSWER) return;
    std::lock_guard lock(inbox->mutex);
    inbox->records.push_back(record.bytes);
    inbox->arrived.notify_one();
  };
  while (!store_.shut_down()) {
    const absl::Duration now = store_.clock().MonotonicNow();
    if (now >= next_expiry) {
      next_expiry = now + kExpiryPass;
      const absl::Status expired = pairing_.ExpireTickets();
      if (!expired.ok()) LogError("tickets_failed", {{"error", expired}});
    }
    const uint64_t revision = store_.revision();
    if (revision != seen || now >= next_look) {
      seen = revision;
      auto places = pairing_.OpenPlaces();
      if (!places.ok()) {
        LogError("tickets_failed", {{"error", places.status()}});
        places = std::vector<std::string>();
      }
      for (const std::string& place : *places) {
        if (!tokens_.contains(place)) {
          tokens_[place] = network_.Listen(place, take);
        }
      }
      for (auto it = tokens_.begin(); it != tokens_.end();) {
        if (std::find(places->begin(), places->end(), it->first) !=
            places->end()) {
          ++it;
          continue;
        }
        network_.Cancel(it->second);
        it = tokens_.erase(it);
      }
      if (now >= next_look) {
        next_look = now + kLookAgain;
        for (const std::string& place : *places) {
          network_.Get(place, kGetTimeout,
                       [take](std::vector<dht::VerifiedRecord> records) {
                         for (const auto& record : records) take(record);
                       });
        }
      }
    }
    std::vector<std::string> records;
    {
      std::unique_lock lock(inbox_->mutex);
      inbox_->arrived.wait_for(lock, std::chrono::milliseconds(100),
                               [&] { return !inbox_->records.empty(); });
      records.swap(inbox_->records);
    }
    if (records.empty()) continue;
    const absl::Status taken = intake_.Take(records, {});
    if (!taken.ok()) LogError("intake_failed", {{"error", taken}});
  }
  for (const auto& [place, token] : tokens_) network_.Cancel(token);
}

}  // namespace shoal::server
