// Where a storage node finds what it may not have yet: its own records and,
// through shoal-fetch, the other nodes' origins.
#ifndef SHOAL_DHT_NODE_NODE_SOURCES_H_
#define SHOAL_DHT_NODE_NODE_SOURCES_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "dht/metadata/metadata_source.h"
#include "dht/node/record_store.h"
#include "dht/records/record.h"
#include "dht/swarm/fetch_process.h"

namespace shoal::dht::node {

// At most 64 of a place. Only those that `verify` takes now: what a former
// director left behind must not hide what its successor wrote. `store` outlives
// it.
LookUp OwnRecords(
    const RecordStore& store,
    std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
        verify);

// `fetch` outlives it; one that is destroyed meanwhile is kUnavailable
// "no_source" after twice the timeout.
HttpGet GetThrough(FetchProcess& fetch);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_NODE_SOURCES_H_
