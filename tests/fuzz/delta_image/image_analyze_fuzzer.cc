// Any bytes as an image: squashfs, gzip, xz, zstd and LZ4 parsers. The first
// byte decides whether blocks are believed (old image) or proven (new image).
// What must hold: no crash, no read beyond the image, the map covers the image
// and expands, and a proven map rebuilds the image byte for byte.
#include <cstdint>
#include <string>
#include <string_view>

#include "delta/image/analyze/analyze.h"
#include "delta/image/rebuilder.h"
#include "tests/fuzz/delta_image/fuzz_support.h"

namespace shoal::delta {
namespace {

void RunOne(std::string_view input) {
  if (input.empty()) return;
  AnalyzeOptions options;
  options.threads = 1;
  options.verify_exact = input[0] & 1;
  options.max_rebuild_memory = 4u << 20;
  input.remove_prefix(1);
  const ReadAt read = ReadsFrom(input);
  const auto map = Analyze(read, input.size(), options);
  Require(map.ok(), "analysing failed");
  Require(map->image_size == input.size(), "another size");
  std::string expanded;
  const absl::Status status =
      WriteExpanded(*map, read, [&](std::string_view bytes) {
        expanded += bytes;
        return absl::OkStatus();
      });
  Require(status.ok(), "a block of the map does not expand");
  Require(expanded.size() == map->ExpandedSize(), "another expanded size");
  if (!options.verify_exact) return;
  std::string rebuilt;
  RebuilderOptions rebuild;
  rebuild.write = [&](std::string_view bytes) {
    rebuilt += bytes;
    return absl::OkStatus();
  };
  const auto rebuilder = Rebuilder::Create(*map, rebuild);
  Require(rebuilder.ok() && (*rebuilder)->Write(expanded).ok() &&
              (*rebuilder)->Finish().ok(),
          "a proven map does not rebuild");
  Require(rebuilt == input, "rebuilt another image");
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
