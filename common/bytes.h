// Byte strings and their texts. Binary data is std::string throughout; a
// parameter that only reads takes std::string_view.
#ifndef SHOAL_COMMON_BYTES_H_
#define SHOAL_COMMON_BYTES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal {

std::string HexEncode(std::string_view bytes);  // lower case
// Reason "bad_hex" unless an even number of hex digits of either case.
absl::StatusOr<std::string> HexDecode(std::string_view text);

// RFC 4648 base32 without padding, upper case; decoding takes either case and
// skips '-' and blanks, which people insert when they copy by hand.
std::string Base32Encode(std::string_view bytes);
absl::StatusOr<std::string> Base32Decode(std::string_view text);

// Fixed-width integers in network byte order.
void AppendBigEndian(std::string& out, uint64_t value, int width);
// Reads `width` bytes at the start of `bytes`, which must hold them.
uint64_t ReadBigEndian(std::string_view bytes, int width);

// "1.4 MB" (powers of 1000) for messages to people.
std::string HumanBytes(uint64_t bytes);

// True for [a-zA-Z0-9._-]{1,max}, not starting with '.' or '-': every name
// that becomes part of a path or a metadata name is checked with this (T34).
bool IsIdentifier(std::string_view name, size_t max = 64);

}  // namespace shoal

#endif  // SHOAL_COMMON_BYTES_H_
