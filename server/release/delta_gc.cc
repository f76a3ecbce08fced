#include "server/release/delta_gc.h"

#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/release/signed_deltas.h"

namespace shoal::server {
absl::StatusOr<DeltaCollector::Plan> DeltaCollector::MakePlan() const {
  SHOAL_ASSIGN_OR_RETURN(SignedDeltas in_use, ReadSignedDeltas(store_));
  Plan plan;
  plan.targets = std::move(in_use.unneeded);
  std::set<std::string> wanted;  // row keys
  SHOAL_ASSIGN_OR_RETURN(const auto demands, deltas_.Demand());
  for (const DeltaDemand& demand : demands) {
    SHOAL_ASSIGN_OR_RETURN(const auto pairs, deltas_.Wanted(demand));
    for (const Deltas::Pair& pair : pairs) wanted.insert(DeltaKey(pair));
  }
  const int64_t now = absl::ToUnixMillis(store_.clock().WallNow());
  const int64_t grace = absl::ToInt64Milliseconds(deltas_.options().grace);
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeltaRow>(
      kDeltas, "", "", [&](std::string_view key, const store::DeltaRow& row) {
        const std::string name(key);
        store::DeltaRow next = row;
        if (wanted.contains(name) ||
            (row.has_delta() &&
             in_use.digests.contains(row.delta().sha256()))) {
          next.set_unused_since(0);
        } else {
          // A clock that went back: the time before can't be measured.
          if (row.unused_since() == 0 || row.unused_since() > now)
            next.set_unused_since(now);
          if (now - next.unused_since() >= grace) {
            plan.gone[name] = std::move(next);
            return true;
          }
          plan.unused[name] = next;
        }
        if (next.unused_since() != row.unused_since())
          plan.noted[name] = std::move(next);
        return true;
      }));
  return plan;
}

absl::StatusOr<release::v1::CollectDeltasResponse> DeltaCollector::View(
    const Plan& plan) const {
  // "TYPE/TO-HEX" → release; of releases with one image any.
  std::map<std::string, std::string> releases;
  SHOAL_ASSIGN_OR_RETURN(const auto rows, releases_.All());
  for (const store::ReleaseRow& row : rows)
    releases[row.release().device_type() + "/" + row.release().sha256()] =
        row.release().name();
  const auto view = [&](const std::string& key, const store::DeltaRow& row) {
    release::v1::ReleaseDelta delta =
        DeltaView(releases[key.substr(0, key.rfind('/'))], row);
    delta.set_from_sha256(key.substr(key.rfind('/') + 1));
    if (row.has_delta()) delta.set_state(release::v1::DELTA_STATE_UNUSED);
    delta.set_unused_since(row.unused_since());
    delta.set_collect_at(row.unused_since() +
                         absl::ToInt64Milliseconds(deltas_.options().grace));
    return delta;
  };
  release::v1::CollectDeltasResponse response;
  for (const auto& [key, row] : plan.gone) {
    *response.add_deltas() = view(key, row);
    response.set_bytes(response.bytes() + row.delta().length());
  }
  for (const auto& [key, row] : plan.unused)
    *response.add_waiting() = view(key, row);
  return response;
}

absl::StatusOr<release::v1::CollectDeltasResponse> DeltaCollector::Look()
    const {
  SHOAL_ASSIGN_OR_RETURN(const Plan plan, MakePlan());
  return View(plan);
}

absl::Status DeltaCollector::Drop(Transaction& tx, const Plan& plan,
                                  const std::string& principal) const {
  // A rollout may have begun since the plan was made: what it names stays.
  SHOAL_ASSIGN_OR_RETURN(const SignedDeltas in_use, ReadSignedDeltas(store_));
  for (const std::string& target : plan.targets) {
    if (!in_use.unneeded.contains(target))
      return MakeError(absl::StatusCode::kAborted, "changed_meanwhile",
                       target + " is in use again");
  }
  for (const auto& [key, row] : plan.noted) {
    SHOAL_ASSIGN_OR_RETURN(auto current, tx.Get<store::DeltaRow>(kDeltas, key));
    current.set_unused_since(row.unused_since());
    tx.Put(kDeltas, key, current);
  }
  for (const auto& [key, row] : plan.gone) {
    SHOAL_ASSIGN_OR_RETURN(const auto current,
                           tx.Get<store::DeltaRow>(kDeltas, key));
    if (current.delta().sha256() != row.delta().sha256())
      return MakeError(absl::StatusCode::kAborted, "changed_meanwhile",
                       "a delta was made again");
    tx.Delete(kDeltas, key);
  }
  if (!plan.gone.empty())
    tx.Audit(principal, "release.gc", "deltas", "ok",
             fmt::format("{} deltas", plan.gone.size()));
  return absl::OkStatus();
}

absl::StatusOr<release::v1::CollectDeltasResponse> DeltaCollector::Collect(
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(const Plan plan, MakePlan());
  if (!plan.targets.empty()) {
    RepositoryChange change;
    change.remove.assign(plan.targets.begin(), plan.targets.end());
    const absl::Status dropped = trust_.Apply(
        change,
        [&](Transaction& tx, const TrustRepository::Changed& changed,
            const TrustView& view) -> absl::Status {
          SHOAL_RETURN_IF_ERROR(Drop(tx, plan, principal));
          return publisher_.AddPublication(tx, changed, view);
        });
    SHOAL_RETURN_IF_ERROR(dropped);
    SHOAL_RETURN_IF_ERROR(releases_.SyncTree());
  } else if (!plan.gone.empty() || !plan.noted.empty()) {
    Transaction tx(store_);
    SHOAL_RETURN_IF_ERROR(Drop(tx, plan, principal));
    SHOAL_RETURN_IF_ERROR(tx.Commit());
  }
  SHOAL_ASSIGN_OR_RETURN(auto response, View(plan));
  if (!plan.gone.empty())
    LogInfo("deltas_collected",
            {{"deltas", plan.gone.size()}, {"bytes", response.bytes()}});
  SHOAL_RETURN_IF_ERROR(sweeper_.Sweep());
  return response;
}

}  // namespace shoal::server
