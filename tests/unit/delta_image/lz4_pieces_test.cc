// Long LZ4 blocks in pieces: what is planned comes out byte for byte, whatever
// the block holds, and pieces that lie are errors.
#include "delta/image/lz4_pieces.h"

#include <gtest/gtest.h>

#include <random>

#include "delta/image/analyze/lz4_plan.h"
#include "delta/image/lz4_sequences.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/delta_image/image_test_support.h"

namespace shoal::delta {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;

CodecSetting Hc(int level) {
  return {.codec = ImageCodec::kLz4Hc, .level = static_cast<uint8_t>(level)};
}

// Code-like words, tables of equal records, long and short runs, noise.
std::string KernelLike(std::mt19937_64& random, size_t size) {
  std::string out;
  while (out.size() < size) {
    const size_t length = 1000 + random() % 60000;
    switch (random() % 6) {
      case 0:
        out += Noise(random, length / 8);
        break;
      case 1:  // records that differ in a field
        for (size_t i = 0; i < length / 24; ++i)
          out += "\x90\x01record-of-table" + LittleEndianBytes(i * 40, 4) +
                 std::string(3, '\0');
        break;
      case 2:
        out.append(random() % 2 ? length : 300000,
                   random() % 2 ? '\0' : '\xcc');
        break;
      case 3:  // what stood a little before
        if (out.size() > 50000) {
          out += out.substr(out.size() - 1 - random() % 50000, length / 4);
          break;
        }
        [[fallthrough]];
      default:
        out += WordsAndNoise(random, length);
    }
  }
  out.resize(size);
  return out;
}

struct Made {
  absl::Status status;
  std::string stored;
};

// With the raw bytes cut at random.
Made Make(int level, std::span<const Piece> pieces, std::string_view raw,
          std::mt19937_64& random) {
  Made made;
  Lz4Pieces lz4;
  made.status = lz4.Begin(level, pieces, static_cast<uint32_t>(raw.size()));
  while (made.status.ok() && !raw.empty()) {
    const size_t n = std::min<size_t>(
        1 + random() % (random() % 2 ? 100 : 300000), raw.size());
    made.status = lz4.Write(raw.substr(0, n), [&](std::string_view bytes) {
      made.stored += bytes;
      return absl::OkStatus();
    });
    raw.remove_prefix(n);
  }
  return made;
}

TEST(Lz4Pieces, MakeTheBytesOfTheWholeBlock) {
  for (int seed = 0; seed < 12; ++seed) {
    for (const int level : {3, 6, 9, 10, 12}) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " level " +
                   std::to_string(level));
      std::mt19937_64 random(seed);
      const std::string raw = KernelLike(random, 100000 + random() % 900000);
      const std::string stored = Compress(Hc(level), raw);
      ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                           PlanLz4Pieces(level, raw, stored));
      ASSERT_FALSE(pieces.empty());
      EXPECT_LE(LongestPiece(pieces), kMaxLz4Piece);
      const Made made = Make(level, pieces, raw, random);
      ASSERT_OK(made.status);
      ASSERT_TRUE(made.stored == stored);
    }
  }
}

TEST(Lz4Pieces, OfAnyLength) {
  std::mt19937_64 random(1);
  for (const size_t size : {1u, 5u, 12u, 13u, 64u, 4096u, 65535u, 65536u,
                            65537u, 69632u, 131072u, 131073u}) {
    for (const std::string& raw :
         {KernelLike(random, size), Noise(random, size),
          std::string(size, '\0')}) {
      SCOPED_TRACE(size);
      const std::string stored = Compress(Hc(9), raw);
      ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                           PlanLz4Pieces(9, raw, stored));
      const Made made = Make(9, pieces, raw, random);
      ASSERT_OK(made.status);
      EXPECT_TRUE(made.stored == stored);
    }
  }
}

TEST(Lz4Pieces, RunsThatAreLongerThanAnyPiece) {
  std::mt19937_64 random(2);
  const std::string zeros(3 << 20, '\0');
  std::string pattern;
  while (pattern.size() < 1 << 20) pattern += "abcdefg";
  for (const std::string& raw :
       {std::string(kMaxLz4Block, '\0'),
        WordsAndNoise(random, 200000) + zeros + WordsAndNoise(random, 300000) +
            pattern + Noise(random, 1000) + zeros}) {
    const std::string stored = Compress(Hc(9), raw);
    ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                         PlanLz4Pieces(9, raw, stored));
    ASSERT_FALSE(pieces.empty());
    const Made made = Make(9, pieces, raw, random);
    ASSERT_OK(made.status);
    EXPECT_TRUE(made.stored == stored);
    EXPECT_LT(Lz4PiecesMemory(9, LongestPiece(pieces)), 650u << 10);
  }
}

