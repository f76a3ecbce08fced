#include "signing/sign/key_store.h"

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;

TEST(KeyStore, KeepsKeysUnderAPassphrase) {
  testing::TempDir dir;
  const auto open = [&](std::string_view passphrase) {
    return KeyStore::Open(RealFileSystem(), dir.File("k"),
                          crypto::SecretBytes(passphrase),
                          crypto::KdfStrength::kInteractive);
  };
  ASSERT_OK_AND_ASSIGN(auto store, open("pass"));
  ASSERT_OK_AND_ASSIGN(const crypto::SigningKey made, store->Create("root-1"));
  EXPECT_THAT(store->Create("root-1"),
              Fails(absl::StatusCode::kAlreadyExists, "key_exists"));
  ASSERT_OK_AND_ASSIGN(const crypto::SigningKey loaded, store->Load("root-1"));
  EXPECT_EQ(loaded.public_key(), made.public_key());
  ASSERT_OK_AND_ASSIGN(const auto names, store->NamesOf(made.public_key()));
  EXPECT_THAT(names, ::testing::ElementsAre("root-1"));
  EXPECT_THAT(store->Load("root-2"), FailsBecause("no_such_key"));
  ASSERT_OK_AND_ASSIGN(auto stranger, open("guess"));
  EXPECT_THAT(stranger->Load("root-1"), FailsBecause("wrong_passphrase"));
}

TEST(KeyStore, T34_NamesAreNeverPaths) {
  testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(
      auto store, KeyStore::Open(RealFileSystem(), dir.File("k"),
                                 crypto::SecretBytes(std::string_view("p"))));
  for (const char* name : {"../x", "a/b", "", ".x", "-x"}) {
    EXPECT_THAT(store->Create(name), FailsBecause("bad_name")) << name;
    EXPECT_THAT(store->Load(name), FailsBecause("bad_name")) << name;
  }
}

}  // namespace
}  // namespace shoal::signing
