// Feeds any bytes as a classic BSDIFF40 patch to the applier. bzip2's checksums
// would hide the instructions from a fuzzer, so the input is a recipe: three
// contents that are compressed here (unless the first byte says to take the
// rest as the patch itself).
//
// What must hold: no crash, no read outside of base or patch, never more
// written than the expected length, and every outcome is OK or one of the known
// reasons.
#include <bzlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "common/status.h"
#include "delta/apply/bsdiff40.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kMostOutput = 1 << 18;

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "broken: %s\n", what);
  abort();
}

std::string Bzip2(std::string_view raw) {
  std::string out(raw.size() + raw.size() / 64 + 1024, '\0');
  auto size = static_cast<unsigned>(out.size());
  Require(BZ2_bzBuffToBuffCompress(
              out.data(), &size, const_cast<char*>(raw.data()),
              static_cast<unsigned>(raw.size()), 1, 0, 0) == BZ_OK,
          "bzip2");
  out.resize(size);
  return out;
}

// Input: new size (3 bytes), number of triples (1 byte), triples of three
// numbers of 4 bytes, the last of them signed; how many bytes are diff (2
// bytes); diff; extra.
std::string PatchFromRecipe(std::string_view in) {
  const auto take = [&](size_t n) {
    const std::string_view front = in.substr(0, n);
    in.remove_prefix(front.size());
    return front;
  };
  const auto number = [&](size_t n) {
    uint64_t value = 0;
    for (const char c : take(n)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  };
  Bsdiff40Header header;
  header.new_size = number(3);
  std::string control;
  for (uint64_t i = number(1); i > 0; --i) {
    AppendBsdiff40Number(control, static_cast<int64_t>(number(4)));
    AppendBsdiff40Number(control, static_cast<int64_t>(number(4)));
    AppendBsdiff40Number(control, static_cast<int32_t>(number(4)));
  }
  const std::string_view diff = take(number(2));
  const std::string packed_control = Bzip2(control), packed_diff = Bzip2(diff);
  header.control_size = packed_control.size();
  header.diff_size = packed_diff.size();
  return EncodeBsdiff40Header(header) + packed_control + packed_diff +
         Bzip2(in);
}

void RunOne(std::string_view input) {
  static const std::string base = [] {
    std::string bytes;
    for (int i = 0; i < 5000; ++i)
      bytes.push_back(static_cast<char>(i * i >> 3));
    return bytes;
  }();
  if (input.empty()) return;
  const bool recipe = input[0] != 0;
  input.remove_prefix(1);
  const std::string patch =
      recipe ? PatchFromRecipe(input) : std::string(input);
  Bsdiff40Options options;
  options.read_patch = [&](uint64_t at, char* buffer, size_t size) {
    Require(at <= patch.size() && size <= patch.size() - at,
            "read outside patch");
    memcpy(buffer, patch.data() + at, size);
    return absl::OkStatus();
  };
  options.patch_size = patch.size();
  options.read_old = [&](uint64_t at, char* buffer, size_t size) {
    Require(at <= base.size() && size <= base.size() - at, "read outside base");
    memcpy(buffer, base.data() + at, size);
    return absl::OkStatus();
  };
  options.old_size = base.size();
  const auto header = ParseBsdiff40Header(
      std::string_view(patch).substr(0, kBsdiff40HeaderSize), patch.size());
  options.expected_size =
      header.ok() ? std::min(header->new_size, kMostOutput) : 0;
  uint64_t written = 0;
  options.write_new = [&](std::string_view bytes) {
    written += bytes.size();
    Require(written <= options.expected_size,
            "written beyond the expected length");
    return absl::OkStatus();
  };
  const absl::Status status = ApplyBsdiff40(options);
  Require(!status.ok() || written == options.expected_size, "too few bytes");
  constexpr std::array<std::string_view, 6> kReasons = {"ok",
                                                        "wrong_result",
                                                        "delta_corrupt",
                                                        "delta_truncated",
                                                        "delta_too_large",
                                                        "delta_memory"};
  Require(std::find(kReasons.begin(), kReasons.end(), ReasonOf(status)) !=
              kReasons.end(),
          "unknown reason");
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
