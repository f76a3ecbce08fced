#include "signing/log/leaf.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

constexpr char kFormat = 1;
constexpr size_t kHeader = 2 + 8 + crypto::kSha256Size;

bool UsableName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxLogName &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

absl::StatusOr<std::string> EncodeLogLeaf(const LogLeaf& leaf) {
  if (!UsableName(leaf.name) || leaf.sha256.size() != crypto::kSha256Size)
    return InvalidArgument(
        "bad_log_leaf",
        fmt::format("'{}' does not fit into the release log: a name has up to "
                    "{} printable characters",
                    leaf.name.substr(0, kMaxLogName), kMaxLogName));
  std::string bytes{kFormat, static_cast<char>(leaf.kind)};
  AppendBigEndian(bytes, leaf.number, 8);
  bytes += leaf.sha256;
  bytes += leaf.name;
  return bytes;
}

std::string LogNameOf(std::string_view path) {
  return UsableName(path) ? std::string(path)
                          : "sha256:" + HexEncode(crypto::Sha256Digest(path));
}

absl::StatusOr<LogLeaf> ParseLogLeaf(std::string_view bytes) {
  if (bytes.size() <= kHeader || bytes[0] != kFormat || bytes[1] == 0 ||
      !UsableName(bytes.substr(kHeader)))
    return InvalidArgument("bad_log_leaf", "not a leaf of a release log");
  LogLeaf leaf;
  leaf.kind = static_cast<LogLeafKind>(bytes[1]);
  leaf.number = ReadBigEndian(bytes.substr(2), 8);
  leaf.sha256 = bytes.substr(10, crypto::kSha256Size);
  leaf.name = bytes.substr(kHeader);
  return leaf;
}

std::string LogLeafKindName(LogLeafKind kind) {
  switch (kind) {
    case LogLeafKind::kMetadata:
      return "metadata";
    case LogLeafKind::kTarget:
      return "target";
    case LogLeafKind::kCredential:
      return "credential";
  }
  return fmt::format("kind {}", static_cast<unsigned>(kind));
}

}  // namespace shoal::signing
