// What is said to devices while they run: listened for, and looked up at every
// poll, since a push may be lost.
#include <mutex>
#include <utility>

#include "agent/link/fleet_link.h"
#include "common/log.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kLookUp = absl::Seconds(3);
// Remembered of one place between two polls, whoever floods it.
constexpr size_t kMaxGiven = 1024;

}  // namespace

std::vector<std::string> FleetLink::Places() const {
  return {places_.Assignment(o_.membership.device_id()),
          places_.Command(o_.membership.device_id()),
          places_.Halt(o_.config->device_type), places_.NodeDirectory()};
}

void FleetLink::Listener::Give(const dht::VerifiedRecord& record) {
  if (!on_record) return;
  if (!on_record(record)) {
    // Nobody knows which one was dropped.
    given.clear();
    return;
  }
  // HEADs are not looked up here, and anybody writes them.
  if (record.body.kind() == records::v1::RECORD_KIND_HEAD) return;
  std::set<std::string>& digests = given[record.body.place()];
  if (digests.size() < kMaxGiven) digests.insert(record.digest);
}

void FleetLink::Listener::GiveNew(
    const std::string& place, const std::vector<dht::VerifiedRecord>& found) {
  // What lies there no more need not be remembered.
  std::set<std::string> before;
  before.swap(given[place]);
  size_t fresh = 0;
  for (const dht::VerifiedRecord& record : found) {
    if (before.contains(record.digest)) {
      given[place].insert(record.digest);
      continue;
    }
    ++fresh;
    Give(record);
  }
  if (fresh > 0) LogDebug("looked_up", {{"fresh", fresh}});
}

void FleetLink::ListenForAll() {
  // A shared network may still call after this object's end.
  const auto take = [listener = listener_](const dht::VerifiedRecord& record) {
    std::lock_guard lock(listener->mutex);
    listener->Give(record);
  };
  tokens_.push_back(
      network_->Listen(places_.Head(o_.config->device_type), take));
  for (const std::string& place : Places())
    tokens_.push_back(network_->Listen(place, take));
}

void FleetLink::LookUp() {
  for (const std::string& place : Places())
    network_->Get(place, kLookUp,
                  [listener = listener_,
                   place](const std::vector<dht::VerifiedRecord>& found) {
                    std::lock_guard lock(listener->mutex);
                    listener->GiveNew(place, found);
                  });
}

}  // namespace shoal::agent
