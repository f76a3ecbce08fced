#include "dht/swarm/fetch/partial_file.h"

#include <fstream>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::dht {
namespace {

using shoal::testing::TempDir;
constexpr uint32_t kPiece = 16384;

class PartialFileTest : public ::testing::Test {
 protected:
  PartialFileTest() {
    content_ = crypto::RandomBytes(5 * kPiece + 100);  // six pieces
    artifact_ = {std::string(32, 'r'), kPiece, content_.size(),
                 crypto::Sha256Digest(content_)};
  }
  std::unique_ptr<PartialFile> Open() {
    auto file = PartialFile::Open(artifact_, path_, state_);
    EXPECT_OK(file);
    return *std::move(file);
  }
  bool Verify(PartialFile& file) {
    file.RestartVerify();
    for (;;) {
      auto result = file.VerifySlice();
      EXPECT_OK(result);
      if (result->has_value()) return **result;
    }
  }
  TempDir dir_;
  std::string path_ = dir_.File("out");
  std::string state_ = dir_.File("out.partial");
  std::string content_;
  Artifact artifact_;
};

TEST_F(PartialFileTest, WritesInPortionsAndVerifies) {
  auto file = Open();
  EXPECT_FALSE(file->MayBeComplete());
  for (size_t at = 0; at < content_.size(); at += 1000) {
    ASSERT_OK(file->Write(at, std::string_view(content_).substr(at, 1000)));
  }
  EXPECT_TRUE(file->Complete());
  EXPECT_EQ(file->PresentBytes(), content_.size());
  EXPECT_TRUE(Verify(*file));
}

TEST_F(PartialFileTest, OnlyWholePiecesCountAfterAReopen) {
  {
    auto file = Open();
    ASSERT_OK(
        file->Write(0, std::string_view(content_).substr(0, 2 * kPiece + 5)));
    ASSERT_OK(file->Save());
  }
  auto file = Open();
  EXPECT_EQ(file->PresentBytes(), 2u * kPiece);
  const auto run = file->FirstMissing();
  ASSERT_TRUE(run.has_value());
  EXPECT_EQ(run->begin, 2u * kPiece);
  EXPECT_EQ(run->end, content_.size());
  ASSERT_OK(
      file->Write(run->begin, std::string_view(content_).substr(run->begin)));
  EXPECT_TRUE(Verify(*file));
}

TEST_F(PartialFileTest, BytesInTheMiddleOfAPieceDoNotMakeItPresent) {
  auto file = Open();
  ASSERT_OK(file->Write(100, std::string_view(content_).substr(100, kPiece)));
  EXPECT_EQ(file->PresentBytes(), 0u);
}

TEST_F(PartialFileTest, AShortFileWithoutStateIsTakenAsAPrefix) {
  std::ofstream(path_) << content_.substr(0, 3 * kPiece + 7);
  auto file = Open();
  EXPECT_EQ(file->PresentBytes(), 3u * kPiece);
  EXPECT_FALSE(file->MayBeComplete());
}

TEST_F(PartialFileTest, AWholeFileWithoutStateIsCheckedFirst) {
  std::ofstream(path_) << content_ << "trailing bytes are cut";
  auto file = Open();
  EXPECT_TRUE(file->MayBeComplete());
  EXPECT_TRUE(Verify(*file));
}

TEST_F(PartialFileTest, StateOfAnotherArtifactIsNotTaken) {
  {
    auto file = Open();
    ASSERT_OK(file->Write(0, content_));
    ASSERT_OK(file->Save());
  }
  artifact_.sha256 = std::string(32, 'q');
  auto file = Open();
  EXPECT_EQ(file->PresentBytes(), 0u);
}

TEST_F(PartialFileTest, WrongUntrustedBytesGoAndTrustedOnesStay) {
  auto file = Open();
  std::string wrong = content_;
  wrong[4 * kPiece + 3] ^= 1;
  ASSERT_OK(file->Write(0, wrong));
  EXPECT_FALSE(Verify(*file));
  file->SetTrusted({true, true, true, true, false, false}, false);
  EXPECT_EQ(file->DiscardUntrusted(), kPiece + 100u);
  EXPECT_EQ(file->PresentBytes(), 4u * kPiece);
  EXPECT_EQ(file->FirstMissing()->begin, 4u * kPiece);
}

}  // namespace
}  // namespace shoal::dht
