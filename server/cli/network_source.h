// The fleet's newest metadata out of the network, for a tool that runs while
// shoald may be down. Nothing here is trusted: the signing::Updater verifies
// what comes back.
#ifndef SHOAL_SERVER_CLI_NETWORK_SOURCE_H_
#define SHOAL_SERVER_CLI_NETWORK_SOURCE_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "server/cli/log_walk.h"
#include "signing/verify/updater.h"

namespace shoal::cli {

// The timestamps that the HEAD records of `device_types` announce and that
// `trust` may take next (Updater::MayBe), newest first. Blocks for one look-up.
std::vector<std::string> AnnouncedTimestamps(
    dht::Network& network, const dht::PlaceNamer& places,
    const std::vector<std::string>& device_types,
    const signing::Updater& trust);

// One thread; it blocks. All that it is made with outlives it.
class NetworkSource final : public signing::Fetcher {
 public:
  // `timestamp`: one of AnnouncedTimestamps; empty: for delegated roles and
  // documents alone. `first` is asked before the network is; may be null.
  // `origins` ("http://host:port/", of storage nodes) are asked for what is no
  // record, since records have 16 KiB at most.
  NetworkSource(dht::Network& network, const dht::PlaceNamer& places,
                const signing::Updater& trust, std::string timestamp,
                signing::Fetcher* first, std::vector<std::string> origins);
  ~NetworkSource() override;

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override;
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

 private:
  // Payloads at `place`, those of the highest record versions first.
  std::vector<std::string> Look(const std::string& place,
                                records::v1::RecordKind kind);
  // What the first origin that has something usable answers.
  absl::StatusOr<std::string> FromOrigins(
      const std::function<absl::StatusOr<std::string>(signing::Fetcher&)>& ask,
      const std::function<bool(const std::string&)>& usable);
  absl::StatusOr<std::string> Tile(const std::string& name, size_t source);

  dht::Network& network_;
  const dht::PlaceNamer& places_;
  const signing::Updater& trust_;
  const std::string timestamp_;
  signing::Fetcher* const first_;
  const std::vector<std::string> origins_;
  std::string looked_up_;           // the log file looked up last
  std::vector<std::string> found_;  // what lay there
  // Tiles of the log, made of its entries at the first question.
  std::optional<EntriesFetcher> tiles_;
};

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_NETWORK_SOURCE_H_
