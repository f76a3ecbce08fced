#include "server/cli/context.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "common/crypto/keyfile.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

using testing::Fails;
using testing::FailsBecause;

class ContextTest : public ::testing::Test {
 protected:
  Context Example(const std::string& name) {
    Context context;
    context.name = name;
    context.directory = store_.DirectoryOf(name);
    context.server = "127.0.0.1:7443";
    context.operator_dir = "/home/a \"b\" \\c/alice";
    context.fleet_id = std::string(32, '\x5a');
    context.server_cert_pem = "PEM";
    return context;
  }
  testing::TempDir dir_;
  ContextStore store_{RealFileSystem(), dir_.File("shoal")};
};

TEST_F(ContextTest, ComesBackAsItWasSaved) {
  ASSERT_OK(store_.Save(Example("home")));
  ASSERT_OK_AND_ASSIGN(const Context context, store_.Load("home"));
  EXPECT_EQ(context.server, "127.0.0.1:7443");
  EXPECT_EQ(context.operator_dir, "/home/a \"b\" \\c/alice");
  EXPECT_EQ(context.fleet_id, std::string(32, '\x5a'));
  EXPECT_EQ(context.server_cert_pem, "PEM");
  EXPECT_EQ(context.directory, dir_.File("shoal/contexts/home"));
}

TEST_F(ContextTest, ChoosesTheCurrentOne) {
  EXPECT_THAT(store_.Load(""),
              Fails(absl::StatusCode::kFailedPrecondition, "no_context"));
  ASSERT_OK(store_.Save(Example("home")));
  ASSERT_OK(store_.Save(Example("work")));
  ASSERT_OK_AND_ASSIGN(const auto names, store_.List());
  EXPECT_EQ(names, (std::vector<std::string>{"home", "work"}));
  ASSERT_OK(store_.Use("work"));
  EXPECT_EQ(store_.Load("")->name, "work");
  EXPECT_EQ(store_.Load("home")->name, "home");
  EXPECT_THAT(store_.Use("nowhere"),
              Fails(absl::StatusCode::kNotFound, "unknown_context"));
  EXPECT_EQ(store_.Load("")->name, "work");
}

TEST_F(ContextTest, T34_NamesAreNoPaths) {
  for (const char* name : {"../x", "a/b", ".", "-x"}) {
    EXPECT_THAT(store_.Load(name), FailsBecause("usage")) << name;
    EXPECT_THAT(store_.Save(Example(name)), FailsBecause("usage")) << name;
    EXPECT_THAT(store_.Discard(name), FailsBecause("usage")) << name;
  }
  EXPECT_THAT(store_.Discard(""), FailsBecause("usage"));
}

TEST_F(ContextTest, AnEmptyDirectoryHasNone) {
  ASSERT_OK_AND_ASSIGN(const auto names, store_.List());
  EXPECT_TRUE(names.empty());
}

TEST_F(ContextTest, DamageIsAnError) {
  ASSERT_OK(store_.Save(Example("home")));
  const std::string path = JoinPath(store_.DirectoryOf("home"), "context.toml");
  ASSERT_OK(RealFileSystem().WriteAtomic(
      path, "server = \"x\"\noperator = \"y\"\nfleet = \"zz\"\n"));
  EXPECT_THAT(store_.Load("home"), FailsBecause("bad_context"));
  ASSERT_OK(RealFileSystem().WriteAtomic(path, "server = \"x\"\ntypo = 1\n"));
  EXPECT_THAT(store_.Load("home"), FailsBecause("bad_config"));
}

TEST_F(ContextTest, T56_NetworkKeysAreForTheOwnerOnly) {
  const Context context = Example("home");
  ASSERT_OK(store_.Save(context));
  fleet::v1::GetNetworkResponse network;
  network.set_fleet_id(context.fleet_id);
  network.mutable_network()->add_keys()->set_key("secret");
  (*network.mutable_metadata())["a"] = "1";
  (*network.mutable_metadata())["b"] = "2";
  ASSERT_OK(store_.SaveNetwork(context, network));
  const std::string path = JoinPath(context.directory, "network.pb");
  struct stat before {};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  EXPECT_EQ(before.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const auto loaded, store_.LoadNetwork(context));
  EXPECT_EQ(loaded.network().keys(0).key(), "secret");
  // The same again does not touch the file.
  ASSERT_OK(store_.SaveNetwork(context, loaded));
  struct stat after {};
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  (*network.mutable_metadata())["b"] = "3";
  ASSERT_OK(store_.SaveNetwork(context, network));
  EXPECT_EQ(store_.LoadNetwork(context)->metadata().at("b"), "3");
}

TEST_F(ContextTest, T56_AKeyThatOthersMayReadIsRefused) {
  ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("operator.key"),
                                         std::string(32, 'k'), 0644));
  EXPECT_THAT(LoadOperatorKey(RealFileSystem(), dir_.path()),
              FailsBecause("key_file_permissions"));
  ASSERT_OK(crypto::WriteSecretFile(RealFileSystem(), dir_.File("operator.key"),
                                    crypto::SecretBytes(std::string(32, 'k'))));
  EXPECT_OK(LoadOperatorKey(RealFileSystem(), dir_.path()));
}

}  // namespace
}  // namespace shoal::cli
