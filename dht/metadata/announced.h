// The timestamps that HEAD records announce.
#ifndef SHOAL_DHT_METADATA_ANNOUNCED_H_
#define SHOAL_DHT_METADATA_ANNOUNCED_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "dht/metadata/metadata_source.h"
#include "dht/records/network.h"
#include "dht/records/place.h"

namespace shoal::dht {

// Those that `plausible` (none: all) takes, the highest version first, each
// once. A record's number is whatever its writer likes; a timestamp's is
// signed.
std::vector<std::string> TimestampsOf(const std::vector<VerifiedRecord>& heads,
                                      const Plausible& plausible);

// Of all these device types' HEADs. Blocks for one look-up.
std::vector<std::string> AnnouncedTimestamps(
    Network& network, const PlaceNamer& places,
    const std::vector<std::string>& device_types, const Plausible& plausible,
    absl::Duration timeout = absl::Seconds(3));

}  // namespace shoal::dht

#endif  // SHOAL_DHT_METADATA_ANNOUNCED_H_
