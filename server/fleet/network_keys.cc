#include "server/fleet/network_keys.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "dht/records/key_ring.h"
#include "server/fleet/nodes.h"
#include "server/store/requests.h"
#include "server/store/state.pb.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::server {
namespace {

constexpr uint32_t kFirstEpoch = 1;
constexpr absl::Duration kRecordLifetime = absl::Hours(24 * 90);
// In a node's bundle, so that devices that were away for years come back.
constexpr size_t kMaxKept = 240;
// Nodes keep what they once had; these are for one that missed a record or two.
constexpr size_t kRetiredInRecord = 8;

std::string EpochKey(uint32_t epoch) { return SequenceKey(epoch); }

using Rows = std::map<uint32_t, store::NetworkKeyRow>;

// Epoch 1, whose key is in the key file, is in it even without a row.
absl::StatusOr<Rows> ReadRows(const Store& store, const PlaneKeys& keys) {
  Rows rows;
  rows[kFirstEpoch].set_key(std::string(keys.network_key.view()));
  SHOAL_RETURN_IF_ERROR(store.Scan<store::NetworkKeyRow>(
      kNetworkKeys, "", "",
      [&](std::string_view key, const store::NetworkKeyRow& row) {
        const auto epoch = static_cast<uint32_t>(ReadBigEndian(key, 8));
        const std::string bytes = rows[epoch].key();
        rows[epoch] = row;
        if (row.key().empty()) rows[epoch].set_key(bytes);
        return true;
      }));
  return rows;
}

bool InForce(const store::NetworkKeyRow& row, absl::Time now) {
  return row.retired_at() == 0 || row.retired_at() > absl::ToUnixSeconds(now);
}

pairing::v1::NetworkAccess Access(const Rows& rows, const PlaneKeys& keys,
                                  bool all, absl::Time now) {
  pairing::v1::NetworkAccess access;
  for (auto it = rows.rbegin(); it != rows.rend(); ++it) {
    if (!all && !InForce(it->second, now)) continue;
    pairing::v1::NetworkKey* key = access.add_keys();
    key->set_epoch(it->first);
    key->set_key(it->second.key());
    if (all) key->set_opens_until(it->second.retired_at());
    if (access.keys_size() >= static_cast<int>(kMaxKept)) break;
  }
  access.set_place_key(std::string(keys.place_key.view()));
  return access;
}

}  // namespace

absl::StatusOr<pairing::v1::NetworkAccess> MemberAccess(const Store& store,
                                                        const PlaneKeys& keys) {
  SHOAL_ASSIGN_OR_RETURN(const Rows rows, ReadRows(store, keys));
  return Access(rows, keys, false, store.clock().WallNow());
}

absl::StatusOr<pairing::v1::NetworkAccess> NodeAccess(const Store& store,
                                                      const PlaneKeys& keys) {
  SHOAL_ASSIGN_OR_RETURN(const Rows rows, ReadRows(store, keys));
  return Access(rows, keys, true, store.clock().WallNow());
}

absl::StatusOr<uint32_t> NewestEpoch(const Store& store) {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t last, store.LastSequence(kNetworkKeys));
  return std::max(kFirstEpoch, static_cast<uint32_t>(last));
}

absl::StatusOr<std::vector<pairing::v1::NetworkKey>> NetworkKeys::OwnKeys()
    const {
  SHOAL_ASSIGN_OR_RETURN(const auto access, MemberAccess(store_, keys_));
  std::vector<pairing::v1::NetworkKey> keys(access.keys().begin(),
                                            access.keys().end());
  pairing::v1::NetworkKey& bootstrap = keys.emplace_back();
  bootstrap.set_epoch(0);
  bootstrap.set_key(std::string(keys_.bootstrap_key.view()));
  return keys;
}

absl::Status NetworkKeys::Publish(
    Transaction& tx, const pairing::v1::NetworkAccess& access) const {
  const auto view = trust_.View();
  const auto& revoked = view->fleet.revoked_node_keys;
  pairing::v1::NetworkAccess keys;
  size_t retired = 0;
  const absl::Time now = store_.clock().WallNow();
  for (const pairing::v1::NetworkKey& key : access.keys()) {  // newest first
    const bool over =
        key.opens_until() != 0 && key.opens_until() <= absl::ToUnixSeconds(now);
    if (over && ++retired > kRetiredInRecord) break;
    *keys.add_keys() = key;
  }
  std::string content_key = crypto::RandomBytes(crypto::kAeadKeySize);
  const std::string nonce = crypto::RandomBytes(crypto::kAeadNonceSize);
  records::v1::NodeKeys sealed;
  sealed.set_content(
      nonce +
      crypto::AeadSeal(content_key, nonce,
                       std::string(dht::kNodeKeysDomain) + writer_.fleet_id(),
                       keys.SerializeAsString()));
  absl::Status status;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::NodeRow>(
      kNodes, "", "", [&](std::string_view, const store::NodeRow& row) {
        const std::string& key = row.entry().public_key();
        if (std::find(revoked.begin(), revoked.end(), key) != revoked.end()) {
          return true;
        }
        auto box = crypto::SealToSigner(key, content_key);
        if (!box.ok()) {
          status = box.status();
          return false;
        }
        auto* one = sealed.add_nodes();
        one->set_node_id(row.entry().id());
        one->set_content_key(*std::move(box));
        return true;
      }));
  crypto::Wipe(content_key);
  SHOAL_RETURN_IF_ERROR(status);
  if (sealed.nodes().empty()) return absl::OkStatus();
  return writer_.Publish(tx, records::v1::RECORD_KIND_NODE_KEYS, "",
                         sealed.SerializeAsString(), kRecordLifetime, true);
}

