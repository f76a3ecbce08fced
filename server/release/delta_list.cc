// Deltas to one release as people see them.
#include <map>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/release/delta_gc.h"
#include "server/release/deltas.h"

namespace shoal::server {

release::v1::ReleaseDelta DeltaView(const std::string& release,
                                    const store::DeltaRow& row) {
  release::v1::ReleaseDelta view;
  view.set_release(release);
  view.set_failure(row.failure());
  if (!row.failure().empty()) view.set_retry_at(row.retry_at());
  view.set_state(!row.failure().empty() ? release::v1::DELTA_STATE_FAILED
                 : row.useless()        ? release::v1::DELTA_STATE_USELESS
                                        : release::v1::DELTA_STATE_MADE);
  if (!row.has_delta()) return view;
  const release::v1::Delta& delta = row.delta();
  view.set_from_version(delta.from_version());
  view.set_from_sha256(HexEncode(delta.from_sha256()));
  view.set_length(delta.length());
  view.set_sha256(HexEncode(delta.sha256()));
  view.set_mode(delta.mode());
  view.set_memory(delta.memory());
  return view;
}

absl::StatusOr<release::v1::ListDeltasResponse> Deltas::List(
    const std::string& release) const {
  SHOAL_ASSIGN_OR_RETURN(const auto to, releases_.Row(release));
  SHOAL_ASSIGN_OR_RETURN(const auto pairs, Wanted({to, ""}));
  std::string making;
  {
    std::lock_guard lock(making_mutex_);
    making = making_;
  }
  release::v1::ListDeltasResponse response;
  std::set<std::string> listed;
  for (const Pair& pair : pairs) {
    const std::string key = DeltaKey(pair);
    listed.insert(key);
    response.set_wanted(response.wanted() + 1);
    SHOAL_ASSIGN_OR_RETURN(const auto row, RowOf(pair));
    release::v1::ReleaseDelta& view = *response.add_deltas();
    const bool settled = IsSettled(pair, row);
    if (settled || !row.failure().empty()) {
      view = DeltaView(release, row);
    } else {
      view.set_release(release);
      view.set_state(release::v1::DELTA_STATE_WANTED);
    }
    if (settled) {
      response.set_made(response.made() + 1);
      response.set_bytes(response.bytes() + view.length());
    }
    // The worker may be done with it already.
    if (key == making && IsDue(pair, row, store_.clock().WallNow()))
      view.set_state(release::v1::DELTA_STATE_MAKING);
    view.set_from_version(pair.from.release().version());
    view.set_from_sha256(pair.from.release().sha256());
    view.set_devices(static_cast<uint32_t>(pair.devices));
  }
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeltaRow>(
      kDeltas,
      fmt::format("{}/{}/", to.release().device_type(), to.release().sha256()),
      "", [&](std::string_view key, const store::DeltaRow& row) {
        if (!row.has_delta() || listed.contains(std::string(key))) return true;
        release::v1::ReleaseDelta view = DeltaView(release, row);
        view.set_state(release::v1::DELTA_STATE_UNUSED);
        view.set_unused_since(row.unused_since());
        if (row.unused_since() > 0)
          view.set_collect_at(row.unused_since() +
                              absl::ToInt64Milliseconds(options_.grace));
        *response.add_deltas() = std::move(view);
        return true;
      }));
  return response;
}

}  // namespace shoal::server
