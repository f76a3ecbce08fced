#include "common/crypto/keyfile.h"

#include <sys/stat.h>

#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::crypto {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::TempDir;

class KeyFile : public ::testing::Test {
 protected:
  unsigned Mode(const std::string& path) {
    struct stat info {};
    stat(path.c_str(), &info);
    return info.st_mode & 07777;
  }
  TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  const std::string path_ = dir_.File("k.key");
  const SecretBytes passphrase_{std::string_view("correct horse")};
};

TEST_F(KeyFile, T56_StolenKeyFileIsUselessWithoutThePassphrase) {
  const SecretBytes seed = SecretBytes::Random(32);
  ASSERT_OK(
      WriteKeyFile(fs_, path_, seed, passphrase_, KdfStrength::kInteractive));
  EXPECT_EQ(Mode(path_), 0600u);
  ASSERT_OK_AND_ASSIGN(const std::string text, fs_.Read(path_, 4096));
  EXPECT_EQ(text.find(seed.view()), text.npos);
  EXPECT_NE(text.find("\"mem\":67108864"), text.npos);
  ASSERT_OK_AND_ASSIGN(const SecretBytes back,
                       ReadKeyFile(fs_, path_, passphrase_));
  EXPECT_EQ(back.view(), seed.view());
  EXPECT_THAT(ReadKeyFile(fs_, path_, SecretBytes(std::string_view("wrong"))),
              Fails(absl::StatusCode::kPermissionDenied, "wrong_passphrase"));
}

TEST_F(KeyFile, T56_ReadableByOthersIsRefused) {
  ASSERT_OK(WriteKeyFile(fs_, path_, SecretBytes::Random(32), passphrase_,
                         KdfStrength::kInteractive));
  const std::string plain = dir_.File("online.key");
  ASSERT_OK(WriteSecretFile(fs_, plain, SecretBytes::Random(32)));
  EXPECT_EQ(Mode(plain), 0600u);
  EXPECT_OK(ReadSecretFile(fs_, plain));
  for (const unsigned mode : {0640u, 0604u, 0620u}) {
    chmod(path_.c_str(), mode);
    chmod(plain.c_str(), mode);
    const auto refused =
        Fails(absl::StatusCode::kFailedPrecondition, "key_file_permissions");
    EXPECT_THAT(ReadKeyFile(fs_, path_, passphrase_), refused);
    EXPECT_THAT(ReadSecretFile(fs_, plain), refused);
  }
}

TEST_F(KeyFile, NeverOverwritesAKey) {
  ASSERT_OK(WriteKeyFile(fs_, path_, SecretBytes::Random(32), passphrase_,
                         KdfStrength::kInteractive));
  EXPECT_THAT(WriteKeyFile(fs_, path_, SecretBytes::Random(32), passphrase_,
                           KdfStrength::kInteractive),
              Fails(absl::StatusCode::kAlreadyExists, "key_exists"));
}

TEST_F(KeyFile, DamagedOrGreedyFilesAreRefused) {
  const std::string tail =
      R"(,"salt":"00000000000000000000000000000000","nonce":")" +
      std::string(48, '0') + R"(","box":")" + std::string(96, '0') + "\"}";
  const std::string bad[] = {
      "",
      "[]",
      "{}",
      R"({"shoal_key":2,"kdf":"argon2id"})",
      R"({"shoal_key":1,"kdf":"scrypt","ops":2,"mem":67108864)" + tail,
      R"({"shoal_key":1,"kdf":"argon2id","ops":99,"mem":67108864)" + tail,
      R"({"shoal_key":1,"kdf":"argon2id","ops":2,"mem":99999999999)" + tail,
      R"({"shoal_key":1,"kdf":"argon2id","ops":2,"mem":67108864})"};
  for (const std::string& text : bad) {
    ASSERT_OK(fs_.WriteAtomic(path_, text, 0600));
    EXPECT_THAT(ReadKeyFile(fs_, path_, passphrase_),
                Fails(absl::StatusCode::kInvalidArgument, "bad_key_file"))
        << text;
  }
}

}  // namespace
}  // namespace shoal::crypto
