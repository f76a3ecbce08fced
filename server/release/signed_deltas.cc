#include "server/release/signed_deltas.h"

#include "server/rollout/rollout_state.h"
#include "server/store/state.pb.h"

namespace shoal::server {

absl::StatusOr<SignedDeltas> ReadSignedDeltas(const Store& store) {
  std::set<std::string> named;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::RolloutRow>(
      kRollouts, "", "", [&](std::string_view, const store::RolloutRow& row) {
        if (HasEnded(row.rollout().state())) return true;
        const auto& document = row.rollout().document();
        named.insert(document.release().delta_index_target());
        for (const auto& previous : document.previous())
          named.insert(previous.delta_index_target());
        return true;
      }));
  SignedDeltas deltas;
  SHOAL_RETURN_IF_ERROR(store.Scan<store::DocumentRow>(
      kDocuments, "director/", "",
      [&](std::string_view path, const store::DocumentRow& row) {
        if (path.find("/deltas/") == path.npos) return true;
        if (!named.contains(std::string(path))) {
          deltas.unneeded.emplace(path);
          return true;
        }
        release::v1::DeltaIndex index;
        // One that does not parse names nothing; devices can't read it either.
        if (!index.ParseFromString(row.content())) return true;
        for (const auto& delta : index.deltas())
          deltas.digests.insert(delta.sha256());
        return true;
      }));
  return deltas;
}

}  // namespace shoal::server
