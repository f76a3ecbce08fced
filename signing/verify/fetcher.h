// Where an Updater gets bytes from. It is not trusted: whatever it returns is
// verified.
#ifndef SHOAL_SIGNING_VERIFY_FETCHER_H_
#define SHOAL_SIGNING_VERIFY_FETCHER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/files.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

class Fetcher {
 public:
  virtual ~Fetcher() = default;

  // One metadata file: `version` of `role`, or the newest when absent (always
  // so for "timestamp"). kNotFound only when the source is sure that this
  // version does not exist (the end of root rotation); any other error means
  // try later. At most `max_bytes`; longer answers are refused anyway, so a
  // source should stop there.
  virtual absl::StatusOr<std::string> FetchMetadata(
      std::string_view role, std::optional<uint64_t> version,
      uint64_t max_bytes) = 0;

  // The bytes of a small target (policy, rollouts, delta indexes; images
  // travel as swarms). `target.length` is at most what the caller of
  // Updater::FetchTarget allowed.
  virtual absl::StatusOr<std::string> FetchTarget(const TargetFile& target) = 0;

  // A file of the release log (signing/log/files.h) from the source number
  // `source`, from 0 on: a caller that could not use what one said asks the
  // next. kNotFound "no_more_sources" behind the last one, which by default is
  // the first.
  virtual absl::StatusOr<std::string> FetchLog(const std::string& name,
                                               size_t source,
                                               uint64_t max_bytes);
};

// Everything but letters, digits, '-', '.', '_' and '~' as %XX (RFC 3986), so
// that a role of any name is one file and one segment of a URL.
std::string PercentEncode(std::string_view text);

// "3.targets.json", "timestamp.json": a file's name in a repository's tree, the
// role percent-encoded.
std::string MetadataFileName(std::string_view role,
                             std::optional<uint64_t> version);

// A repository tree on disk (USB stick, export, origin's directory):
//   metadata/timestamp.json, metadata/N.ROLE.json,
//   targets/DIRECTORY/HEXDIGEST.NAME for the target DIRECTORY/NAME,
//   log/entries/N, log/tile/L/N.
class DirectoryFetcher final : public Fetcher {
 public:
  // `fs` outlives it.
  DirectoryFetcher(FileSystem& fs, std::string repository);
  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  absl::StatusOr<std::string> FetchTarget(const TargetFile& target) override;
  absl::StatusOr<std::string> FetchLog(const std::string& name, size_t source,
                                       uint64_t max_bytes) override;

 private:
  FileSystem& fs_;
  std::string repository_;
};

// "targets/fw/t/1/HEX.image": where a consistent-snapshot repository keeps a
// target; HEX is its sha256, or its sha512 when it has no other digest.
// kInvalidArgument "bad_target_path" for anything that could leave the tree
// (T34): an empty segment, "." and "..", control characters.
absl::StatusOr<std::string> TargetFilePath(const TargetFile& target);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_FETCHER_H_
