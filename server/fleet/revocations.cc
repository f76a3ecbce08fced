#include "server/fleet/revocations.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "common/log.h"
#include "server/store/state.pb.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::server {

namespace {

// Credentials of older stores' rows: nobody gave longer ones.
constexpr absl::Duration kLongestCredential = absl::Hours(24 * 365 * 2);

struct GivenUp {
  int64_t learned_at = 0;  // seconds
  trust::v1::SupersededKey key;
};

// The keys that `row`'s device gave up last and that a credential may be valid
// for.
void AddGivenUp(const store::DeviceRow& row, absl::Time now,
                std::vector<GivenUp>& keys) {
  const int first = std::max(0, row.superseded_size() - kMaxListedPerDevice);
  for (int i = first; i < row.superseded_size(); ++i) {
    const auto& one = row.superseded(i);
    const absl::Time until = absl::FromUnixMillis(one.until());
    const absl::Time end = one.not_after() > 0
                               ? absl::FromUnixSeconds(one.not_after())
                               : until + kLongestCredential;
    if (end <= now) continue;
    GivenUp& key = keys.emplace_back();
    key.learned_at =
        one.learned_at() > 0 ? one.learned_at() : absl::ToUnixSeconds(until);
    key.key.set_key_digest(signing::KeyDigest(one.key()));
    key.key.set_since(one.until());
  }
}

void AddNewest(const std::string& type, std::vector<GivenUp> keys,
               trust::v1::DeviceRevocations& list) {
  // The same at each call, so that nothing is signed twice.
  std::sort(keys.begin(), keys.end(), [](const GivenUp& a, const GivenUp& b) {
    return std::pair(b.learned_at, b.key.key_digest()) <
           std::pair(a.learned_at, a.key.key_digest());
  });
  constexpr size_t kMax = signing::kMaxSupersededKeys;
  if (keys.size() > kMax) {
    LogWarn("superseded_keys_left_out",
            {{"type", type}, {"keys", keys.size() - kMax}});
    keys.resize(kMax);
  }
  for (GivenUp& key : keys) *list.add_superseded() = std::move(key.key);
}

}  // namespace

absl::StatusOr<bool> Revocations::Publish() {
  std::lock_guard lock(mutex_);
  const auto view = trust_.View();
  if (!view) return FailedPrecondition("no_trust", "no trust is loaded");
  // Rows of decommissioned devices are never deleted, so the lists only grow.
  struct OfType {
    std::set<std::string> ids;
    std::vector<GivenUp> keys;
  };
  std::map<std::string, OfType> lists;
  const absl::Time now = store_.clock().WallNow();
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
          lists[row.device().device_type()].ids.insert(
              row.assignment().device_id());
        } else if (row.superseded_size() > 0) {
          AddGivenUp(row, now, lists[row.device().device_type()].keys);
        }
        return true;
      }));
  RepositoryChange change;
  for (auto& [type, of_type] : lists) {
    if (of_type.ids.empty() && of_type.keys.empty()) continue;
    const auto& types = view->device_types;
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      // The offline targets role dropped the type: no role speaks for it.
      continue;
    }
    trust::v1::DeviceRevocations list;
    list.set_device_type(type);
    for (const std::string& id : of_type.ids) list.add_device_ids(id);
    AddNewest(type, std::move(of_type.keys), list);
    const std::string path = signing::DeviceRevocationsPath(type);
    std::string bytes = list.SerializeAsString();
    if (published_[path] != bytes) change.put[path] = std::move(bytes);
  }
  if (change.put.empty()) return false;
  bool changed = false;
  SHOAL_RETURN_IF_ERROR(trust_.Apply(
      change,
      [&](Transaction& tx, const TrustRepository::Changed& signed_now,
          const TrustView& view_now) -> absl::Status {
        // After a start the repository may hold all of it already.
        changed = !signed_now.metadata.empty();
        if (!changed) return absl::OkStatus();
        return publisher_.AddPublication(tx, signed_now, view_now);
      }));
  for (auto& [path, bytes] : change.put) published_[path] = std::move(bytes);
  if (changed) LogInfo("revocations_signed", {{"types", lists.size()}});
  return changed;
}

}  // namespace shoal::server
