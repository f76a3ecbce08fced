#include "server/cli/network_source.h"

#include <memory>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/client/http_fetcher.h"
#include "signing/log/files.h"
#include "signing/verify/target_check.h"

namespace shoal::cli {
namespace {

constexpr absl::Duration kOriginStall = absl::Seconds(3);
constexpr absl::Duration kOriginDeadline = absl::Seconds(10);

dht::MetadataSourceOptions OptionsOf(const NetworkSource::Options& o,
                                     std::string timestamp,
                                     std::optional<EntriesFetcher>& tiles) {
  dht::MetadataSourceOptions options;
  options.places = &o.places;
  options.clock = &o.clock;
  options.look_ups = {dht::InNetwork(o.network)};
  options.plausible = MayBeFor(o.trust);
  if (!timestamp.empty())
    options.timestamp = [timestamp = std::move(timestamp)] {
      return timestamp;
    };
  options.origins = [origins = o.origins] { return origins; };
  options.get = GetByHttp(o.clock);
  options.origin_timeout = kOriginDeadline;
  options.answered = [&network = o.network] {
    return network.Stats().connected_nodes > 0;
  };
  options.log_tile =
      [&tiles](dht::MetadataSource& source,
               const std::string& name) -> absl::StatusOr<std::string> {
    if (!tiles) {
      SHOAL_ASSIGN_OR_RETURN(const LogEntries entries,
                             ReadLogEntries([&source](uint64_t n) {
                               return source.FetchLogBundle(n);
                             }));
      SHOAL_ASSIGN_OR_RETURN(tiles, EntriesFetcher::Make(entries));
    }
    return tiles->FetchLog(name, 0, signing::kMaxLogTileBytes);
  };
  return options;
}

}  // namespace

dht::HttpGet GetByHttp(Clock& clock) {
  return [&clock](const std::vector<std::string>& urls, uint64_t max_bytes,
                  const std::optional<std::string>& sha256,
                  absl::Duration timeout) -> absl::StatusOr<std::string> {
    absl::Status last = Unavailable("no_source", "no storage node is known");
    const absl::Duration end = clock.MonotonicNow() + timeout;
    for (size_t i = 0; i < urls.size(); ++i) {
      const std::string& url = urls[i];
      // A slow one leaves their share to those behind it.
      const absl::Duration left =
          (end - clock.MonotonicNow()) / static_cast<int64_t>(urls.size() - i);
      // libcurl takes less than a millisecond for no limit at all.
      if (left < absl::Milliseconds(1)) break;
      signing::HttpFetcherOptions options;
      options.metadata_url = url;
      options.stall_time = kOriginStall;
      SHOAL_ASSIGN_OR_RETURN(const auto http,
                             signing::HttpFetcher::Create(std::move(options)));
      auto bytes = http->FetchUrl(url, max_bytes, left);
      if (bytes.ok() && (!sha256 || crypto::Sha256Digest(*bytes) == *sha256))
        return bytes;
      last = bytes.ok() ? DataLoss("hash_mismatch", url) : bytes.status();
    }
    return last;
  };
}

dht::Plausible MayBeFor(const signing::Updater& trust) {
  return [&trust](std::string_view role, std::optional<uint64_t> version,
                  std::string_view bytes) {
    return trust.MayBe(role, version, bytes);
  };
}

NetworkSource::NetworkSource(const Options& options, std::string timestamp)
    : trust_(options.trust),
      plane_(options.plane),
      network_(OptionsOf(options, std::move(timestamp), tiles_)) {}

absl::StatusOr<std::string> NetworkSource::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  if (version) {
    auto bytes = plane_.FetchMetadata(role, version, max_bytes);
    if (bytes.ok() && trust_.MayBe(role, version, *bytes).ok()) return bytes;
  }
  return network_.FetchMetadata(role, version, max_bytes);
}

absl::StatusOr<std::string> NetworkSource::FetchTarget(
    const signing::TargetFile& target) {
  auto bytes = plane_.FetchTarget(target);
  if (bytes.ok() && signing::CheckTarget(target, *bytes).ok()) return bytes;
  return network_.FetchTarget(target);
}

absl::StatusOr<std::string> NetworkSource::FetchLog(const std::string& name,
                                                    size_t source,
                                                    uint64_t max_bytes) {
  return network_.FetchLog(name, source, max_bytes);
}

}  // namespace shoal::cli
