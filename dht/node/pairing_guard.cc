#include "dht/node/pairing_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "common/status.h"

namespace shoal::dht::node {
namespace {

constexpr size_t kMaxBuckets = 65536;
constexpr absl::Duration kForget = absl::Hours(1);

// "1.2.3.4:5" → its four bytes, "[2001:db8::1]:5" → the first eight.
std::string Network(std::string_view from) {
  std::string host(from.substr(0, from.rfind(':')));
  if (host.size() > 2 && host.front() == '[')
    host = host.substr(1, host.size() - 2);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1)
    return std::string(reinterpret_cast<const char*>(&v6), 8);
  return host;
}

}  // namespace

// A token bucket of `size` that gains one token each `refill`.
bool PairingGuard::Take(const std::string& name, double size,
                        absl::Duration refill) {
  const absl::Duration now = clock_.MonotonicNow();
  auto it = buckets_.find(name);
  if (it == buckets_.end()) {
    if (buckets_.size() >= kMaxBuckets)
      std::erase_if(buckets_, [&](const auto& entry) {
        return now - entry.second.at > kForget;
      });
    if (buckets_.size() >= kMaxBuckets) return false;
    it = buckets_.emplace(name, Bucket{size, now}).first;
  }
  Bucket& bucket = it->second;
  bucket.tokens = std::min(
      size, bucket.tokens + absl::FDivDuration(now - bucket.at, refill));
  bucket.at = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

absl::Status PairingGuard::May(const VerifiedRecord& record,
                               std::string_view from) {
  const auto kind = record.body.kind();
  std::lock_guard lock(mutex_);
  bool may = true;
  if (kind == records::v1::RECORD_KIND_PAIR_ANSWER) {
    may = Take("place/" + record.body.place(), limits_.answers_per_place,
               absl::Minutes(1));
  } else if (kind == records::v1::RECORD_KIND_PAIR_REQUEST) {
    const auto pause = [](int an_hour) { return absl::Hours(1) / an_hour; };
    // Its own address first: a flood from one does not use up everybody's.
    may = Take("from/" + Network(from), limits_.requests_per_address_per_hour,
               pause(limits_.requests_per_address_per_hour)) &&
          Take("all", limits_.requests_per_hour,
               pause(limits_.requests_per_hour));
  }
  if (may) return absl::OkStatus();
  return ResourceExhausted("pairing_rate",
                           "too many pairing records came here lately");
}

}  // namespace shoal::dht::node
