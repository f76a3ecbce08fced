// The way back: any cut of the bytes, going on after an interruption, errors.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

// Two layers, raw, verbatim and compressed segments in both, a streamed block.
struct Fixture {
  std::string old_image, new_image, expanded;
  ImagePair maps;

  Fixture() {
    std::mt19937_64 random(1);
    const auto inner = [&](int level) {
      return GzipMember(WordsAndNoise(random, 3000), level);
    };
    const std::string kept = inner(6), kept_whole = inner(3);
    old_image = Noise(random, 500) + kept_whole + "--" +
                GzipMember("abc" + kept + inner(9) + "xyz", 6) +
                GzipMember(WordsAndNoise(random, 1100000), 1);
    new_image = kept_whole + Noise(random, 300) +
                GzipMember("ABC" + inner(2) + kept + "XYZ", 6) +
                GzipMember(WordsAndNoise(random, 1100000), 1) + "tail" +
                kept_whole;
    RoundTrip trip = ThereAndBack(old_image, new_image);
    EXPECT_TRUE(trip.rebuilt == new_image);
    maps = std::move(trip.maps);
    EXPECT_EQ(maps.new_map.layers.size(), 2u);
    EXPECT_EQ(CountVerbatim(maps.new_map), 3u);
    expanded = Expanded(maps.new_map, new_image);
  }
};

TEST(Rebuilder, AnyCutOfTheBytes) {
  const Fixture f;
  for (const size_t step : {1u, 7u, 4096u, 65536u, 10000000u}) {
    const Rebuilt rebuilt = Rebuild(f.maps, f.old_image, f.expanded, step);
    EXPECT_OK(rebuilt.status);
    EXPECT_TRUE(rebuilt.written == f.new_image) << step;
  }
}

TEST(Rebuilder, GoesOnAtEveryPoint) {
  const Fixture f;
  const Rebuilt whole = Rebuild(f.maps, f.old_image, f.expanded, 97);
  ASSERT_OK(whole.status);
  RebuildPoint last;
  size_t points = 0;
  for (const RebuildPoint& point : whole.points) {
    EXPECT_GE(point.image_offset, last.image_offset);
    EXPECT_GE(point.expanded_offset, last.expanded_offset);
    if (point == last) continue;
    last = point;
    if (++points % 5 != 0 && point.image_offset > 5000) continue;
    const Rebuilt rest =
        Rebuild(f.maps, f.old_image, f.expanded, 100000, point.image_offset);
    ASSERT_OK(rest.status);
    EXPECT_TRUE(f.new_image.substr(0, point.image_offset) + rest.written ==
                f.new_image)
        << point.image_offset;
  }
  EXPECT_GT(points, 4u);
  EXPECT_EQ(last.image_offset, f.new_image.size());
}

TEST(Rebuilder, NowhereElse) {
  const Fixture f;
  // Inside a compressed block of the outer layer: 300 bytes of noise and a
  // member's header after the first verbatim member.
  const Layer& outer = f.maps.new_map.layers[0];
  uint64_t at = 0;
  for (const Segment& segment : outer.segments) {
    if (segment.kind == Segment::Kind::kBlock) {
      EXPECT_THAT(Rebuild(f.maps, f.old_image, f.expanded, 100, at + 1).status,
                  Fails(absl::StatusCode::kFailedPrecondition, "bad_resume"));
    }
    at += segment.stored;
  }
  EXPECT_THAT(Rebuild(f.maps, f.old_image, f.expanded, 100, at + 1).status,
              FailsBecause("bad_resume"));
}

TEST(Rebuilder, T31_TooManyOrTooFewBytesAreErrors) {
  const Fixture f;
  const Rebuilt more = Rebuild(f.maps, f.old_image, f.expanded + "x", 100000);
  EXPECT_THAT(more.status,
              Fails(absl::StatusCode::kInvalidArgument, "image_write"));
  EXPECT_LE(more.written.size(), f.new_image.size());
  EXPECT_THAT(Rebuild(f.maps, f.old_image,
                      f.expanded.substr(0, f.expanded.size() - 1), 100000)
                  .status,
              FailsBecause("image_write"));
  EXPECT_THAT(Rebuild(f.maps, f.old_image, "", 1).status,
              FailsBecause("image_write"));
}

