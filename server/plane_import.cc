// The way of an offline-signed repository into the plane's store.
#include <algorithm>
#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "server/plane.h"
#include "server/plane_impl.h"
#include "server/trust/file_names.h"

namespace shoal::server {

absl::Status ImportRepository(const PlaneConfig& config,
                              const std::string& repository, FileSystem& fs,
                              Clock& clock) {
  SHOAL_ASSIGN_OR_RETURN(PlaneKeys keys, LoadPlaneKeys(config.data_dir, fs));
  SHOAL_ASSIGN_OR_RETURN(auto store, OpenPlaneStore(config, fs, clock));
  SHOAL_ASSIGN_OR_RETURN(
      auto trust,
      TrustRepository::Open(*store, keys, clock, config.timestamp_lifetime));
  RepositoryChange change;
  const std::string metadata_dir = JoinPath(repository, "metadata");
  SHOAL_ASSIGN_OR_RETURN(auto names, fs.List(metadata_dir));
  uint64_t newest_policy = 0;
  std::string policy_bytes;
  std::map<std::string, uint64_t> newest;
  for (const std::string& name : names) {
    const auto parsed = ParseMetadataFileName(name);
    if (!parsed.ok()) continue;
    newest[parsed->role] = std::max(newest[parsed->role], parsed->version);
  }
  for (const std::string& name : names) {
    const auto parsed = ParseMetadataFileName(name);
    // timestamp.json and what another plane signed have no place here.
    if (!parsed.ok() || IsOnlineRole(parsed->role)) continue;
    // Of root every version counts, of the others the newest.
    if (parsed->role != "root" && parsed->version < newest[parsed->role]) {
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(
        std::string bytes,
        fs.Read(JoinPath(metadata_dir, name), signing::kMaxTargetsBytes));
    if (parsed->role == "policy" && parsed->version > newest_policy) {
      newest_policy = parsed->version;
      policy_bytes = bytes;
    }
    const auto view = trust->View();
    const auto in_force = view ? view->versions.find(parsed->role)
                               : decltype(view->versions.end()){};
    // The tree may be older than what came in over the API.
    if (view && parsed->role != "root" && in_force != view->versions.end() &&
        parsed->version < in_force->second) {
      continue;
    }
    change.metadata[name] = std::move(bytes);
  }
  if (newest_policy > 0) {
    SHOAL_ASSIGN_OR_RETURN(auto policy, signing::ParseTargets(policy_bytes));
    for (const auto& [path, target] : policy.value.targets) {
      SHOAL_ASSIGN_OR_RETURN(std::string file, signing::TargetFilePath(target));
      SHOAL_ASSIGN_OR_RETURN(
          change.documents[path],
          fs.Read(JoinPath(repository, file), signing::kMaxPolicyBytes));
    }
  }
  const absl::Status applied = trust->Apply(
      change,
      [&](Transaction& tx, const TrustRepository::Changed&,
          const TrustView& view) -> absl::Status {
        SHOAL_ASSIGN_OR_RETURN(auto plane, GetPlane(tx));
        plane.set_fleet_id(view.fleet.fleet_id);
        tx.Put(kMeta, "identity", plane);
        tx.Audit("local", "policy.publish", "trust", "ok", "import");
        return absl::OkStatus();
      });
  SHOAL_RETURN_IF_ERROR(applied);
  const auto view = trust->View();
  LogInfo("imported", {{"fleet", HexEncode(view->fleet.fleet_id)},
                       {"root", view->versions.at("root")},
                       {"device_types", view->device_types.size()}});
  return absl::OkStatus();
}

}  // namespace shoal::server
