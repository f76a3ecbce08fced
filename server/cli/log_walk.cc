#include "server/cli/log_walk.h"

#include <fmt/format.h>

#include <set>
#include <tuple>
#include <utility>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::cli {

absl::StatusOr<LogEntries> ReadLogEntries(const FetchLogBundle& fetch) {
  LogEntries entries;
  for (uint64_t bundle = 0;; ++bundle) {
    std::vector<std::string> best;
    for (const std::string& bytes : fetch(bundle)) {
      auto parsed = signing::ParseLogEntries(bytes);
      if (parsed.ok() && parsed->size() > best.size())
        best = *std::move(parsed);
    }
    for (std::string& leaf : best) {
      SHOAL_ASSIGN_OR_RETURN(signing::LogLeaf parsed,
                             signing::ParseLogLeaf(leaf));
      entries.leaves.push_back(std::move(parsed));
      entries.bytes.push_back(std::move(leaf));
    }
    if (best.size() < signing::kLogBundle) return entries;
  }
}

absl::StatusOr<EntriesFetcher> EntriesFetcher::Make(const LogEntries& entries) {
  EntriesFetcher fetcher;
  std::vector<std::string> hashes;
  for (const std::string& leaf : entries.bytes)
    hashes.push_back(signing::LogLeafHash(leaf));
  SHOAL_ASSIGN_OR_RETURN(
      fetcher.tiles_,
      signing::TilesAfter(
          0, hashes, [](int, uint64_t) -> absl::StatusOr<std::string> {
            return NotFound("log_incomplete", "there is no log before");
          }));
  return fetcher;
}

absl::StatusOr<std::string> EntriesFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t>, uint64_t) {
  return NotFound("metadata_missing", role);
}

absl::StatusOr<std::string> EntriesFetcher::FetchTarget(
    const signing::TargetFile& target) {
  return NotFound("metadata_missing", target.path);
}

absl::StatusOr<std::string> EntriesFetcher::FetchLog(const std::string& name,
                                                     size_t source, uint64_t) {
  const auto it = tiles_.find(name);
  if (source > 0 || it == tiles_.end())
    return NotFound("no_more_sources", name + " is not in the log");
  return it->second;
}

std::vector<std::string> MissingFromLog(const signing::Updater& updater,
                                        const LogEntries& entries) {
  std::set<std::tuple<std::string, uint64_t, std::string>> logged;
  for (const signing::LogLeaf& leaf : entries.leaves)
    if (leaf.kind == signing::LogLeafKind::kMetadata)
      logged.emplace(leaf.name, leaf.number, leaf.sha256);
  std::vector<std::string> missing;
  const auto check = [&](const std::string& role, uint64_t version,
                         const std::string& sha256) {
    if (!logged.contains({role, version, sha256}))
      missing.push_back(fmt::format("{} {}", role, version));
  };
  const signing::MetaFile& snapshot = updater.timestamp().snapshot;
  check("snapshot", snapshot.version, snapshot.sha256.value_or(""));
  for (const auto& [role, pin] : updater.snapshot().meta)
    check(role, pin.version, pin.sha256.value_or(""));
  if (const auto root = updater.StoredBytes("root"); root.ok())
    check("root", updater.root().version, crypto::Sha256Digest(*root));
  return missing;
}

}  // namespace shoal::cli
