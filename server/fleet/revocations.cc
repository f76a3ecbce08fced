#include "server/fleet/revocations.h"

#include <algorithm>
#include <set>

#include "common/log.h"
#include "server/store/state.pb.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fleet_trust.h"

namespace shoal::server {

absl::StatusOr<bool> Revocations::Publish() {
  std::lock_guard lock(mutex_);
  const auto view = trust_.View();
  if (!view) return FailedPrecondition("no_trust", "no trust is loaded");
  // Rows of decommissioned devices are never deleted, so the lists only grow.
  std::map<std::string, std::set<std::string>> ids;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
          ids[row.device().device_type()].insert(row.assignment().device_id());
        }
        return true;
      }));
  RepositoryChange change;
  for (const auto& [type, revoked] : ids) {
    const auto& types = view->device_types;
    if (std::find(types.begin(), types.end(), type) == types.end()) {
      // The offline targets role dropped the type: no role speaks for it.
      continue;
    }
    trust::v1::DeviceRevocations list;
    list.set_device_type(type);
    for (const std::string& id : revoked) list.add_device_ids(id);
    const std::string path = signing::DeviceRevocationsPath(type);
    std::string bytes = list.SerializeAsString();
    if (published_[path] != bytes) change.put[path] = std::move(bytes);
  }
  if (change.put.empty()) return false;
  bool changed = false;
  SHOAL_RETURN_IF_ERROR(trust_.Apply(
      change,
      [&](Transaction& tx, const TrustRepository::Changed& signed_now,
          const TrustView& now) -> absl::Status {
        // After a start the repository may hold all of it already.
        changed = !signed_now.metadata.empty();
        if (!changed) return absl::OkStatus();
        return publisher_.AddPublication(tx, signed_now, now);
      }));
  for (auto& [path, bytes] : change.put) published_[path] = std::move(bytes);
  if (changed) LogInfo("revocations_signed", {{"types", ids.size()}});
  return changed;
}

}  // namespace shoal::server
