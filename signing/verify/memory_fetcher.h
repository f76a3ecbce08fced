// Metadata that is already at hand: out of a message, a bundle of enrolment, a
// repository that is being built.
#ifndef SHOAL_SIGNING_VERIFY_MEMORY_FETCHER_H_
#define SHOAL_SIGNING_VERIFY_MEMORY_FETCHER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "signing/verify/fetcher.h"

namespace shoal::signing {

// Holds views: whatever the bytes belong to outlives it. Thread-safe once
// filled.
class MemoryFetcher final : public Fetcher {
 public:
  // "3.targets.json" or "timestamp.json", as in a repository's tree. A name of
  // any other form is kept and never asked for.
  void AddMetadata(std::string name, std::string_view bytes);
  // By the target's path; its content is the caller's claim, as everywhere.
  void AddDocument(std::string path, std::string_view bytes);

  // A file of the release log by its name below log/; among metadata files it
  // is "log/NAME".
  void AddLog(std::string name, std::string_view bytes);

  // Any map of names to bytes (std::map, protobuf's Map).
  template <typename Map>
  void AddMetadataFiles(const Map& files) {
    for (const auto& [name, bytes] : files) AddMetadata(name, bytes);
  }
  template <typename Map>
  void AddDocuments(const Map& documents) {
    for (const auto& [path, bytes] : documents) AddDocument(path, bytes);
  }
  // Root versions from 1 on, oldest first.
  template <typename List>
  void AddRoots(const List& roots) {
    uint64_t version = 0;
    for (const auto& bytes : roots)
      AddMetadata(MetadataFileName("root", ++version), bytes);
  }

  // kNotFound "metadata_missing" for what was not added: the collection is all
  // there is.
  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(const TargetFile& target) override;
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

 private:
  std::map<std::string, std::string_view> files_;
  std::map<std::string, uint64_t> newest_;  // by role
  std::map<std::string, std::string_view> documents_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_MEMORY_FETCHER_H_
