// Strict JSON and its canonical form on any bytes.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "signing/metadata/json.h"
#include "signing/metadata/metadata.h"

namespace {

using namespace shoal::signing;  // NOLINT: a fuzzer's only file

void Require(bool ok) {
  if (!ok) abort();
}

bool HasControl(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20) return true;
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const JsonKeys keys : {JsonKeys::kAscii, JsonKeys::kUtf8}) {
    const auto value = ParseStrictJson(bytes, kMaxTargetsBytes, keys);
    if (!value.ok()) continue;
    // What the narrow rule takes, the wide one takes.
    Require(ParseStrictJson(bytes, kMaxTargetsBytes, JsonKeys::kUtf8).ok());
    const std::string once = Canonicalize(*value);
    // Another way of writing the same value has the same canonical form…
    const auto again =
        ParseStrictJson(value->dump(), 8 * kMaxTargetsBytes, keys);
    Require(again.ok() && Canonicalize(*again) == once);
    // …which without control characters is JSON, and canonical already.
    if (HasControl(once)) continue;
    const auto twice = ParseStrictJson(once, 8 * kMaxTargetsBytes, keys);
    Require(twice.ok() && *twice == *value && Canonicalize(*twice) == once);
  }
  return 0;
}
