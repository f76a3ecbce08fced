// Any bytes as what a patch carries: a map of the old image, a map of the new
// one, the codecs; then bytes of the old and of the expanded new image. What
// must hold: no crash, known reasons, bounded memory, never more written than
// the map says, and what was parsed is written the same way again.
#include <cstdint>
#include <string>
#include <string_view>

#include "delta/image/expanded_reader.h"
#include "delta/image/rebuilder.h"
#include "tests/fuzz/delta_image/fuzz_support.h"

namespace shoal::delta {
namespace {

constexpr uint64_t kMapMemory = 1u << 20;
constexpr uint64_t kMostMemory = 8u << 20;  // a device refuses what needs more
constexpr uint64_t kMostBytes = 1u << 20;   // keeps one run short

void ReadAll(const ImageMap& map, std::string_view image) {
  if (ExpandedReaderMemory(map, 65536) > kMostMemory) return;
  // The image may be shorter than its map says: then reads are refused.
  const ReadAt read = [&](uint64_t offset, char* buffer,
                          size_t size) -> absl::Status {
    if (offset > image.size() || size > image.size() - offset)
      return DataLoss("image_block", "the image is shorter");
    memcpy(buffer, image.data() + offset, size);
    return absl::OkStatus();
  };
  const auto reader = ExpandedReader::Create(map, read, 65536);
  Require(reader.ok(), "no reader");
  std::string buffer(5000, '\0');
  const uint64_t end = std::min((*reader)->size(), kMostBytes);
  for (uint64_t at = 0; at + buffer.size() <= end; at += 30011)
    RequireKnown((*reader)->Read(at, buffer.data(), buffer.size()));
}

void RebuildFrom(const ImageMap& map, std::string_view bytes) {
  if (RebuilderMemory(map) > kMostMemory) return;
  uint64_t written = 0;
  RebuilderOptions options;
  options.write = [&](std::string_view piece) {
    written += piece.size();
    Require(written <= map.image_size, "written beyond the image");
    return absl::OkStatus();
  };
  const auto rebuilder = Rebuilder::Create(map, options);
  Require(rebuilder.ok(), "no rebuilder");
  absl::Status status;
  for (int i = 0; i < 20 && status.ok(); ++i) {
    status = (*rebuilder)->Write(bytes);
    const RebuildPoint point = (*rebuilder)->point();
    Require(point.image_offset <= map.image_size &&
                point.expanded_offset <= map.ExpandedSize(),
            "a point outside the image");
    options.resume_at = point.image_offset;
    Require(!status.ok() || Rebuilder::Create(map, options).ok(),
            "a point that cannot be resumed from");
  }
  if (status.ok()) status = (*rebuilder)->Finish();
  if (ReasonOf(status) != "image_read") RequireKnown(status);
}

void RunOne(std::string_view input) {
  const std::string_view whole = input;
  const auto old_map = ParseImageMap(input, kMapMemory);
  RequireKnown(old_map.status());
  if (!old_map.ok()) return;
  Require(SerializeImageMap(*old_map) ==
              whole.substr(0, whole.size() - input.size()),
          "a map has two serialised forms");
  Require(MemoryOf(*old_map) <= 2 * kMapMemory, "too much memory");
  const std::string_view rest = input;
  const auto new_map = ParseImageMap(input, kMapMemory, OuterSizes(*old_map));
  RequireKnown(new_map.status());
  if (new_map.ok()) {
    std::string_view codecs = input;
    RequireKnown(CheckCodecs(*new_map, codecs));
    RebuildFrom(*new_map, input);
  }
  ReadAll(*old_map, rest);
}

}  // namespace
}  // namespace shoal::delta

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shoal::delta::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
