#include "signing/metadata/file_root.h"

#include "common/bytes.h"
#include "common/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<char>((i * 7 + i / 251) & 255);
  return bytes;
}

struct Vector {
  size_t size;
  const char* root;
  const char* layer;  // SHA-256 of the piece layer at 32 KiB pieces
};

// Computed by an independent implementation of BEP 52.
constexpr Vector kVectors[] = {
    {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", ""},
    {16384, "15345b8bcf83c9acd70121ebacc0aae2b90b2995b90a5143382a4f29fd125083",
     ""},
    {16385, "4f06ab5d81301a6be8740291d8491edb35843daecf491a50c4d22d92eaf9acbc",
     ""},
    {100000, "26ce98d1c2ad96891be47b6d01b8a5a8d5a91866997522ee3a57ae0ba846bba9",
     "8f068740449c2039e5ffd3cc9698c7d033d783b074cb52d38876ff0d223370c9"},
    {163840, "9f23bbaadcdbca443a1f9afbd4842d3bc942887c4e4034ceedd0dee5a14ab228",
     "40562a6ec702bb8542faa2ebde740f205ef4c68f0a196437ffa4aa7318ea0447"}};

TEST(FileRoot, KnownVectorsInAnyChunking) {
  for (const Vector& vector : kVectors) {
    const std::string bytes = Pattern(vector.size);
    for (const size_t step : {bytes.size(), size_t{1000}, size_t{16384}}) {
      FileRootHasher hasher(32768);
      for (size_t i = 0; i < bytes.size(); i += step)
        hasher.Update(std::string_view(bytes).substr(i, step));
      EXPECT_EQ(HexEncode(hasher.Finish()), vector.root) << vector.size;
      std::string layer;
      for (const std::string& hash : hasher.piece_layer()) layer += hash;
      EXPECT_EQ(layer.empty() ? "" : HexEncode(crypto::Sha256Digest(layer)),
                vector.layer)
          << vector.size;
    }
  }
  EXPECT_EQ(FileRootHasher().Finish(), "");
}

TEST(FileRoot, DigestFileAgrees) {
  testing::TempDir dir;
  const std::string bytes = Pattern(100000);
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("f"), bytes));
  ASSERT_OK_AND_ASSIGN(const FileDigests digests, DigestFile(dir.File("f")));
  EXPECT_EQ(digests.length, 100000u);
  EXPECT_EQ(digests.sha256, crypto::Sha256Digest(bytes));
  EXPECT_EQ(HexEncode(digests.file_root), kVectors[3].root);
  EXPECT_EQ(digests.piece_length, 16384u);
}

TEST(FileRoot, PieceLengthDoublesBeyond64MiB) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_EQ(PieceLength(0), 16384u);
  EXPECT_EQ(PieceLength(64 * kMiB), 16384u);
  EXPECT_EQ(PieceLength(64 * kMiB + 1), 32768u);
  EXPECT_EQ(PieceLength(128 * kMiB), 32768u);
  EXPECT_EQ(PieceLength(1024 * kMiB), 262144u);
}

}  // namespace
}  // namespace shoal::signing
