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
// Values in one document: 5 MB of "[[],[],…" would otherwise take 100 MB.
inline constexpr size_t kMaxJsonValues = 250'000;
inline constexpr int64_t kMaxJsonInteger = (int64_t{1} << 53) - 1;

enum class JsonKeys { kAscii, kUtf8 };

// Refused with "bad_metadata": duplicate keys, keys that are not printable
// ASCII (with kUtf8: that hold control characters), floats, integers of 2^53
// and beyond, nesting deeper than 32, invalid UTF-8, NUL in a string, more than
// kMaxJsonValues values, anything after the value. "metadata_too_large" when
// `text` is longer than `max_bytes`.
absl::StatusOr<nlohmann::json> ParseStrictJson(
    std::string_view text, uint64_t max_bytes,
    JsonKeys keys = JsonKeys::kAscii);

// Canonical JSON as OLPC defines it and TUF signs it: keys sorted by bytes, no
// blanks, in strings only '"' and '\' are escaped. `value` comes from
// ParseStrictJson.
std::string Canonicalize(const nlohmann::json& value);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_METADATA_JSON_H_
