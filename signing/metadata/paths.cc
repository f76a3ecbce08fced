// Who may say anything about a path (T09).
#include <fmt/format.h>

#include <charconv>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "signing/metadata/metadata.h"

namespace shoal::signing {
namespace {

struct SetMatch {
  size_t length = 0;  // of the set in the pattern; 0: not closed, no set
  bool matches = false;
};

// `pattern` begins with '['. A set lies within one segment, as with the clients
// that split pattern and path at '/' first.
SetMatch MatchSet(std::string_view pattern, char c) {
  pattern = pattern.substr(0, pattern.find('/'));
  size_t i = 1;
  const bool negated =
      i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (negated) ++i;
  bool found = false;
  // A ']' that comes first is a member.
  for (const size_t first = i; i < pattern.size(); ++i) {
    if (pattern[i] == ']' && i != first)
      return {i + 1, c != '/' && found != negated};
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' &&
        pattern[i + 2] != ']') {
      found |= pattern[i] <= c && c <= pattern[i + 2];
      i += 2;
    } else {
      found |= pattern[i] == c;
    }
  }
  return {};
}

// How much of `pattern` one character of a path takes up; 0: no match. '*' is
// the caller's matter.
size_t MatchOne(std::string_view pattern, char c) {
  if (pattern.empty()) return 0;
  if (pattern[0] == '?') return c == '/' ? 0 : 1;
  if (pattern[0] == '[')
    if (const SetMatch set = MatchSet(pattern, c); set.length > 0)
      return set.matches ? set.length : 0;
  return pattern[0] == c ? 1 : 0;
}

std::string SuffixOf(const SuccinctRoles& roles, uint32_t index) {
  return fmt::format("{:0{}x}", index, (roles.bit_length + 3) / 4);
}

}  // namespace

// Linear back-tracking: only the last '*' is ever retried, so hostile patterns
// cost at most |pattern| × |path| single matches.
bool PathMatches(std::string_view pattern, std::string_view path) {
  size_t p = 0;
  size_t s = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (s < path.size()) {
    size_t step = 0;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = s;
    } else if ((step = MatchOne(pattern.substr(p), path[s])) > 0) {
      p += step;
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

DelegatedRole SuccinctBin(const SuccinctRoles& roles, uint32_t index) {
  DelegatedRole bin;
  bin.name = roles.name_prefix + "-" + SuffixOf(roles, index);
  bin.keys = roles.keys;
  // TAP 15 leaves no path to anybody after its bins.
  bin.terminating = true;
  // The bits of the hash in whole hex digits: up to eight prefixes, when the
  // bins are not counted in fours of bits.
  const uint32_t digits = (roles.bit_length + 3) / 4;
  const uint32_t spare = digits * 4 - roles.bit_length;
  for (uint64_t low = 0; low < (uint64_t{1} << spare); ++low)
    bin.path_hash_prefixes.push_back(fmt::format(
        "{:0{}x}", (static_cast<uint64_t>(index) << spare) | low, digits));
  return bin;
}

std::vector<DelegatedRole> RolesFor(const Delegations& delegations,
                                    std::string_view path) {
  std::vector<DelegatedRole> result;
  if (delegations.succinct) {
    const uint64_t head = ReadBigEndian(crypto::Sha256Digest(path), 4);
    result.push_back(SuccinctBin(
        *delegations.succinct,
        static_cast<uint32_t>(head >>
                              (32 - delegations.succinct->bit_length))));
    return result;
  }
  for (const DelegatedRole& role : delegations.roles)
    if (DelegationMatches(role, path)) result.push_back(role);
  return result;
}

std::optional<DelegatedRole> FindDelegation(const Delegations& delegations,
                                            std::string_view name) {
  for (const DelegatedRole& role : delegations.roles)
    if (role.name == name) return role;
  if (!delegations.succinct) return std::nullopt;
  const SuccinctRoles& bins = *delegations.succinct;
  const std::string prefix = bins.name_prefix + "-";
  if (!name.starts_with(prefix)) return std::nullopt;
  const std::string_view suffix = name.substr(prefix.size());
  uint64_t index = 0;
  const auto [end, error] =
      std::from_chars(suffix.data(), suffix.data() + suffix.size(), index, 16);
  if (error != std::errc() || end != suffix.data() + suffix.size() ||
      index >= uint64_t{1} << bins.bit_length ||
      SuffixOf(bins, static_cast<uint32_t>(index)) != suffix)
    return std::nullopt;
  return SuccinctBin(bins, static_cast<uint32_t>(index));
}

}  // namespace shoal::signing
