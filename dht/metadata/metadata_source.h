// The fleet's metadata and documents out of its network: records first, then
// the HTTP origins of storage nodes, since a record has 16 KiB at most. Nothing
// here is trusted: the signing::Updater that asks verifies what comes back.
//
// Anyone who was ever a director and any storage node may have left something
// at a place, under a number as high as they like, and any origin may answer
// what it likes. None of that may hide what counts: what is not plausible is
// passed over and the next one asked (T41).
#ifndef SHOAL_DHT_METADATA_METADATA_SOURCE_H_
#define SHOAL_DHT_METADATA_METADATA_SOURCE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "dht/records/network.h"
#include "dht/records/place.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/fetcher.h"

namespace shoal::dht {

// Whether these bytes may be this version of `role` at all
// (signing::Updater::MayBe).
using Plausible = std::function<absl::Status(std::string_view role,
                                             std::optional<uint64_t> version,
                                             std::string_view bytes)>;

// Gives `take` the payloads of one kind at a place, newest first, until it
// returns true: it has what it wants. Returns whether it did.
using Take = std::function<bool(const std::string& payload)>;
using LookUp = std::function<bool(
    const std::string& place, records::v1::RecordKind kind, const Take& take)>;
// `network` outlives it. Blocks for at most `timeout`.
LookUp InNetwork(Network& network, absl::Duration timeout = absl::Seconds(3));

// The first of `urls` that gives at most `max_bytes` and, where given, that
// SHA-256, within `timeout` for all. kNotFound when one said that there is
// none.
using HttpGet = std::function<absl::StatusOr<std::string>(
    std::vector<std::string> urls, uint64_t max_bytes,
    std::optional<std::string> sha256, absl::Duration timeout)>;

// The same by what answers later (FetchProcess::FetchDocument), on any thread.
// When it never does, as one that is destroyed meanwhile: kUnavailable
// "no_source" after twice the timeout.
using FetchDocument = std::function<void(
    std::vector<std::string> urls, uint64_t max_bytes,
    std::optional<std::string> sha256, absl::Duration timeout,
    std::function<void(absl::StatusOr<std::string>)> done)>;
HttpGet Blocking(FetchDocument fetch);

class MetadataSource;
struct MetadataSourceOptions {
  // Outlive the source.
  const PlaceNamer* places = nullptr;
  Clock* clock = nullptr;

  std::vector<LookUp> look_ups;  // in the order in which they are asked
  Plausible plausible;           // none: everything is
  // The timestamp that is announced; none, or an error: the highest version
  // that an origin gives.
  std::function<absl::StatusOr<std::string>()> timestamp;
  // By what the announced one is judged, the time and the timestamp that is
  // trusted; without `now` it is taken as it is. Origins are asked too when it
  // has expired, or is nothing new while the trusted one is past half of the
  // life that it had when this source first saw it.
  std::function<absl::Time()> now;
  std::function<std::optional<signing::Timestamp>()> trusted;

  // Base URLs ("http://host:port/") of storage nodes' origins; may be none.
  std::function<std::vector<std::string>()> origins;
  HttpGet get;                                        // set when `origins` is
  absl::Duration origin_timeout = absl::Seconds(20);  // for all of them
  // For the one that was of use last, and for each at most. The others have
  // their shares of what is left, 2 s at least, twice that each time that none
  // of all answered. Those that were silent are asked last from then on.
  absl::Duration one_origin = absl::Seconds(8);

  // Whether those who would have a root were there to be asked: then one that
  // nobody gave does not exist. Withholding it is a freeze, which the
  // timestamp's expiry bounds.
  std::function<bool()> answered;

  // Tiles of the release log from this process's own copy; none: origins only.
  std::function<absl::StatusOr<std::string>(MetadataSource& source,
                                            const std::string& name)>
      log_tile;

  // Called with each root that is handed out; may be none.
  std::function<void(uint64_t version, const std::string& bytes)> on_root;
};

// One thread; it blocks.
class MetadataSource final : public signing::Fetcher {
 public:
  explicit MetadataSource(MetadataSourceOptions options);

  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  // kNotFound "metadata_missing", "no_source".
  absl::StatusOr<std::string> FetchTarget(
      const signing::TargetFile& target) override;
  // Proofs and timestamps: each record at their place is a source. Tiles: the
  // own copy, then each origin.
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

  // Everything that anybody says bundle `n` of the log's entries holds; origins
  // are asked only where no record is.
  std::vector<std::string> FetchLogBundle(uint64_t n);

 private:
  bool MayBe(std::string_view role, std::optional<uint64_t> version,
             const std::string& bytes, uint64_t max_bytes) const;
  std::optional<std::string> First(const std::string& place,
                                   records::v1::RecordKind kind,
                                   const Take& usable);
  std::vector<std::string> All(const std::string& place,
                               records::v1::RecordKind kind,
                               const Take& usable);
  absl::StatusOr<std::string> OfVersion(std::string_view role, uint64_t version,
                                        const std::string& path,
                                        uint64_t max_bytes, const Take& usable);
  std::vector<std::string> OriginsInTurn();
  absl::StatusOr<std::string> FromOrigins(const std::string& path,
                                          uint64_t max_bytes,
                                          const Take& usable);
  absl::StatusOr<std::string> NewestTimestamp(const std::string& path,
                                              uint64_t max_bytes);
  bool Enough(const signing::Timestamp& announced);
  absl::StatusOr<std::vector<std::string>> LogCandidates(
      const std::string& name);

  const MetadataSourceOptions o_;
  std::string good_origin_;  // the one that last had something usable
  static constexpr absl::Duration kLeastOfAnOrigin = absl::Seconds(2);
  absl::Duration least_ = kLeastOfAnOrigin;  // for one of them
  std::set<std::string> silent_;  // gave no answer when they were asked last
  uint64_t life_of_ = 0;  // version of the trusted timestamp, and its life
  absl::Duration life_;
  std::string log_name_;  // what of the log was looked up last
  std::vector<std::string> log_found_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_METADATA_METADATA_SOURCE_H_
