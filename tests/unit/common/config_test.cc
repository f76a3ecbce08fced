#include "common/config.h"

#include <gtest/gtest.h>

#include "common/files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;

TEST(Config, ReadsWhatIsThereAndDefaultsWhatIsNot) {
  ASSERT_OK_AND_ASSIGN(Config config, Config::Parse(R"(
    name = "x"
    [api]
    listen = "127.0.0.1:0"
    limit = 7
    wait = "1500ms"
    tags = ["a", "b"]
    on = true
  )"));
  EXPECT_EQ(config.String("name"), "x");
  EXPECT_EQ(config.String("api.listen"), "127.0.0.1:0");
  EXPECT_EQ(config.Integer("api.limit", 1, 0, 10), 7);
  EXPECT_EQ(config.Integer("api.other", 3, 0, 10), 3);
  EXPECT_EQ(config.Duration("api.wait", absl::Seconds(9)),
            absl::Milliseconds(1500));
  EXPECT_EQ(config.Strings("api.tags"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(config.Boolean("api.on", false));
  EXPECT_OK(config.Finish());
}

TEST(Config, UnknownKeyIsAnErrorWithItsLine) {
  ASSERT_OK_AND_ASSIGN(Config config,
                       Config::Parse("a = 1\n[b]\nmispelt = 2\n", "x.toml"));
  config.Integer("a", 0, 0, 9);
  const absl::Status status = config.Finish();
  EXPECT_THAT(status, FailsBecause("bad_config"));
  EXPECT_NE(std::string(status.message()).find("x.toml:3: b.mispelt"),
            std::string::npos)
      << status;
}

TEST(Config, WrongTypesAndRangesAreCollected) {
  ASSERT_OK_AND_ASSIGN(
      Config config,
      Config::Parse("a = \"1\"\nb = 11\nc = \"soon\"\nd = [1]\n"));
  config.Integer("a", 0, 0, 9);
  config.Integer("b", 0, 0, 10);
  config.Duration("c", absl::Seconds(1));
  config.Strings("d");
  config.RequiredString("e");
  const std::string text(config.Finish().message());
  for (const char* key : {": a:", ": b:", ": c:", ": d:", ": e:"})
    EXPECT_NE(text.find(key), std::string::npos) << key << " in " << text;
}

TEST(Config, SyntaxErrorNamesThePlace) {
  EXPECT_THAT(Config::Parse("a = \n"), FailsBecause("bad_config"));
  EXPECT_THAT(Config::Parse("a = 1\na = 2\n"), FailsBecause("bad_config"));
}

TEST(Config, PathsCountFromTheFile) {
  TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("c.toml"),
                                         "a = \"keys\"\nb = \"/abs\"\n"));
  ASSERT_OK_AND_ASSIGN(Config config, Config::Load(dir.File("c.toml")));
  EXPECT_EQ(config.Path("a"), dir.File("keys"));
  EXPECT_EQ(config.Path("b"), "/abs");
  EXPECT_THAT(Config::Load(dir.File("none")), FailsBecause("io_not_found"));
}

}  // namespace
}  // namespace shoal
