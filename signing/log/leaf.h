// What stands in the release log, one leaf for each thing that the management
// plane published or signed. docs/log.md is the byte-exact page.
#ifndef SHOAL_SIGNING_LOG_LEAF_H_
#define SHOAL_SIGNING_LOG_LEAF_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::signing {

enum class LogLeafKind : uint8_t {
  kMetadata = 1,  // name: role; number: version; digest of the file
  kTarget = 2,    // name: target path; number: length; digest of its bytes
  kCredential = 3,  // name: "device/SUBJECT-HEX", "node/…", "claim/…",
                    // "door/…"; number: serial; digest of the serialised Credential
};

struct LogLeaf {
  LogLeafKind kind = LogLeafKind::kMetadata;
  uint64_t number = 0;
  std::string sha256;  // 32 bytes
  std::string name;    // 1 to 200 bytes of printable ASCII
};

inline constexpr size_t kMaxLogName = 200;
inline constexpr size_t kMaxLogLeafBytes = 2 + 8 + 32 + kMaxLogName;

// "bad_log_leaf" (kInvalidArgument) for a name or digest out of range.
absl::StatusOr<std::string> EncodeLogLeaf(const LogLeaf& leaf);
// A target's path as a name: itself, or when it does not fit "sha256:" and its
// digest in hex.
std::string LogNameOf(std::string_view path);
// The one encoding of it and nothing else; else "bad_log_leaf". A kind that is
// not known here passes as it is: a log is read by older programs too.
absl::StatusOr<LogLeaf> ParseLogLeaf(std::string_view bytes);

// "metadata", "target", "credential", "kind 9".
std::string LogLeafKindName(LogLeafKind kind);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_LOG_LEAF_H_