absl::Status NetworkKeys::PublishToNodes() {
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(const auto access, NodeAccess(store_, keys_));
  // One epoch, nothing retired: the bundles say it all.
  if (access.keys_size() == 1) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(Publish(tx, access));
  return tx.Commit();
}

absl::StatusOr<NetworkKeys::Rotated> NetworkKeys::Rotate(
    const fleet::v1::RotateNetworkKeyRequest& request,
    const std::string& principal) {
  const absl::Time now = store_.clock().WallNow();
  Rotated rotated;
  rotated.overlap_until = now + options_.overlap;
  {
    Transaction tx(store_);
    fleet::v1::RotateNetworkKeyResponse first;
    SHOAL_ASSIGN_OR_RETURN(const bool again,
                           FindRequest(tx, "RotateNetworkKey", principal,
                                       request.request_id(), request, first));
    if (again)
      return Rotated{first.epoch(),
                     absl::FromUnixSeconds(first.overlap_until())};
    SHOAL_ASSIGN_OR_RETURN(Rows rows, ReadRows(store_, keys_));
    const auto in_force = std::count_if(
        rows.begin(), rows.end(),
        [&](const auto& entry) { return InForce(entry.second, now); });
    if (static_cast<size_t>(in_force) >= kMaxInForce) {
      return FailedPrecondition(
          "too_many_epochs",
          "too many epochs of the network key are in force at a time: wait "
          "until an overlap is over");
    }
    const uint32_t last = rows.rbegin()->first;
    // Not the next number: a plane that was set back must not give one to
    // another key that a thief has given out before.
    rotated.epoch = std::max(
        last + 1, static_cast<uint32_t>(absl::ToUnixSeconds(now) / 60));
    store::NetworkKeyRow& old = rows.at(last);
    old.set_retired_at(absl::ToUnixSeconds(rotated.overlap_until));
    // Its key stays where it is, in the key file.
    store::NetworkKeyRow kept = old;
    if (last == kFirstEpoch) kept.clear_key();
    tx.Put(kNetworkKeys, EpochKey(last), kept);
    store::NetworkKeyRow& fresh = rows[rotated.epoch];
    fresh.set_key(crypto::RandomBytes(crypto::kAeadKeySize));
    fresh.set_made_at(absl::ToUnixMillis(now));
    fresh.set_reason(request.reason());
    tx.Put(kNetworkKeys, EpochKey(rotated.epoch), fresh);
    SHOAL_RETURN_IF_ERROR(Publish(tx, Access(rows, keys_, true, now)));
    SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
    plane.clear_rotation_due();
    tx.Put(kMeta, "identity", plane);
    first.set_epoch(rotated.epoch);
    first.set_overlap_until(absl::ToUnixSeconds(rotated.overlap_until));
    RememberRequest(tx, "RotateNetworkKey", principal, request.request_id(),
                    request, first);
    tx.Audit(principal, "network.rotate", "network", "ok", request.reason());
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  LogInfo("network_key_rotated",
          {{"epoch", rotated.epoch},
           {"overlap_until", absl::FormatTime(rotated.overlap_until)}});
  if (on_rotated_) on_rotated_();
  return rotated;
}

absl::Status NetworkKeys::MemberLeft(const std::string& reason) {
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
    plane.set_rotation_due(reason);
    tx.Put(kMeta, "identity", plane);
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  return RotateIfDue();
}

// Whether the policy names a node of ours that it did not name before.
absl::StatusOr<bool> NetworkKeys::NoteRevokedNodes() {
  const auto view = trust_.View();
  const auto& revoked = view->fleet.revoked_node_keys;
  std::vector<std::string> fresh;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::NodeRow>(
      kNodes, "", "", [&](std::string_view name, const store::NodeRow& row) {
        if (!row.revoked_seen() &&
            std::find(revoked.begin(), revoked.end(),
                      row.entry().public_key()) != revoked.end()) {
          fresh.emplace_back(name);
        }
        return true;
      }));
  if (fresh.empty()) return false;
  Transaction tx(store_);
  for (const std::string& name : fresh) {
    SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::NodeRow>(kNodes, name));
    row.set_revoked_seen(true);
    tx.Put(kNodes, name, row);
  }
  SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
  plane.set_rotation_due("node revoked");
  tx.Put(kMeta, "identity", plane);
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return true;
}

absl::Status NetworkKeys::RotateIfDue() {
  SHOAL_RETURN_IF_ERROR(NoteRevokedNodes());
  const auto plane = store_.Get<store::PlaneRow>(kMeta, "identity");
  if (!plane.ok() || plane->rotation_due().empty()) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(const Rows rows, ReadRows(store_, keys_));
  const absl::Time made = absl::FromUnixMillis(rows.rbegin()->second.made_at());
  if (store_.clock().WallNow() - made < options_.overlap / 8) {
    return absl::OkStatus();
  }
  fleet::v1::RotateNetworkKeyRequest request;
  request.set_reason(plane->rotation_due());
  return Rotate(request, "plane").status();
}

}  // namespace shoal::server
