// Where bytes come from: records first, then the HTTP origins of storage
// nodes. Nothing here is trusted; whoever asked verifies.
#ifndef SHOAL_AGENT_LINK_SOURCES_H_
#define SHOAL_AGENT_LINK_SOURCES_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/engine/engine.h"
#include "agent/link/lazy_fetch.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "signing/verify/fetcher.h"

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

// Metadata and documents for the TUF workflow. Blocking, one thread; not the
// network's.
class DhtFetcher final : public signing::Fetcher {
 public:
  // None is owned; all outlive it. `fetch` may be null: records only.
  DhtFetcher(dht::Network* network, const dht::PlaceNamer* places,
             LazyFetch* fetch, const NodeAddresses* nodes,
             std::string device_type)
      : network_(network),
        places_(places),
        fetch_(fetch),
        nodes_(nodes),
        device_type_(std::move(device_type)) {}

  // The timestamp is the newest that a HEAD record holds, whatever number the
  // record itself goes by. kNotFound for a version that neither the network nor
  // any origin has, only if one of them answered.
  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override;
  // A proof: from the records at its place; tiles: each origin is a source.
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;
  // Whether these bytes may be this version of `role` at all
  // (signing::Updater::MayBe). Anyone who was ever a director, and any storage
  // node, may have left records at a place, with versions as high as they like:
  // they must not hide the one that counts. Nothing set: all may. What passes
  // is still verified by whoever asked.
  using Plausible = std::function<absl::Status(std::string_view role,
                                               std::optional<uint64_t> version,
                                               const std::string& bytes)>;
  void SetPlausible(Plausible plausible) { plausible_ = std::move(plausible); }
  // Why records were passed over since the last call, each record once.
  std::vector<absl::Status> TakePassedOver() {
    return std::exchange(passed_over_, {});
  }
  // A HEAD that was pushed: the next timestamp is this one, unless a look-up
  // finds a newer one. Used once.
  void OfferHead(const dht::VerifiedRecord& record) { pushed_ = record; }

 private:
  bool MayBe(std::string_view role, std::optional<uint64_t> version,
             const dht::VerifiedRecord& record, const std::string& bytes);
  std::optional<std::string> NewestTimestamp();
  std::vector<dht::VerifiedRecord> Look(const std::string& place);
  absl::StatusOr<std::string> FromOrigins(const std::string& path,
                                          uint64_t max_bytes,
                                          std::optional<std::string> sha256);
  absl::StatusOr<std::string> FromUrls(std::vector<std::string> urls,
                                       uint64_t max_bytes,
                                       std::optional<std::string> sha256);
  dht::Network* network_;
  const dht::PlaceNamer* places_;
  LazyFetch* fetch_;
  const NodeAddresses* nodes_;
  const std::string device_type_;
  std::optional<dht::VerifiedRecord> pushed_;
  Plausible plausible_;
  std::set<std::string> known_bad_;  // digests of records
  std::string proof_name_;           // the log proof looked up last
  std::vector<std::string> proofs_;  // what lay there
  std::vector<absl::Status> passed_over_;
};

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
