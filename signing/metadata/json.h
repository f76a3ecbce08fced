// Strict JSON (T12), for this library and its siblings only: nlohmann's header
// is slow to compile, so it stays out of public headers.
#ifndef SHOAL_SIGNING_METADATA_JSON_H_
#define SHOAL_SIGNING_METADATA_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::signing {

inline constexpr int kMaxJsonDepth = 32;
inline constexpr int64_t kMaxJsonInteger = (int64_t{1} << 53) - 1;

// Refused with "bad_metadata": duplicate keys, keys that are not printable
// ASCII, floats, integers of 2^53 and beyond, nesting deeper than 32, invalid
// UTF-8, NUL in a string, anything after the value. "metadata_too_large" when
// `text` is longer than `max_bytes`.
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view text,
                                               uint64_t max_bytes);

// Canonical JSON as OLPC defines it and TUF signs it: keys sorted by bytes, no
// blanks, in strings only '"' and '\' are escaped. `value` comes from
// ParseStrictJson.
std::string Canonicalize(const nlohmann::json& value);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_JSON_H_
