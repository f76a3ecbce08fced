// The network's keys on a storage node: the bundle's, then those that the
// director seals to it (docs/adr/0013). A key whose time is over still opens
// what a device sends that was away, and nothing else.
#include <algorithm>
#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/node/node_impl.h"
#include "dht/records/key_ring.h"

namespace shoal::dht::node {
namespace {

constexpr uint64_t kMaxKeysRecord = 32u << 10;
constexpr char kFile[] = "network.record";
// A NetworkAccess: all keys that this node ever had.
constexpr char kOldFile[] = "network.keys";

}  // namespace

void StorageNode::Impl::SplitNetworkKeys(
    std::vector<pairing::v1::NetworkKey>* in_force,
    std::vector<pairing::v1::NetworkKey>* retired) const {
  const int64_t now = absl::ToUnixSeconds(clock_.WallNow());
  std::map<uint32_t, pairing::v1::NetworkKey> keys;
  uint32_t newest = 0;
  for (const auto& key : network_keys_.keys()) {
    newest = std::max(newest, key.epoch());
  }
  // Carried here by hand: no key that came by the network ever removes one.
  for (const auto& key : files_.bundle.network().keys()) {
    keys[key.epoch()] = key;
    if (key.epoch() < newest) keys[key.epoch()].set_opens_until(1);
  }
  for (const auto& key : network_keys_.keys()) {
    if (key.epoch() == kBootstrapEpoch) continue;
    const auto bundled = keys.find(key.epoch());
    if (bundled != keys.end() && bundled->second.key() != key.key()) continue;
    keys[key.epoch()] = key;
  }
  for (const auto& [epoch, key] : old_keys_)
    if (keys.try_emplace(epoch, key).second) keys[epoch].set_opens_until(1);
  for (auto it = keys.rbegin(); it != keys.rend(); ++it) {
    const int64_t until = it->second.opens_until();
    const bool opens = until == 0 || until > now;
    // One place is the bootstrap key's.
    (opens && in_force->size() + 1 < kMaxNetworkKeys ? in_force : retired)
        ->push_back(it->second);
  }
  // Without any in force nobody could come back.
  if (in_force->empty() && !retired->empty()) {
    in_force->push_back(retired->front());
    retired->erase(retired->begin());
  }
  if (files_.bundle.bootstrap_key().empty()) return;
  pairing::v1::NetworkKey bootstrap;
  bootstrap.set_epoch(kBootstrapEpoch);
  bootstrap.set_key(files_.bundle.bootstrap_key());
  in_force->push_back(std::move(bootstrap));
}

bool StorageNode::Impl::OpenNetworkKeys(const VerifiedRecord& record) {
  records::v1::NodeKeys sealed;
  if (!sealed.ParseFromString(record.body.payload())) return false;
  const auto open = [&](const std::string& box)
      -> absl::StatusOr<pairing::v1::NetworkAccess> {
    SHOAL_ASSIGN_OR_RETURN(std::string key,
                           crypto::OpenAsSigner(files_.key, box));
    if (key.size() != crypto::kAeadKeySize ||
        sealed.content().size() < crypto::kAeadNonceSize)
      return DataLoss("not_decryptable", "the content key's length");
    const std::string_view content = sealed.content();
    const auto plain = crypto::AeadOpen(
        key, content.substr(0, crypto::kAeadNonceSize),
        std::string(kNodeKeysDomain) + files_.bundle.fleet_id(),
        content.substr(crypto::kAeadNonceSize));
    crypto::Wipe(key);
    SHOAL_RETURN_IF_ERROR(plain);
    pairing::v1::NetworkAccess access;
    if (!access.ParseFromString(*plain) || access.keys().empty())
      return InvalidArgument("bad_network_keys", "no key in it");
    for (const auto& one : access.keys())
      if (one.key().size() != crypto::kAeadKeySize)
        return InvalidArgument("bad_network_keys", "a key's length");
    return access;
  };
  for (const auto& one : sealed.nodes()) {
    if (one.node_id() != files_.subject_id) continue;
    auto access = open(one.content_key());
    if (!access.ok()) {
      LogWarn("network_keys_unusable", {{"error", access.status()}});
      return false;
    }
    // What is not named any more is over, and stays to be asked by.
    for (const auto& key : network_keys_.keys()) old_keys_[key.epoch()] = key;
    network_keys_ = *std::move(access);
    keys_record_ = record.bytes;
    return true;
  }
  return false;  // enrolled later than this was signed: the bundle is newer
}

void StorageNode::Impl::LoadNetworkKeys() {
  if (const auto old = fs_.Read(config_.File(kOldFile), kMaxKeysRecord);
      old.ok()) {
    pairing::v1::NetworkAccess access;
    if (access.ParseFromString(*old)) {
      for (const auto& key : access.keys()) old_keys_[key.epoch()] = key;
    }
  }
  std::vector<VerifiedRecord> known;
  const auto take = [&](const std::string& bytes) {
    // Whose key is no director's any more has no say.
    if (auto record = Verify(bytes); record.ok()) {
      known.push_back(*std::move(record));
    }
  };
  if (const auto saved = fs_.Read(config_.File(kFile), kMaxKeysRecord);
      saved.ok()) {
    take(*saved);
  }
  for (VerifiedRecord& record :
       VerifiedAt(places_.Place(records::v1::RECORD_KIND_NODE_KEYS, ""),
                  records::v1::RECORD_KIND_NODE_KEYS, 4))
    known.push_back(std::move(record));
  std::sort(known.begin(), known.end(), [](const auto& a, const auto& b) {
    return a.body.issued() > b.body.issued();
  });
  for (const VerifiedRecord& record : known) {
    if (OpenNetworkKeys(record)) return;
  }
}

void StorageNode::Impl::TakeNetworkKeys(const VerifiedRecord& record) {
  if (record.bytes == keys_record_) return;
  if (!keys_record_.empty()) {
    // Two directors count apart; one that is none any more does not count.
    const auto held = Verify(keys_record_);
    const bool same_writer =
        held.ok() && held->writer.public_key == record.writer.public_key;
    if (held.ok() &&
        (same_writer ? record.body.version() <= held->body.version()
                     : record.body.issued() <= held->body.issued())) {
      return;
    }
  }
  if (!OpenNetworkKeys(record)) return;
  pairing::v1::NetworkAccess all = network_keys_;
  for (auto it = old_keys_.rbegin(); it != old_keys_.rend(); ++it) {
    if (all.keys_size() < static_cast<int>(kMaxRetiredKeys)) {
      *all.add_keys() = it->second;
    }
  }
  absl::Status saved =
      fs_.WriteAtomic(config_.File(kOldFile), all.SerializeAsString(), 0600);
  if (saved.ok()) {
    saved = fs_.WriteAtomic(config_.File(kFile), record.bytes, 0600);
  }
  if (!saved.ok()) LogError("save_network_keys", {{"error", saved}});
  keys_in_force_ = 0;
  ApplyNetworkKeys();
}

void StorageNode::Impl::ApplyNetworkKeys() {
  std::vector<pairing::v1::NetworkKey> in_force;
  std::vector<pairing::v1::NetworkKey> retired;
  SplitNetworkKeys(&in_force, &retired);
  if (in_force.size() == keys_in_force_) return;
  keys_in_force_ = in_force.size();
  LogInfo("network_keys", {{"newest", in_force.front().epoch()},
                           {"in_force", in_force.size()},
                           {"retired", retired.size()}});
  network_->SetNetworkKeys(std::move(in_force), std::move(retired));
}

absl::StatusOr<std::string> StorageNode::Impl::GrantOf(
    const std::string& device_id) const {
  std::string newest;
  int64_t issued = -1;
  for (const VerifiedRecord& record :
       VerifiedAt(places_.Assignment(device_id),
                  records::v1::RECORD_KIND_PAIR_GRANT, 4)) {
    if (record.body.issued() <= issued) continue;
    issued = record.body.issued();
    newest = record.bytes;
  }
  if (newest.empty()) return NotFound("no_grant", "no grant waits here");
  return newest;
}

}  // namespace shoal::dht::node
