// Where a storage node gets the fleet's metadata from: its own records, then
// the network, then the other nodes' origins. Nothing here is trusted: the
// signing::Updater verifies what comes back.
#ifndef SHOAL_DHT_NODE_RECORD_FETCHER_H_
#define SHOAL_DHT_NODE_RECORD_FETCHER_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/node/log_mirror.h"
#include "dht/node/record_store.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "dht/swarm/fetch_process.h"
#include "signing/verify/fetcher.h"

namespace shoal::dht::node {

struct RecordFetcherOptions {
  // All outlive the fetcher.
  const RecordStore* store = nullptr;
  Network* network = nullptr;
  FetchProcess* fetch = nullptr;
  const PlaceNamer* places = nullptr;
  // Of this node's own records only those that verify now count: what a former
  // director left behind must not hide what its successor wrote.
  std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
      verify;
  // Whether these bytes may be this version of `role` at all
  // (signing::Updater::MayBe); none: all may.
  std::function<absl::Status(std::string_view role,
                             std::optional<uint64_t> version,
                             std::string_view bytes)>
      plausible;
  LogMirror* log = nullptr;  // this node's own copy; none: no tiles of its own
  // Base URLs ("http://host:port/") of other nodes' origins.
  std::vector<std::string> origins;
  absl::Duration network_timeout = absl::Seconds(3);
  absl::Duration origin_timeout = absl::Seconds(10);
};

// For one refresh, on one thread; it blocks.
class RecordFetcher final : public signing::Fetcher {
 public:
  // `timestamp`: the candidate bytes out of a HEAD record.
  RecordFetcher(RecordFetcherOptions options, std::string timestamp);

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override;

  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;
  // For LogMirror::FetchBundle.
  std::vector<std::string> FetchBundle(uint64_t n);

  // Root versions that were handed out, for the tree that this node serves.
  const std::map<uint64_t, std::string>& roots() const { return roots_; }

 private:
  using Accept = std::function<bool(const std::string& payload)>;
  // The first that `accept` takes.
  std::optional<std::string> FromRecords(const std::string& place,
                                         records::v1::RecordKind kind,
                                         const Accept& accept);
  std::vector<std::string> AllFromRecords(const std::string& place,
                                          records::v1::RecordKind kind);
  // Payloads of this node's own records, at most `max`.
  std::vector<std::string> Own(const std::string& place,
                               records::v1::RecordKind kind, size_t max,
                               const Accept& accept);
  absl::StatusOr<std::string> FromOrigins(const std::string& path,
                                          uint64_t max_bytes,
                                          std::optional<std::string> sha256);
  absl::StatusOr<std::string> FromUrls(std::vector<std::string> urls,
                                       uint64_t max_bytes,
                                       std::optional<std::string> sha256);

  const RecordFetcherOptions options_;
  const std::string timestamp_;
  std::map<uint64_t, std::string> roots_;
  std::string proof_name_;           // the log proof looked up last
  std::vector<std::string> proofs_;  // what lay there
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_RECORD_FETCHER_H_
