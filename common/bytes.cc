#include "common/bytes.h"

#include <fmt/format.h>

#include "common/status.h"

namespace shoal {
namespace {
constexpr char kBase32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int Base32Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= '2' && c <= '7') return c - '2' + 26;
  return -1;
}

bool IsAlphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9');
}
}  // namespace

std::string HexEncode(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    out.push_back(kDigits[c >> 4]);
    out.push_back(kDigits[c & 15]);
  }
  return out;
}

absl::StatusOr<std::string> HexDecode(std::string_view text) {
  if (text.size() % 2 != 0)
    return InvalidArgument("bad_hex", "odd number of hex digits");
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexValue(text[i]), low = HexValue(text[i + 1]);
    if (high < 0 || low < 0)
      return InvalidArgument("bad_hex",
                             fmt::format("not a hex digit at offset {}", i));
    out.push_back(static_cast<char>(high << 4 | low));
  }
  return out;
}

std::string Base32Encode(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (unsigned char c : bytes) {
    bits = bits << 8 | c;
    count += 8;
    while (count >= 5) {
      out.push_back(kBase32[bits >> (count - 5) & 31]);
      count -= 5;
    }
  }
  if (count > 0) out.push_back(kBase32[bits << (5 - count) & 31]);
  return out;
}

absl::StatusOr<std::string> Base32Decode(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '-' || c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    const int value = Base32Value(c);
    if (value < 0)
      return InvalidArgument("bad_base32",
                             fmt::format("not a base32 digit at offset {}", i));
    bits = bits << 5 | static_cast<uint32_t>(value);
    count += 5;
    if (count >= 8) {
      out.push_back(static_cast<char>(bits >> (count - 8) & 255));
      count -= 8;
    }
  }
  if ((bits & ((1u << count) - 1)) != 0)
    return InvalidArgument("bad_base32", "trailing bits are not zero");
  return out;
}

void AppendBigEndian(std::string& out, uint64_t value, int width) {
  for (int shift = (width - 1) * 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 255));
}

uint64_t ReadBigEndian(std::string_view bytes, int width) {
  uint64_t value = 0;
  for (int i = 0; i < width; ++i)
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string HumanBytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1000 && unit < 6) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes)
                   : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

bool IsIdentifier(std::string_view name, size_t max) {
  if (name.empty() || name.size() > max) return false;
  if (name[0] == '.' || name[0] == '-') return false;
  for (char c : name)
    if (!IsAlphanumeric(c) && c != '.' && c != '_' && c != '-') return false;
  return true;
}

}  // namespace shoal
