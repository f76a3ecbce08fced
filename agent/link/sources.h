// Where bytes come from: records first, then the HTTP origins of storage
// nodes. Nothing here is trusted; whoever asked verifies.
#ifndef SHOAL_AGENT_LINK_SOURCES_H_
#define SHOAL_AGENT_LINK_SOURCES_H_

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/engine/engine.h"
#include "agent/link/lazy_fetch.h"
#include "common/clock.h"
#include "common/once_each.h"
#include "dht/metadata/metadata_source.h"
#include "dht/records/network.h"
#include "dht/records/place.h"

namespace shoal::signing {
class Updater;
}

namespace shoal::agent {

// The addresses that the node directory gives. Thread-safe.
class NodeAddresses {
 public:
  void Set(const records::v1::NodeDirectory& directory);
  std::vector<std::string> OriginUrls() const;  // "http://host:port/"
  std::vector<std::string> Peers() const;       // "host:port" of seeders

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> origins_;
  std::vector<std::string> peers_;
};

// The timestamp that a device goes by: the newest that HEAD records of its type
// announce. One thread.
class NewestHead {
 public:
  // All outlive it.
  NewestHead(dht::Network* network, const dht::PlaceNamer* places,
             std::string device_type)
      : network_(network), places_(places), type_(std::move(device_type)) {}
  // A HEAD that was pushed counts as found by the next look-up. Used once.
  void Offer(const dht::VerifiedRecord& record) { pushed_ = record; }
  // Blocks for one look-up. kNotFound "no_source".
  absl::StatusOr<std::string> Timestamp(const dht::Plausible& plausible);

 private:
  dht::Network* const network_;
  const dht::PlaceNamer* const places_;
  const std::string type_;
  std::optional<dht::VerifiedRecord> pushed_;
};

// Why something was passed over, each once, until it is taken.
class PassedOver {
 public:
  // Returns `why`.
  absl::Status Note(absl::Status why, std::string_view bytes);
  std::vector<absl::Status> Take() { return std::exchange(reasons_, {}); }

 private:
  static constexpr size_t kMost = 1024;
  OnceEach seen_{kMost};  // hashes of the bytes
  std::vector<absl::Status> reasons_;
};

// Records, then the nodes' origins through `fetch`, which may be null: records
// only. All outlive the source. Timestamp and plausible are the caller's.
dht::MetadataSourceOptions DeviceSource(dht::Network& network,
                                        const dht::PlaceNamer& places,
                                        LazyFetch* fetch,
                                        const NodeAddresses& nodes,
                                        Clock& clock);

// An announced timestamp is judged by what `updater`, which outlives the
// source, trusts and by its time.
void JudgeBy(const signing::Updater& updater,
             dht::MetadataSourceOptions& options);

// Images and deltas through the swarm. Blocking.
class ArtifactFetcher {
 public:
  ArtifactFetcher(dht::Network* network, const dht::PlaceNamer* places,
                  LazyFetch* fetch, const NodeAddresses* nodes,
                  bool seed_afterwards)
      : network_(network),
        places_(places),
        fetch_(fetch),
        nodes_(nodes),
        seed_afterwards_(seed_afterwards) {}

  // Peers come from provider records, as they are now and as they arrive, and
  // from the node directory. "cancelled", or LazyFetch's reasons: "no_source"
  // after an hour, or after half a minute in which nobody who answered had what
  // has a substitute.
  absl::StatusOr<FetchStats> Fetch(const ArtifactSource& source,
                                   const std::string& path,
                                   Substitute substitute,
                                   const std::atomic<bool>& cancel);

 private:
  dht::Network* network_;
  const dht::PlaceNamer* places_;
  LazyFetch* fetch_;
  const NodeAddresses* nodes_;
  const bool seed_afterwards_;
};

dht::Artifact ArtifactOf(const ArtifactSource& source);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_SOURCES_H_
