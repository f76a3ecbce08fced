#include "tests/unit/delta/resealed_patch.h"

#include <gtest/gtest.h>
#include <zstd.h>

namespace shoal::delta {

OpenPatch TakeApart(std::string_view patch) {
  OpenPatch open;
  const auto header = ParseHeader(patch);
  EXPECT_TRUE(header.ok());
  if (!header.ok()) return open;
  open.header = *header;
  patch.remove_prefix(kHeaderSize);
  if (header->maps_size != 0) {
    const std::string_view stored =
        patch.substr(kChecksumSize, header->maps_stored);
    open.maps.resize(header->maps_size);
    if (stored.size() == open.maps.size()) {
      open.maps = std::string(stored);
    } else {
      EXPECT_EQ(ZSTD_decompress(open.maps.data(), open.maps.size(),
                                stored.data(), stored.size()),
                open.maps.size());
    }
    patch.remove_prefix(kChecksumSize + stored.size());
  }
  while (!patch.empty()) {
    std::string_view rest = patch;
    const auto window = TakeWindowHeader(rest);
    EXPECT_TRUE(window);
    if (!window) break;
    const size_t size = patch.size() - rest.size();
    open.windows.push_back(
        {std::string(patch.substr(0, size)),
         std::string(rest.substr(kChecksumSize, window->StoredSize()))});
    patch = rest.substr(kChecksumSize + window->StoredSize());
  }
  return open;
}

std::string Seal(const OpenPatch& patch) {
  Header header = patch.header;
  header.maps_size = header.maps_stored =
      static_cast<uint32_t>(patch.maps.size());
  std::string out = EncodeHeader(header);
  const std::string checksum = out.substr(kHeaderSize - kChecksumSize);
  if (!patch.maps.empty())
    out += WindowChecksum(checksum, 0, "", patch.maps) + patch.maps;
  uint64_t at = 0;
  for (const OpenPatch::Window& window : patch.windows) {
    out += window.header;
    out += WindowChecksum(checksum, at, window.header, window.stored);
    out += window.stored;
    std::string_view bytes = window.header;
    const auto parsed = TakeWindowHeader(bytes);
    // A list of operations makes nothing by itself.
    if (parsed && parsed->kind != WindowKind::kOperations)
      at += parsed->new_size;
  }
  return out;
}

}  // namespace shoal::delta
