#include "server/cli/rollout_options.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

using testing::FailsBecause;

TEST(BuildRolloutRequest, EverythingByDefault) {
  RolloutOptions options;
  options.release = "gateway/1.4.0";
  ASSERT_OK_AND_ASSIGN(const auto request, BuildRolloutRequest(options));
  EXPECT_EQ(request.release(), "releases/gateway/1.4.0");
  EXPECT_EQ(request.device_type(), "gateway");
  EXPECT_TRUE(request.selector().all());
  ASSERT_EQ(request.phases_size(), 1);
  EXPECT_EQ(request.phases(0).percent(), 100);
  EXPECT_EQ(request.error_threshold_permille(), 100u);
  EXPECT_FALSE(request.unattended());
  EXPECT_EQ(request.request_id().size(), 32u);
}

TEST(BuildRolloutRequest, SelectsByLabelOrDevice) {
  RolloutOptions options;
  options.release = "gateway/1.4.0";
  options.labels = {"site=lab"};
  options.devices = {"devices/00112233445566778899AABBCCDDEEFF"};
  ASSERT_OK_AND_ASSIGN(const auto request, BuildRolloutRequest(options));
  EXPECT_FALSE(request.selector().all());
  EXPECT_EQ(request.selector().labels().at("site"), "lab");
  EXPECT_EQ(request.selector().device_ids(0),
            "00112233445566778899aabbccddeeff");
}

TEST(BuildRolloutRequest, RefusesWhatIsWrong) {
  RolloutOptions options;
  EXPECT_THAT(BuildRolloutRequest(options), FailsBecause("usage"));
  options.release = "gateway/1.4.0";
  options.phases = {"a:count=1", "a:percent=100"};
  EXPECT_THAT(BuildRolloutRequest(options), FailsBecause("usage"));
  options.phases.clear();
  options.max_attempts = 11;
  EXPECT_THAT(BuildRolloutRequest(options), FailsBecause("usage"));
}

TEST(MergeRolloutFile, FlagsWinOverTheFile) {
  testing::TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("r.toml"), R"(
release = "gateway/1.4.0"
id = "from-file"
phases = ["canary:count=1,soak=10s", "all:percent=100"]
windows = ["1-5 22:00-04:00"]
error_threshold = "20%"
lifetime = "7d"
max_attempts = 2
unattended = true
)"));
  RolloutOptions options;
  options.file = dir.File("r.toml");
  options.id = "from-flag";
  ASSERT_OK(MergeRolloutFile(RealFileSystem(), options));
  ASSERT_OK_AND_ASSIGN(const auto request, BuildRolloutRequest(options));
  EXPECT_EQ(request.rollout_id(), "from-flag");
  EXPECT_EQ(request.phases_size(), 2);
  EXPECT_EQ(request.windows(0).weekdays_size(), 5);
  EXPECT_EQ(request.error_threshold_permille(), 200u);
  EXPECT_EQ(request.lifetime_seconds(), 7 * 86400);
  EXPECT_EQ(request.retry().max_attempts(), 2u);
  EXPECT_TRUE(request.unattended());
}

TEST(MergeRolloutFile, UnknownKeysAreErrors) {
  testing::TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("r.toml"), "fases = []\n"));
  RolloutOptions options;
  options.file = dir.File("r.toml");
  EXPECT_THAT(MergeRolloutFile(RealFileSystem(), options),
              FailsBecause("bad_config"));
}

}  // namespace
}  // namespace shoal::cli
