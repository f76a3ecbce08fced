// The serialised map: what is written is read, and nothing else is believed.
#include <gtest/gtest.h>

#include <random>

#include "common/bytes.h"
#include "delta/image/image_map.h"
#include "delta/image/lz4_pieces.h"
#include "delta/image/lz4_sequences.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;
using Kind = Segment::Kind;

constexpr uint64_t kPlenty = 1 << 24;

ImageMap Example() {
  ImageMap map;
  map.settings = {Deflate(9, true), OneCallXz(131072)};
  Layer outer;
  AppendSegment(outer, {.stored = 96});
  AppendSegment(
      outer,
      {.kind = Kind::kBlock, .setting = 1, .raw = 131072, .stored = 40000});
  AppendSegment(outer,
                {.kind = Kind::kVerbatim, .stored = 300, .old_place = 7000});
  AppendSegment(outer, {.stored = 4});
  Layer inner;
  AppendSegment(inner, {.stored = 1172});
  AppendSegment(inner, {.kind = Kind::kBlock, .raw = 900000, .stored = 130000});
  map.image_size = outer.outer_size;
  map.layers = {outer, inner};
  EXPECT_EQ(outer.inner_size, inner.outer_size);
  return map;
}
const std::vector<uint64_t> kOldSizes = {8000, 0};

absl::StatusOr<ImageMap> Parse(std::string_view bytes,
                               uint64_t memory = kPlenty) {
  return ParseImageMap(bytes, memory, kOldSizes);
}

// The worked example of docs/delta-image.md.
TEST(MapFormat, IsByteExact) {
  EXPECT_EQ(HexEncode(SerializeImageMap(Example())),
            "d0bb02"  // image size 40,400
            "02"      // two settings
            "0109"
            "0f08000100"
            "00"
            "00000000"
            "0206"
            "00000000"
            "01"
            "00"
            "00020000"
            "02"  // two layers
            "04"
            "00050200"
            "60c0b802ac0204"
            "808008"
            "b06d"
            "02"
            "0001"
            "9409d0f707"
            "a0f736");
}

TEST(MapFormat, ThereAndBack) {
  const ImageMap map = Example();
  const std::string bytes = SerializeImageMap(map) + "rest";
  std::string_view left = bytes;
  ASSERT_OK_AND_ASSIGN(const ImageMap parsed,
                       ParseImageMap(left, kPlenty, kOldSizes));
  EXPECT_EQ(parsed, map);
  EXPECT_EQ(left, "rest");
}

TEST(MapFormat, T31_CutOffAnywhereIsRefused) {
  const std::string bytes = SerializeImageMap(Example());
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THAT(Parse(std::string_view(bytes).substr(0, n)),
                Fails(absl::StatusCode::kDataLoss, "image_map"));
}

TEST(MapFormat, T31_AnyByteChangedGivesAMapThatHoldsOrAnError) {
  const std::string bytes = SerializeImageMap(Example());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string other = bytes;
      other[at] = static_cast<char>(value);
      const auto map = Parse(other);
      if (!map.ok()) {
        EXPECT_THAT(map, FailsBecause("image_map"));
        continue;
      }
      uint64_t size = map->image_size;
      for (const Layer& layer : map->layers) {
        uint64_t outer = 0, inner = 0;
        for (const Segment& s : layer.segments) {
          outer += s.stored;
          inner += s.InnerLength();
          if (s.kind == Kind::kBlock) {
            ASSERT_LT(s.setting, map->settings.size());
            EXPECT_OK(CheckSetting(map->settings[s.setting]));
          }
          if (s.kind == Kind::kVerbatim) {
            EXPECT_LE(s.old_place + s.stored, kOldSizes[0]);
          }
        }
        EXPECT_EQ(outer, size);
        EXPECT_EQ(inner, layer.inner_size);
        size = inner;
      }
    }
  }
}

TEST(MapFormat, T31_MemoryIsBoundedBeforeItIsTaken) {
  const std::string bytes = SerializeImageMap(Example());
  EXPECT_OK(Parse(bytes, 6 * sizeof(Segment)));
  EXPECT_THAT(Parse(bytes, 6 * sizeof(Segment) - 1),
              Fails(absl::StatusCode::kResourceExhausted, "image_memory"));
  // A claim of 65,536 segments in a few bytes.
  EXPECT_THAT(Parse(std::string("\x05\x00\x01\x80\x80\x04", 6)),
              FailsBecause("image_map"));
}

