// Compares the release log's heads between devices (T46): publishes the newest
// timestamp that this device has proven, signed by the device, or the two that
// prove a fork, and reads those of others. What another says counts only by the
// timestamp key's own signature in it, so that no device can raise an alarm
// with an invented head.
#ifndef SHOAL_AGENT_LINK_LOG_GOSSIP_H_
#define SHOAL_AGENT_LINK_LOG_GOSSIP_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>

#include "absl/time/time.h"
#include "agent/link/record_out.h"
#include "common/once_each.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "signing/verify/updater.h"

namespace shoal::agent {

// One thread, the updater's.
class LogGossip {
 public:
  // None is owned; all outlive it. `interval`: between two looks, with a
  // quarter of jitter.
  LogGossip(signing::Updater* updater, signing::Fetcher* source,
            dht::Network* network, const dht::PlaceNamer* places,
            RecordOut* out, absl::Duration interval);

  // Does nothing before it is due; else blocks some seconds at most.
  void Step();
  // Heads that carry the fleet's signature and that nobody could connect with
  // this device's in several looks: "" or why that is worth an alarm.
  std::string Unconnected() const;

 private:
  void Schedule(bool first);
  size_t Look(uint32_t shard);
  void TakeWitness(const std::string& timestamp,
                   const std::string& contradicts);
  void Judge(const std::string& timestamp);
  void Publish();
  uint32_t OwnShard() const;

  signing::Updater* updater_;
  signing::Fetcher* source_;
  dht::Network* network_;
  const dht::PlaceNamer* places_;
  RecordOut* out_;
  const absl::Duration interval_;
  std::mt19937_64 random_;
  absl::Duration due_;  // monotonic
  uint64_t root_version_ = 0;
  OnceEach judged_{1024};                   // digests of what witnesses said
  std::map<std::string, int> unconnected_;  // by digest: looks in vain
  std::string published_;                   // digest of the witness
  absl::Duration published_at_ = absl::ZeroDuration();
};

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_LOG_GOSSIP_H_
