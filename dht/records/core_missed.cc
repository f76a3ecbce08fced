// Pushes that OpenDHT confirms and does not hand out. When a node did not
// answer some request in time (3.5 s in 2.4.12), OpenDHT closes the sockets of
// all listens at that node, and goes on to renew these listens under the
// numbers of the closed sockets: the node pushes for ever, and for ever nobody
// takes it. So whoever gets a push for a place that it listens at, and no
// record with it, looks for the record itself.
#include "common/log.h"
#include "dht/records/core.h"

namespace shoal::dht {
namespace {

// A record may come in several datagrams.
constexpr absl::Duration kPatience = absl::Seconds(1);

}  // namespace

void Network::Core::OnPush(const std::string& place, absl::Duration since) {
  if (pushed_.contains(place)) return;
  for (const auto& [token, listening] : listening_) {
    if (listening.place != place) continue;
    pushed_.insert(place);
    At(since + kPatience,
       [this, place, since] { LookForMissed(place, since); });
    return;
  }
}

void Network::Core::LookForMissed(const std::string& place,
                                  absl::Duration since) {
  pushed_.erase(place);
  for (const auto& [token, listening] : listening_)
    if (listening.place == place && listening.heard >= since) return;
  LogDebug("push_missed", {});
  engine_->Get(
      place,
      [this, place](const std::string& value) {
        std::vector<ListenToken> tokens;
        for (const auto& [token, listening] : listening_)
          if (listening.place == place) tokens.push_back(token);
        for (const ListenToken token : tokens) Deliver(token, value);
      },
      [] {});
}

}  // namespace shoal::dht