// A block of 300,000 bytes in four pieces, one of them a sequence of 200,100.
ImageMap InPieces() {
  ImageMap map;
  map.settings = {{.codec = ImageCodec::kLz4HcPieces, .level = 9}};
  Layer layer;
  AppendSegment(layer, {.stored = 8});
  AppendSegment(
      layer,
      {.kind = Kind::kBlock, .pieces = 4, .raw = 300000, .stored = 50000});
  layer.pieces = {{.raw = 65540},
                  {.raw = 200100, .literals = 100, .distance = 1},
                  {.raw = 20000},
                  {.raw = 14360}};
  map.image_size = layer.outer_size;
  map.layers = {layer};
  return map;
}

// The second worked example of docs/delta-image.md.
TEST(MapFormat, PiecesAreByteExact) {
  const std::string bytes = SerializeImageMap(InPieces());
  EXPECT_EQ(HexEncode(bytes),
            "d88603"
            "01"
            "060900000000000000000000"
            "01"
            "02"
            "0001"
            "08d08603"
            "e0a712"
            "04"
            "04"
            "888008"
            "c9b6186401"
            "c0b802");
  std::string_view left = bytes;
  ASSERT_OK_AND_ASSIGN(const ImageMap parsed, ParseImageMap(left, kPlenty));
  EXPECT_EQ(parsed, InPieces());
  EXPECT_EQ(left, "");
}

TEST(MapFormat, T31_PiecesThatDoNotHoldAreRefused) {
  const std::string bytes = SerializeImageMap(InPieces());
  for (size_t n = 0; n < bytes.size(); ++n) {
    std::string_view cut = std::string_view(bytes).substr(0, n);
    EXPECT_THAT(ParseImageMap(cut, kPlenty), FailsBecause("image_map"));
  }
  std::string_view left = bytes;
  const uint64_t memory = 2 * sizeof(Segment) + 4 * sizeof(Piece);
  EXPECT_OK(ParseImageMap(left, memory));
  left = bytes;
  EXPECT_THAT(ParseImageMap(left, memory - 1), FailsBecause("image_memory"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string other = bytes;
      other[at] = static_cast<char>(value);
      left = other;
      const auto map = ParseImageMap(left, kPlenty);
      if (!map.ok()) {
        EXPECT_THAT(map, FailsBecause("image_map"));
        continue;
      }
      if (map->layers.empty() || map->layers[0].pieces.empty()) continue;
      const Segment& block = map->layers[0].segments.back();
      uint64_t sum = 0;
      for (const Piece& piece : map->layers[0].pieces) {
        EXPECT_LE(piece.raw, piece.IsSequence() ? kMaxLz4Block : kMaxLz4Piece);
        if (piece.IsSequence()) {
          EXPECT_LE(piece.literals + kLz4MinMatch, piece.raw);
          EXPECT_LE(piece.distance, sum + piece.literals);
        }
        sum += piece.raw;
      }
      EXPECT_EQ(sum, block.raw);
      EXPECT_FALSE(map->layers[0].pieces.back().IsSequence());
    }
  }
}

TEST(MapFormat, T31_AnOldMapHasNoVerbatimSegments) {
  const std::string bytes = SerializeImageMap(Example());
  std::string_view left = bytes;
  EXPECT_THAT(ParseImageMap(left, kPlenty), FailsBecause("image_map"));
}

TEST(Codecs, DescribedAndChecked) {
  const ImageMap map = Example();
  ASSERT_OK_AND_ASSIGN(const std::string codecs, DescribeCodecs(map));
  const std::string bytes = codecs + "rest";
  std::string_view left = bytes;
  ASSERT_OK(CheckCodecs(map, left));
  EXPECT_EQ(left, "rest");
  for (size_t n = 0; n < codecs.size(); ++n) {
    left = std::string_view(codecs).substr(0, n);
    EXPECT_THAT(CheckCodecs(map, left), FailsBecause("image_map"));
  }
}

TEST(Codecs, AnotherVersionOrOtherBytesAreRefused) {
  const ImageMap map = Example();
  ASSERT_OK_AND_ASSIGN(const std::string codecs, DescribeCodecs(map));
  const size_t version = codecs.find("liblzma") + 8;
  for (const size_t at : {version, codecs.size() - 1, codecs.size() - 8}) {
    std::string other = codecs;
    other[at] ^= 1;
    std::string_view left = other;
    EXPECT_THAT(CheckCodecs(map, left),
                Fails(absl::StatusCode::kFailedPrecondition, "codec_differs"));
  }
}

}  // namespace
}  // namespace shoal::delta
