#include <set>
#include <utility>

#include "common/crypto/hash.h"
#include "rules/access.h"
#include "server/trust/candidate.h"
#include "server/trust/file_names.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"

namespace shoal::server {

absl::Status TrustRepository::Verify(Candidate& candidate) {
  candidate.client = std::make_shared<MemoryFiles>(*client_files_);
  candidate.view = std::make_shared<TrustView>();
  TrustView& view = *candidate.view;
  const uint64_t newest_root = NewestVersion(candidate.files, "root");
  for (uint64_t version = 1; version <= newest_root; ++version) {
    const auto it = candidate.files.find(MetadataFileName("root", version));
    if (it == candidate.files.end()) {
      return NotFound("metadata_missing",
                      MetadataFileName("root", version) + " is missing");
    }
    view.roots.push_back(it->second);
  }
  signing::MemoryFetcher fetcher = candidate.Source();
  SHOAL_ASSIGN_OR_RETURN(
      auto updater, signing::Updater::Open(
                        {.directory = kClientDirectory,
                         .fleet_id = crypto::Sha256Digest(view.roots.front()),
                         .root_v1 = view.roots.front()},
                        *candidate.client, clock_));
  SHOAL_RETURN_IF_ERROR(updater->Refresh(fetcher));
  if (updater->root().version != newest_root) {
    return FailedPrecondition("rollback", "not all root versions were taken");
  }
  std::set<std::string> signed_documents;
  for (const auto& [role, pin] : updater->snapshot().meta) {
    view.versions[role] = pin.version;
    if (role == "targets") continue;
    SHOAL_ASSIGN_OR_RETURN(auto targets, updater->TargetsOf(&fetcher, role));
    if (role.rfind("fw-", 0) == 0) view.device_types.push_back(role.substr(3));
    // Documents must be at hand in full; images are not ours to look at here.
    if (role.rfind("fw-", 0) == 0) continue;
    for (const signing::TargetFile& target : targets) {
      SHOAL_RETURN_IF_ERROR(
          updater->FetchTarget(&fetcher, target, signing::kMaxPolicyBytes));
      signed_documents.insert(target.path);
    }
  }
  // Nothing unsigned is stored, published or served: nobody would have looked
  // at its bytes, nor at the path that it asks for (T01, T34).
  for (const auto& [path, bytes] : candidate.changed.documents) {
    if (!signed_documents.contains(path)) {
      return InvalidArgument(
          "unsigned_document",
          "no signed metadata names the document " + path.substr(0, 200));
    }
  }
  view.versions["root"] = newest_root;
  view.versions["snapshot"] = updater->snapshot().version;
  view.versions["timestamp"] = updater->timestamp().version;
  view.timestamp_expires = updater->timestamp().expires;
  if (updater->timestamp().log) view.log = *updater->timestamp().log;
  SHOAL_ASSIGN_OR_RETURN(view.fleet,
                         signing::BuildFleetTrust(*updater, &fetcher));
  if (!view.fleet.policy_json.empty()) {
    SHOAL_ASSIGN_OR_RETURN(view.policy,
                           rules::ParsePolicy(view.fleet.policy_json));
    view.policy_sha256 = crypto::Sha256Digest(view.fleet.policy_json);
  }
  for (const std::string& type : view.device_types) {
    const std::string path = signing::DeviceRevocationsPath(type);
    const auto list = candidate.documents.find(path);
    if (list != candidate.documents.end()) view.revocations.insert(*list);
  }
  for (const auto& [role, version] : view.versions) {
    if (role == "root") continue;
    const std::string name =
        role == "timestamp" ? kTimestampFile : MetadataFileName(role, version);
    view.metadata[name] = candidate.files.at(name);
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