TEST(Rebuilder, T31_OtherBytesThanDeclaredNeverWriteBeyondABlock) {
  const Fixture f;
  std::mt19937_64 random(2);
  for (int i = 0; i < 50; ++i) {
    // What a wrong delta would give: a block that compresses to another
    // length is an error, and the image never gets longer than declared.
    std::string other = f.expanded;
    const size_t at = random() % (other.size() - 400);
    other.replace(at, 400, Noise(random, 400));
    const Rebuilt rebuilt = Rebuild(f.maps, f.old_image, other, 50000);
    EXPECT_LE(rebuilt.written.size(), f.new_image.size());
    if (!rebuilt.status.ok()) {
      EXPECT_THAT(rebuilt.status, FailsBecause("image_block"));
    } else {
      EXPECT_EQ(rebuilt.written.size(), f.new_image.size());
    }
  }
}

TEST(Rebuilder, VerbatimSegmentsNeedTheOldImage) {
  const Fixture f;
  RebuilderOptions options;
  options.write = [](std::string_view) { return absl::OkStatus(); };
  ASSERT_OK_AND_ASSIGN(const auto rebuilder,
                       Rebuilder::Create(f.maps.new_map, options));
  EXPECT_THAT(rebuilder->Write(f.expanded), FailsBecause("image_read"));
}

TEST(Rebuilder, WithoutLayersBytesPassThrough) {
  ImagePair maps;
  maps.new_map.image_size = 10;
  EXPECT_EQ(Rebuild(maps, "", "0123456789", 3).written, "0123456789");
  EXPECT_EQ(Rebuild(maps, "", "0123456789", 3, 4).written, "456789");
  EXPECT_THAT(Rebuild(maps, "", "0123456789x", 3).status,
              FailsBecause("image_write"));
  EXPECT_THAT(Rebuild(maps, "", "012345678", 3).status,
              FailsBecause("image_write"));
}

TEST(ExpandedReader, AnyReadAnywhere) {
  const Fixture f;
  const std::string expanded = Expanded(f.maps.old_map, f.old_image);
  std::mt19937_64 random(3);
  for (const uint64_t cache :
       {uint64_t{1}, uint64_t{64} << 10, ExpandedReader::kDefaultCache}) {
    ASSERT_OK_AND_ASSIGN(
        const auto reader,
        ExpandedReader::Create(f.maps.old_map, ReadsFrom(f.old_image), cache));
    ASSERT_EQ(reader->size(), expanded.size());
    for (int i = 0; i < 300; ++i) {
      const size_t at = random() % (expanded.size() + 1);
      const size_t n = std::min<size_t>(
          random() % (i % 10 == 0 ? 300000 : 3000), expanded.size() - at);
      std::string out(n, '\0');
      ASSERT_OK(reader->Read(at, out.data(), n));
      EXPECT_TRUE(out == expanded.substr(at, n));
    }
    char byte;
    EXPECT_THAT(reader->Read(expanded.size(), &byte, 1),
                FailsBecause("image_read"));
    EXPECT_THAT(reader->Read(UINT64_MAX, &byte, 2), FailsBecause("image_read"));
    EXPECT_THAT(reader->ReadOuter(3, 0, &byte, 1), FailsBecause("image_read"));
    std::string out(f.old_image.size(), '\0');
    ASSERT_OK(reader->ReadOuter(0, 0, out.data(), out.size()));
    EXPECT_TRUE(out == f.old_image);
  }
}

TEST(ExpandedReader, T31_AnotherImageIsAnError) {
  const Fixture f;
  std::mt19937_64 random(4);
  for (int i = 0; i < 20; ++i) {
    std::string other = f.old_image;
    other.replace(600 + random() % (other.size() - 1000), 100,
                  Noise(random, 100));
    ASSERT_OK_AND_ASSIGN(
        const auto reader,
        ExpandedReader::Create(f.maps.old_map, ReadsFrom(other)));
    std::string out(reader->size(), '\0');
    const absl::Status status = reader->Read(0, out.data(), out.size());
    if (!status.ok()) {
      EXPECT_THAT(status, FailsBecause("image_block"));
    }
    // It can still be read where it is sound.
    EXPECT_OK(reader->Read(0, out.data(), 400));
  }
}

TEST(ExpandedReader, ErrorsOfReadsComeThroughAndPass) {
  const Fixture f;
  bool broken = true;
  const ReadAt good = ReadsFrom(f.old_image);
  ASSERT_OK_AND_ASSIGN(
      const auto reader,
      ExpandedReader::Create(
          f.maps.old_map, [&](uint64_t at, char* out, size_t n) {
            return broken ? Unavailable("io_eio", "broken") : good(at, out, n);
          }));
  std::string out(reader->size(), '\0');
  EXPECT_THAT(reader->Read(0, out.data(), out.size()), FailsBecause("io_eio"));
  broken = false;
  ASSERT_OK(reader->Read(0, out.data(), out.size()));
  EXPECT_TRUE(out == Expanded(f.maps.old_map, f.old_image));
}

}  // namespace
}  // namespace shoal::delta
