#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {

// Linear back-tracking: only the last '*' is ever retried, so hostile patterns
// cost at most |pattern| × |path|.
bool PathMatches(std::string_view pattern, std::string_view path) {
  size_t p = 0;
  size_t s = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (s < path.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = s;
    } else if (p < pattern.size() && (pattern[p] == path[s] ||
                                      (pattern[p] == '?' && path[s] != '/'))) {
      ++p;
      ++s;
    } else if (star != std::string_view::npos && path[mark] != '/') {
      p = star + 1;
      s = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool DelegationMatches(const DelegatedRole& role, std::string_view path) {
  for (const std::string& pattern : role.paths)
    if (PathMatches(pattern, path)) return true;
  if (role.path_hash_prefixes.empty()) return false;
  const std::string hash = HexEncode(crypto::Sha256Digest(path));
  for (const std::string& prefix : role.path_hash_prefixes)
    if (hash.compare(0, prefix.size(), prefix) == 0) return true;
  return false;
}

}  // namespace shoal::signing
