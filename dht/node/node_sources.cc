#include "dht/node/node_sources.h"

#include <future>
#include <memory>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace shoal::dht::node {
namespace {

// Of one place's records on this node.
constexpr size_t kMaxOwn = 64;

}  // namespace

LookUp OwnRecords(
    const RecordStore& store,
    std::function<absl::StatusOr<VerifiedRecord>(const std::string& bytes)>
        verify) {
  return [&store, verify = std::move(verify)](const std::string& place,
                                              records::v1::RecordKind kind,
                                              const Take& take) {
    bool taken = false;
    const auto stored =
        store.AtPlace(place, kind, kMaxOwn, [&](const std::string& bytes) {
          if (taken || !verify(bytes).ok()) return false;
          const auto body = BodyOf(bytes);
          if (!body) return false;
          taken = take(body->payload());
          return true;
        });
    if (!stored.ok()) LogError("read_records", {{"error", stored.status()}});
    return taken;
  };
}

HttpGet GetThrough(FetchProcess& fetch) {
  return [&fetch](std::vector<std::string> urls, uint64_t max_bytes,
                  std::optional<std::string> sha256,
                  absl::Duration timeout) -> absl::StatusOr<std::string> {
    auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    auto future = answer->get_future();
    fetch.FetchDocument(std::move(urls), max_bytes, std::move(sha256), timeout,
                        [answer](absl::StatusOr<std::string> result) {
                          answer->set_value(std::move(result));
                        });
    // A process that was destroyed never answers: the deadline is ours too.
    if (future.wait_for(absl::ToChronoMilliseconds(timeout * 2)) !=
        std::future_status::ready)
      return Unavailable("no_source", "no answer from the fetcher");
    return future.get();
  };
}

}  // namespace shoal::dht::node
