// What the parts of TrustRepository share: a change on its way from being
// built (repository_build.cc) over its signatures (online_roles.cc) to its
// check (repository_verify.cc).
#ifndef SHOAL_SERVER_TRUST_CANDIDATE_H_
#define SHOAL_SERVER_TRUST_CANDIDATE_H_

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/trust/memory_files.h"
#include "server/trust/repository.h"
#include "signing/log/files.h"
#include "signing/metadata/metadata.h"
#include "signing/verify/memory_fetcher.h"

namespace shoal::server {

inline constexpr char kClientDirectory[] = "/client";
inline constexpr char kTimestampFile[] = "timestamp.json";

inline bool PastHalf(absl::Time expires, absl::Duration lifetime,
                     absl::Time now) {
  return expires - now < lifetime / 2;
}

struct TrustRepository::Candidate {
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> documents;
  std::map<std::string, signing::Targets> director_roles;  // edited, unsigned
  std::set<std::string> edited_types;
  std::shared_ptr<MemoryFiles> client;
  std::shared_ptr<TrustView> view;
  Changed changed;
  std::vector<std::string> removed_documents;
  LogGrowth log;

  // Serves `files` and `documents` to the client code; valid while they stay.
  signing::MemoryFetcher Source() const {
    signing::MemoryFetcher source;
    source.AddMetadataFiles(files);
    source.AddDocuments(documents);
    if (!log.proof.empty())
      source.AddLog(signing::LogProofName(log.head.root), log.proof);
    return source;
  }
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_TRUST_CANDIDATE_H_
