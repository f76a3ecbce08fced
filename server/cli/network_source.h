// The fleet's newest metadata for a tool that runs while shoald may be down:
// what the plane gave last, then the network. Nothing here is trusted: the
// signing::Updater verifies what comes back.
#ifndef SHOAL_SERVER_CLI_NETWORK_SOURCE_H_
#define SHOAL_SERVER_CLI_NETWORK_SOURCE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "dht/metadata/metadata_source.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "server/cli/log_walk.h"
#include "signing/verify/updater.h"

namespace shoal::cli {

// One thread; it blocks. All that it is made with outlives it.
class NetworkSource final : public signing::Fetcher {
 public:
  struct Options {
    dht::Network& network;
    const dht::PlaceNamer& places;
    const signing::Updater& trust;
    signing::Fetcher& plane;           // asked before the network is
    std::vector<std::string> origins;  // "http://host:port/" of storage nodes
    Clock& clock;
  };
  // `timestamp`: one of dht::AnnouncedTimestamps; empty: the newest that an
  // origin gives.
  NetworkSource(const Options& options, std::string timestamp);

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override;
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

 private:
  const signing::Updater& trust_;
  signing::Fetcher& plane_;
  // Tiles of the log, made of its entries at the first question.
  std::optional<EntriesFetcher> tiles_;
  dht::MetadataSource network_;
};

// By libcurl in this process. `clock` outlives it.
dht::HttpGet GetByHttp(Clock& clock);

// Updater::MayBe of `trust`, which outlives it.
dht::Plausible MayBeFor(const signing::Updater& trust);

}  // namespace shoal::cli

#endif  // SHOAL_SERVER_CLI_NETWORK_SOURCE_H_
