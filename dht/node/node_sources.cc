#include "dht/node/node_sources.h"

#include <utility>

#include "common/log.h"

namespace shoal::dht::node {
LookUp OwnRecords(
    const RecordStore& store,
    std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
        verify) {
  return [&store, verify = std::move(verify)](const std::string& place,
                                              records::v1::RecordKind kind,
                                              const Take& take) {
    // What is not taken doesn't count: however much of it, it hides nothing.
    const auto stored =
        store.AtPlace(place, kind, 1, [&](const std::string& bytes) {
          if (!verify(bytes).ok()) return false;
          const auto body = BodyOf(bytes);
          return body && take(body->payload());
        });
    if (!stored.ok()) LogError("read_records", {{"error", stored.status()}});
    return stored.ok() && !stored->empty();
  };
}

}  // namespace shoal::dht::node
