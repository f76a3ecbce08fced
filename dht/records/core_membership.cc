// With whom the network talks: the directory's nodes, and the keys.
#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/records/core.h"
#include "shoal/records/v1/datagram.pb.h"

namespace shoal::dht {
namespace {

constexpr absl::Duration kMaintenance = absl::Seconds(1);
// Between pings to directory nodes while some are missing: a second after
// each change, doubled up to these.
constexpr absl::Duration kAlonePause = absl::Seconds(4);
constexpr absl::Duration kNodeRecheck = absl::Seconds(30);
constexpr absl::Duration kClientRecheck = absl::Minutes(5);
constexpr int kMaxDoublings = 9;
constexpr size_t kAskedAtOnce = 8;
constexpr absl::Duration kFirstProbe = absl::Seconds(2);
constexpr absl::Duration kLongestProbe = absl::Minutes(10);

}  // namespace

void Network::Core::Maintain() {
  At(Now() + kMaintenance, [this] { Maintain(); });
  if (admission_) admission_->Tick();
  ReachOut();
  ProbeNewest();
  ProveHome();
  MaybeAskForGrant();
  std::erase_if(heard_, [now = Now()](const auto& entry) {
    return now - entry.second.at > kAdmissionLifetime;
  });
}

// Those of the directory that OpenDHT does not know to be alive. How many good
// nodes there are is no answer: others than the directory's may be among them,
// those of a thief or of a directory before.
std::vector<Address> Network::Core::MissingNodes() const {
  std::set<Address> addresses;
  std::set<std::string> ids;
  for (const auto& [id, address] : engine_->GoodNodes()) {
    ids.insert(id);
    addresses.insert(address);
  }
  std::vector<Address> missing;
  for (const auto& [address, id] : trusted_)
    if (id.empty() ? !addresses.contains(address) : !ids.contains(id))
      missing.push_back(address);
  return missing;
}

// In a fleet of many storage nodes OpenDHT keeps a client to some of them, and
// the others are missing for good: they have their turns.
std::vector<Address> Network::Core::SomeMissing(size_t most) {
  std::vector<Address> missing = MissingNodes();
  if (missing.size() <= most) return missing;
  const size_t first = missing_turn_++ * most % missing.size();
  std::rotate(missing.begin(),
              missing.begin() + static_cast<std::ptrdiff_t>(first),
              missing.end());
  missing.resize(most);
  return missing;
}

// Keeps knocking at the directory's doors: OpenDHT itself only knows nodes
// that it has heard of, and forgets those that were silent for a while.
void Network::Core::ReachOut() {
  const std::vector<Address> missing = MissingNodes();
  if (missing.size() != last_missing_) reach_outs_ = 0;
  last_missing_ = missing.size();
  if (missing.empty()) return;
  const absl::Duration most = engine_->good_nodes() == 0 ? kAlonePause
                              : is_node()                ? kNodeRecheck
                                                         : kClientRecheck;
  const absl::Duration pause =
      std::min(kMaintenance * (1 << reach_outs_), most);
  if (Now() - last_reach_out_ < pause - absl::Milliseconds(100)) return;
  last_reach_out_ = Now();
  reach_outs_ = std::min(reach_outs_ + 1, kMaxDoublings);
  for (const Address& address : missing) engine_->Ping(address);
  if (is_node()) return;
  // Nobody answers under this key: perhaps they do under another. A key that a
  // thief made up must not cut a device off. Neither must a node that was
  // revoked and still answers under an old one: it is company, so what is sent
  // stays under the newest key, and the missing are asked under the others.
  if (engine_->good_nodes() == 0) {
    ++epoch_steps_;
    return;
  }
  epoch_steps_ = 0;
  for (const Address& address : SomeMissing(kAskedAtOnce))
    for (size_t step = 1; keys_.Older(step) != keys_.newest(); ++step)
      AskUnder(keys_.Older(step), address);
}

void Network::Core::SetDirectory(const records::v1::NodeDirectory& directory) {
  trusted_.clear();
  reserved_ids_.clear();
  std::vector<StorageNode> nodes;
  const std::string self = is_node() ? options_.identity->id : "";
  if (is_node())
    reserved_ids_.insert(NodeDhtId(options_.identity->key.public_key()));
  for (const auto& entry : directory.nodes()) {
    if (entry.id() == self) continue;
    const auto address = Address::Parse(entry.dht_address());
    if (!address.ok() || entry.id().empty() ||
        entry.public_key().size() != crypto::kEd25519PublicKeySize) {
      LogWarn("bad_directory_entry", {{"node", HexEncode(entry.id())}});
      continue;
    }
    const std::string dht_id = NodeDhtId(entry.public_key());
    trusted_[*address] = dht_id;
    reserved_ids_.insert(dht_id);
    nodes.push_back({*address, entry.id(), entry.public_key(), dht_id});
  }
  for (const std::string& text : options_.bootstrap) {
    const auto address = Address::Parse(text);
    if (!address.ok()) continue;
    const auto& own = socket_.bound();
    if (std::find(own.begin(), own.end(), *address) != own.end()) continue;
    trusted_.try_emplace(*address, "");
    if (directory.nodes().empty()) nodes.push_back({*address, "", "", ""});
  }
  if (admission_) {
    std::vector<Address> peers;
    for (const auto& [address, id] : trusted_) peers.push_back(address);
    admission_->SetPeers(std::move(peers));
    admission_->Tick();
  }
  counters_.known = trusted_.size();
  publisher_->SetNodes(std::move(nodes));
  last_reach_out_ = -absl::InfiniteDuration();
  reach_outs_ = 0;
  ReachOut();
}

void Network::Core::SetNetworkKeys(
    const std::vector<pairing::v1::NetworkKey>& keys,
    const std::vector<pairing::v1::NetworkKey>& retired) {
  const uint32_t before = keys_.newest();
  const absl::Status status = keys_.SetKeys(keys);
  if (!status.ok()) {
    LogError("network_keys_refused", {{"error", status}});
    return;
  }
  keys_.SetRetired(retired);
  if (keys_.newest() != before) {
    epoch_steps_ = 0;
    probes_.clear();
  }
  std::erase_if(heard_, [this](const auto& entry) {
    return !keys_.Has(entry.second.epoch);
  });
}

// Both sides answer in the epoch in which they were addressed, so that nobody
// speaks under a key that the other has not got yet. Somebody has to begin with
// the new one, by a question that is lost on those that can't open it.
void Network::Core::ProbeNewest() {
  const uint32_t newest = keys_.newest();
  const absl::Duration now = Now();
  for (const auto& [address, id] : trusted_) {
    const auto heard = heard_.find(address);
    if (heard == heard_.end() || heard->second.epoch == newest) continue;
    Probe& probe = probes_[address];
    if (now < probe.next) continue;
    probe.pause = std::clamp(probe.pause * 2, kFirstProbe, kLongestProbe);
    probe.next = now + probe.pause;
    AskUnder(newest, address);
  }
}

void Network::Core::SetPlaceKey(const std::string& place_key) {
  if (place_key.size() == kPlaceKeySize) places_.emplace(place_key);
}

}  // namespace shoal::dht
