#include "tests/unit/delta_image/image_test_support.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "tests/support/status_matchers.h"

namespace shoal::delta {

std::string WordsAndNoise(std::mt19937_64& random, size_t size) {
  std::vector<std::string> words;
  for (int i = 0; i < 200; ++i)
    words.push_back(Noise(random, 2 + random() % 9));
  std::string out;
  while (out.size() < size) {
    out += words[random() % words.size()];
    if (random() % 16 == 0) out += Noise(random, random() % 6);
  }
  out.resize(size);
  return out;
}

std::string Noise(std::mt19937_64& random, size_t size) {
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

ReadAt ReadsFrom(const std::string& image) {
  return [&image](uint64_t offset, char* buffer, size_t size) -> absl::Status {
    if (offset > image.size() || size > image.size() - offset)
      return Internal("test", "read beyond the image");
    memcpy(buffer, image.data() + offset, size);
    return absl::OkStatus();
  };
}

std::string Compress(const CodecSetting& setting, std::string_view raw) {
  BlockCodec codec;
  const auto room = codec.Prepare(setting, raw.size());
  EXPECT_OK(room);
  if (!room.ok()) return "";
  memcpy(*room, raw.data(), raw.size());
  const auto stored = codec.Compress(MaxStoredLength(raw.size()));
  EXPECT_OK(stored);
  return stored.ok() ? std::string(*stored) : "";
}

CodecSetting Deflate(int level, bool wrapper) {
  return {.codec = ImageCodec::kDeflate,
          .level = static_cast<uint8_t>(level),
          .window = 15,
          .memory = 8,
          .wrapper = wrapper};
}

CodecSetting OneCallXz(uint32_t dictionary) {
  return {.codec = ImageCodec::kXz,
          .level = 6,
          .check = 1,
          .dictionary = dictionary};
}

std::string LittleEndianBytes(uint64_t value, int width) {
  std::string out;
  for (int i = 0; i < width; ++i)
    out.push_back(static_cast<char>(value >> 8 * i));
  return out;
}

std::string GzipMember(std::string_view raw, int level, int memory) {
  // Not through our own code: zlib as any program calls it.
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 31, memory, 0), Z_OK);
  std::string out(deflateBound(&stream, raw.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  stream.avail_in = static_cast<uInt>(raw.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Lz4Legacy(std::string_view raw, int level) {
  std::string out = "\x02\x21\x4c\x18";
  while (!raw.empty()) {
    const std::string stored = Compress(
        {.codec = ImageCodec::kLz4Hc, .level = static_cast<uint8_t>(level)},
        raw.substr(0, kMaxLz4Block));
    out += LittleEndianBytes(stored.size(), 4) + stored;
    raw.remove_prefix(std::min<size_t>(raw.size(), kMaxLz4Block));
  }
  return out;
}

namespace {
size_t Count(const ImageMap& map, Segment::Kind kind) {
  size_t count = 0;
  for (const Layer& layer : map.layers)
    for (const Segment& segment : layer.segments) count += segment.kind == kind;
  return count;
}
}  // namespace

size_t CountBlocks(const ImageMap& map) {
  return Count(map, Segment::Kind::kBlock);
}
size_t CountVerbatim(const ImageMap& map) {
  return Count(map, Segment::Kind::kVerbatim);
}

std::string Expanded(const ImageMap& map, const std::string& image) {
  std::string out;
  EXPECT_OK(WriteExpanded(map, ReadsFrom(image), [&](std::string_view bytes) {
    out += bytes;
    return absl::OkStatus();
  }));
  EXPECT_EQ(out.size(), map.ExpandedSize());
  return out;
}

Rebuilt Rebuild(const ImagePair& maps, const std::string& old_image,
                std::string_view expanded, size_t step, uint64_t resume_at) {
  Rebuilt result;
  const auto old_reader =
      ExpandedReader::Create(maps.old_map, ReadsFrom(old_image), 64 << 10);
  EXPECT_OK(old_reader);
  RebuilderOptions options;
  options.old_image = old_reader->get();
  options.resume_at = resume_at;
  options.write = [&](std::string_view bytes) {
    result.written += bytes;
    EXPECT_LE(resume_at + result.written.size(), maps.new_map.image_size);
    return absl::OkStatus();
  };
  auto rebuilder = Rebuilder::Create(maps.new_map, options);
  result.status = rebuilder.status();
  if (!rebuilder.ok()) return result;
  const uint64_t from = (*rebuilder)->point().expanded_offset;
  EXPECT_LE(from, expanded.size());
  expanded.remove_prefix(std::min<size_t>(from, expanded.size()));
  while (!expanded.empty() && result.status.ok()) {
    result.status = (*rebuilder)->Write(expanded.substr(0, step));
    expanded.remove_prefix(std::min(step, expanded.size()));
    if (result.status.ok()) result.points.push_back((*rebuilder)->point());
  }
  if (result.status.ok()) result.status = (*rebuilder)->Finish();
  return result;
}

RoundTrip ThereAndBack(const std::string& old_image,
                       const std::string& new_image,
                       const AnalyzeOptions& options) {
  RoundTrip result;
  auto maps = AnalyzePair(ReadsFrom(old_image), old_image.size(),
                          ReadsFrom(new_image), new_image.size(), options);
  EXPECT_OK(maps);
  if (!maps.ok()) return result;
  const std::string serialized =
      SerializeImageMap(maps->old_map) + SerializeImageMap(maps->new_map);
  std::string_view rest = serialized;
  auto old_map = ParseImageMap(rest, 1 << 24);
  EXPECT_OK(old_map);
  auto new_map = ParseImageMap(rest, 1 << 24, OuterSizes(maps->old_map));
  EXPECT_OK(new_map);
  if (!old_map.ok() || !new_map.ok()) return result;
  EXPECT_EQ(rest, "");
  EXPECT_EQ(*old_map, maps->old_map);
  EXPECT_EQ(*new_map, maps->new_map);
  result.maps = {std::move(*old_map), std::move(*new_map)};
  const Rebuilt rebuilt = Rebuild(
      result.maps, old_image, Expanded(result.maps.new_map, new_image), 10007);
  EXPECT_OK(rebuilt.status);
  result.rebuilt = rebuilt.written;
  return result;
}

}  // namespace shoal::delta
