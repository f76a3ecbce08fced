// What the image tests share: bytes that compress like programs do, writers of
// each compressed format, and the whole way out and back.
#ifndef SHOAL_TESTS_UNIT_DELTA_IMAGE_IMAGE_TEST_SUPPORT_H_
#define SHOAL_TESTS_UNIT_DELTA_IMAGE_IMAGE_TEST_SUPPORT_H_

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "delta/image/analyze/analyze.h"
#include "delta/image/expanded_reader.h"
#include "delta/image/image_map.h"
#include "delta/image/rebuilder.h"

namespace shoal::delta {

std::string WordsAndNoise(std::mt19937_64& random, size_t size);
std::string Noise(std::mt19937_64& random, size_t size);

// Thread-safe; `image` must outlive it.
ReadAt ReadsFrom(const std::string& image);

// Compressed with the device's own code.
std::string Compress(const CodecSetting& setting, std::string_view raw);
CodecSetting Deflate(int level, bool wrapper = false);
CodecSetting OneCallXz(uint32_t dictionary);

// A gzip member as zlib writes it: header, deflate block, trailer.
std::string GzipMember(std::string_view raw, int level, int memory = 8);
// As `lz4 -l` writes it.
std::string Lz4Legacy(std::string_view raw, int level);
std::string LittleEndianBytes(uint64_t value, int width);

size_t CountBlocks(const ImageMap& map);
size_t CountVerbatim(const ImageMap& map);

std::string Expanded(const ImageMap& map, const std::string& image);

// Analyses the pair, sends both maps through their serialised form, expands
// the new image and rebuilds it; gives the rebuilt image and the maps.
struct RoundTrip {
  std::string rebuilt;
  ImagePair maps;
};
RoundTrip ThereAndBack(const std::string& old_image,
                       const std::string& new_image,
                       const AnalyzeOptions& options = {});

// Rebuilds in pieces of `step` bytes; from `resume_at` on when not 0.
struct Rebuilt {
  absl::Status status;
  std::string written;
  std::vector<RebuildPoint> points;  // after every piece
};
Rebuilt Rebuild(const ImagePair& maps, const std::string& old_image,
                std::string_view expanded, size_t step, uint64_t resume_at = 0);

}  // namespace shoal::delta

#endif  // SHOAL_TESTS_UNIT_DELTA_IMAGE_IMAGE_TEST_SUPPORT_H_
