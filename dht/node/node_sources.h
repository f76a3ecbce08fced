// A storage node's own records as a source of metadata.
#ifndef SHOAL_DHT_NODE_NODE_SOURCES_H_
#define SHOAL_DHT_NODE_NODE_SOURCES_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "dht/metadata/metadata_source.h"
#include "dht/node/record_store.h"
#include "dht/records/record.h"

namespace shoal::dht::node {

// Only those that `verify` takes now: what a former director left behind must
// not hide what its successor wrote. `store` outlives it.
LookUp OwnRecords(
    const RecordStore& store,
    std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
        verify);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_NODE_SOURCES_H_
