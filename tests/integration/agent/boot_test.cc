// The loader by itself: what happens when the agent of an image is of no use.
#include <filesystem>

#include "agent/boot/boot_env.h"
#include "tests/support/device.h"

namespace shoal::testing {
namespace {

class BootTest : public ::testing::Test {
 protected:
  // A data directory with a trial in slot b, and a shoal-boot of its own whose
  // agent is `agent`, a shell script; none: there is no such program.
  void Prepare(const std::string& agent) {
    WriteText(dir_.File("factory"), "factory image");
    ASSERT_OK(device_.Init({"--image", dir_.File("factory")}));
    std::filesystem::create_directories(dir_.File("bin"));
    std::filesystem::copy_file(BinPath("shoal-boot"),
                               dir_.File("bin/shoal-boot"));
    if (!agent.empty()) {
      WriteText(dir_.File("bin/shoal-agent"), "#!/bin/sh\n" + agent + "\n");
      std::filesystem::permissions(dir_.File("bin/shoal-agent"),
                                   std::filesystem::perms::owner_all);
    }
    auto env = agent::LoadBootEnv(RealFileSystem(), Boot());
    ASSERT_OK(env);
    env->trial = "b";
    env->tries_left = 2;
    ASSERT_OK(agent::SaveBootEnv(RealFileSystem(), Boot(), *env));
    boot_ = std::make_unique<HarnessProcess>(
        "boot",
        std::vector<std::string>{dir_.File("bin/shoal-boot"), "--config",
                                 device_.config()},
        dir_);
    ASSERT_OK(boot_->Start());
  }
  void ExpectFallback() {
    ASSERT_OK(WaitFor("the loader falls back", [&] {
      const auto env = agent::LoadBootEnv(RealFileSystem(), Boot());
      return env.ok() && env->fell_back == "b";
    }));
    ASSERT_OK_AND_ASSIGN(const auto env,
                         agent::LoadBootEnv(RealFileSystem(), Boot()));
    EXPECT_EQ(env.committed, "a");
    EXPECT_EQ(env.trial, "");
    EXPECT_EQ(env.boots, 3u) << "two tries of b, then a";
    EXPECT_TRUE(boot_->Running());
  }
  std::string Boot() { return device_.data() + "/boot"; }

  TempDir dir_;
  Device device_{dir_, "device"};
  std::unique_ptr<HarnessProcess> boot_;
};

TEST_F(BootTest, T62_FallsBackWhenTheAgentEndsAtOnce) {
  Prepare("exit 7");
  ExpectFallback();
  ASSERT_OK(boot_->WaitForLog("event=reset"));
}

TEST_F(BootTest, T62_FallsBackWhenTheAgentCannotBeStartedAtAll) {
  Prepare("");
  ExpectFallback();
}

TEST_F(BootTest, T62_FallsBackWhenTheAgentCrashes) {
  Prepare("kill -SEGV $$");
  ExpectFallback();
}

}  // namespace
}  // namespace shoal::testing
