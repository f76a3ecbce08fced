// Patterns against paths: the first line of the input is the pattern, the rest
// the path. The fast matcher must say what the obvious one says.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "signing/metadata/metadata.h"
#include "signing/verify/fetcher.h"

namespace {

using namespace shoal::signing;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

// Tries every length of every '*'; what else there is, by the matcher itself
// on one character.
bool Obvious(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return path.empty();
  if (pattern[0] == '*') {
    for (size_t n = 0;; ++n) {
      if (Obvious(pattern.substr(1), path.substr(n))) return true;
      if (n == path.size() || path[n] == '/') return false;
    }
  }
  if (path.empty()) return false;
  // How long the first element is: the shortest beginning that is complete.
  size_t length = 1;
  if (pattern[0] == '[') {
    size_t i = 1;
    if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
    const size_t first = i;
    while (i < pattern.size() && (pattern[i] != ']' || i == first)) {
      const bool range = i + 2 < pattern.size() && pattern[i + 1] == '-' &&
                         pattern[i + 2] != ']';
      i += range ? 3 : 1;
    }
    if (i < pattern.size()) length = i + 1;
  }
  return PathMatches(pattern.substr(0, length), path.substr(0, 1)) &&
         Obvious(pattern.substr(length), path.substr(1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t line = bytes.find('\n');
  const std::string_view pattern = bytes.substr(0, line);
  const std::string_view path =
      line == bytes.npos ? std::string_view() : bytes.substr(line + 1);
  const bool matches = PathMatches(pattern, path);
  // The obvious way takes exponential time.
  if (pattern.size() <= 12 && path.size() <= 16)
    Require(matches == Obvious(pattern, path));
  if (matches) {
    // '/' is matched by itself only.
    const auto slashes = [](std::string_view s) {
      size_t n = 0;
      for (const char c : s) n += c == '/';
      return n;
    };
    Require(slashes(pattern) >= slashes(path));
  }
  for (const uint32_t bits : {1u, 7u, 32u}) {
    Delegations delegations;
    delegations.succinct = SuccinctRoles{{}, bits, std::string(pattern)};
    for (const DelegatedRole& bin : RolesFor(delegations, path))
      Require(DelegationMatches(bin, path) &&
              FindDelegation(delegations, bin.name).has_value());
    FindDelegation(delegations, path);
  }
  TargetFile target;
  target.path = std::string(path);
  target.sha256 = std::string(32, 'x');
  if (const auto place = TargetFilePath(target); place.ok())
    Require(place->starts_with("targets/") &&
            ("/" + *place + "/").find("/../") == std::string::npos);
  return 0;
}