TEST(Lz4Pieces, NoneForAnotherLevelOrAnotherCompressor) {
  std::mt19937_64 random(3);
  const std::string raw = WordsAndNoise(random, 1 << 20);
  for (const CodecSetting& other :
       {Hc(3), Hc(12), CodecSetting{.codec = ImageCodec::kLz4}}) {
    ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                         PlanLz4Pieces(9, raw, Compress(other, raw)));
    EXPECT_TRUE(pieces.empty()) << Describe(other);
  }
  std::string damaged = Compress(Hc(9), raw);
  damaged.resize(damaged.size() / 2);
  ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                       PlanLz4Pieces(9, raw, damaged));
  EXPECT_TRUE(pieces.empty());
}

TEST(Lz4Pieces, T31_PiecesThatLieAreErrorsOrOtherBytesOfTheSameLength) {
  std::mt19937_64 random(4);
  const std::string raw =
      WordsAndNoise(random, 500000) + KernelLike(random, 600000);
  const std::string stored = Compress(Hc(9), raw);
  ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                       PlanLz4Pieces(9, raw, stored));
  ASSERT_GT(pieces.size(), 3u);
  ImagePair maps;
  ImageMap& map = maps.new_map;
  map.image_size = stored.size();
  map.settings = {{.codec = ImageCodec::kLz4HcPieces, .level = 9}};
  Layer layer;
  AppendSegment(layer, {.kind = Segment::Kind::kBlock,
                        .pieces = static_cast<uint16_t>(pieces.size()),
                        .raw = static_cast<uint32_t>(raw.size()),
                        .stored = stored.size()});
  layer.pieces = pieces;
  map.layers = {layer};
  const Rebuilt right = Rebuild(maps, "", raw, 10000);
  ASSERT_OK(right.status);
  EXPECT_TRUE(right.written == stored);
  int errors = 0;
  for (int i = 0; i < 60; ++i) {
    ImagePair lying = maps;
    std::vector<Piece>& others = lying.new_map.layers[0].pieces;
    const size_t at = random() % (others.size() - 1);
    Piece& piece = others[at];
    const auto by = static_cast<uint32_t>(1 + random() % 40);
    switch (random() % 4) {
      case 0:  // ends elsewhere
        if (piece.raw <= by + kLz4MinMatch + piece.literals) continue;
        piece.raw -= by;
        others[at + 1].raw += by;
        break;
      case 1:  // is a sequence, or another one
        piece.distance = static_cast<uint16_t>(1 + random() % 60000);
        piece.literals = static_cast<uint32_t>(random() % (piece.raw - 3));
        break;
      case 2:  // is none
        if (!piece.IsSequence() || piece.raw > kMaxLz4Piece) continue;
        piece.literals = piece.distance = 0;
        break;
      default:  // another level's
        lying.new_map.settings[0].level = 3;
    }
    if (LongestPiece(others) > kMaxLz4Piece) continue;
    const Rebuilt rebuilt = Rebuild(lying, "", raw, 1 + random() % 100000);
    EXPECT_LE(rebuilt.written.size(), stored.size());
    if (rebuilt.status.ok()) continue;
    EXPECT_THAT(rebuilt.status, FailsBecause("image_block"));
    ++errors;
  }
  EXPECT_GT(errors, 20);
}

TEST(Lz4Pieces, T31_OtherBytesThanPlanned) {
  std::mt19937_64 random(5);
  const std::string raw = KernelLike(random, 400000);
  ASSERT_OK_AND_ASSIGN(const std::vector<Piece> pieces,
                       PlanLz4Pieces(9, raw, Compress(Hc(9), raw)));
  for (int i = 0; i < 20; ++i) {
    std::string other = raw;
    other.replace(random() % 390000, 300, Noise(random, 300));
    const Made made = Make(9, pieces, other, random);
    if (!made.status.ok()) {
      EXPECT_THAT(made.status, FailsBecause("image_block"));
    }
  }
  EXPECT_THAT(Make(9, pieces, raw + "x", random).status,
              FailsBecause("image_block"));
}

}  // namespace
}  // namespace shoal::delta
