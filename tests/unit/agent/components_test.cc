#include "agent/install/components.h"

#include <sys/stat.h>

#include <thread>

#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::FakeClock;
using shoal::testing::TempDir;
using testing::ReadFile;
using testing::WriteFile;

class ComponentsTest : public ::testing::Test {
 protected:
  // The program that `body` is, in the words of a shell.
  void Program(const std::string& body,
               absl::Duration time_limit = absl::Seconds(20)) {
    WriteFile(dir_.File("program"), "#!/bin/sh\n" + body);
    ASSERT_EQ(chmod(dir_.File("program").c_str(), 0700), 0);
    config_.components["modem"] = {dir_.File("program"), time_limit};
  }
  ComponentUpdate Update() const {
    ComponentUpdate update;
    update.name = "modem";
    update.counter = 7;
    update.version = "1.4.0";
    return update;
  }
  TempDir dir_;
  FakeClock clock_;
  AgentConfig config_;
};

TEST_F(ComponentsTest, TheProgramIsAskedOnceAndAgainWhenItDidSomething) {
  Program("echo \"$1\" >> " + dir_.File("calls") + "\ncat " +
          dir_.File("counter"));
  WriteFile(dir_.File("counter"), "3\n");
  config_.parts.components["sensor"] = 5;
  Components components(config_, clock_);
  for (int i = 0; i < 2; ++i) {
    const rules::DeviceParts parts = components.Parts();
    EXPECT_EQ(parts.components.at("modem"), 3u);
    EXPECT_EQ(parts.components.at("sensor"), 5u) << "the owner's word";
    EXPECT_EQ(parts.installs, std::set<std::string>{"modem"});
  }
  EXPECT_EQ(ReadFile(dir_.File("calls")), "counter\n");
  WriteFile(dir_.File("counter"), "7");
  ASSERT_OK(components.Run(Update(), ComponentAction::kInstall, "/x"));
  EXPECT_EQ(components.Parts().components.at("modem"), 7u);
}

TEST_F(ComponentsTest, TheProgramGetsTheFileAndSaysWhatIsWrong) {
  Program(
      "echo \"$# $1 $2 $SHOAL_COMPONENT $SHOAL_COUNTER $SHOAL_VERSION\"\n"
      "[ \"$1\" != install ]");
  Components components(config_, clock_);
  const absl::Status status =
      components.Run(Update(), ComponentAction::kInstall, "/a b;c");
  EXPECT_THAT(status, FailsBecause("component_failed"));
  EXPECT_NE(status.message().find("2 install /a b;c modem 7 1.4.0"),
            absl::string_view::npos)
      << status.message();
  EXPECT_OK(components.Run(Update(), ComponentAction::kRollback, ""));
  ComponentUpdate other = Update();
  other.name = "fpga";
  EXPECT_THAT(components.Run(other, ComponentAction::kCommit, ""),
              FailsBecause("unknown_component"));
}

TEST_F(ComponentsTest, WhatDoesNotAnswerIsNotThereAndNotInstalled) {
  for (const char* body : {"exit 3", "echo many", "echo -1", "sleep 60"}) {
    SCOPED_TRACE(body);
    Program(body, absl::Milliseconds(300));
    Components components(config_, clock_);
    const rules::DeviceParts parts = components.Parts();
    EXPECT_TRUE(parts.components.empty());
    EXPECT_TRUE(parts.installs.empty());
  }
  config_.components["modem"].program = dir_.File("no-such-program");
  EXPECT_TRUE(Components(config_, clock_).Parts().installs.empty());
}

TEST_F(ComponentsTest, WhatFailedIsAskedAgainAfterAWhile) {
  Program("echo x >> " + dir_.File("calls") + "\ncat " + dir_.File("counter"));
  Components components(config_, clock_);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(components.Parts().installs.empty());
  EXPECT_EQ(ReadFile(dir_.File("calls")), "x\n");
  WriteFile(dir_.File("counter"), "4");
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(components.Parts().components.at("modem"), 4u);
}

TEST_F(ComponentsTest, WhileAProgramInstallsNobodyAsksItAnything) {
  ASSERT_EQ(mkfifo(dir_.File("begun").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(dir_.File("go").c_str(), 0600), 0);
  Program("cd " + dir_.path() +
          "\necho \"$1\" >> calls\n[ \"$1\" != counter ] || exec echo 3\n"
          "echo > begun\ncat go");
  Components components(config_, clock_);
  EXPECT_EQ(components.Parts().components.at("modem"), 3u);
  // As after an earlier call: the answer is to be asked for anew.
  const auto run = [&] {
    EXPECT_OK(components.Run(Update(), ComponentAction::kInstall, "/x"));
  };
  for (int i = 0; i < 2; ++i) {
    std::thread engine(run);
    ReadFile(dir_.File("begun"));
    EXPECT_EQ(components.Parts().components.at("modem"), 3u);
    WriteFile(dir_.File("go"), "");
    engine.join();
  }
  EXPECT_EQ(ReadFile(dir_.File("calls")), "counter\ninstall\ninstall\n");
  EXPECT_EQ(components.Parts().components.at("modem"), 3u);
  EXPECT_EQ(ReadFile(dir_.File("calls")),
            "counter\ninstall\ninstall\ncounter\n");
}

TEST_F(ComponentsTest, AProgramThatHangsIsKilled) {
  Program("sleep 60", absl::Milliseconds(300));
  Components components(config_, clock_);
  EXPECT_THAT(components.Run(Update(), ComponentAction::kInstall, "/x"),
              FailsBecause("component_failed"));
}

}  // namespace
}  // namespace shoal::agent
