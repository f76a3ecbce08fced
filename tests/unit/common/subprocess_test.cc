#include "common/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "common/files.h"
#include "tests/support/status_matchers.h"

namespace shoal {
namespace {

using ::shoal::testing::FailsBecause;

SubprocessOptions Program(std::vector<std::string> arguments) {
  SubprocessOptions options;
  options.arguments = std::move(arguments);
  return options;
}

TEST(Subprocess, RunsWithoutAShell) {
  ASSERT_OK_AND_ASSIGN(
      CommandResult result,
      RunCommand(Program({"/bin/echo", "$HOME; true"}), absl::Seconds(20)));
  EXPECT_TRUE(result.status.ok());
  EXPECT_EQ(result.output, "$HOME; true\n");
}

TEST(Subprocess, MissingProgramIsNotFound) {
  EXPECT_THAT(Subprocess::Start(Program({"/nonexistent"})),
              FailsBecause("io_not_found"));
}

TEST(Subprocess, ReportsCodeAndSignal) {
  ASSERT_OK_AND_ASSIGN(auto child, Subprocess::Start(Program({"/bin/false"})));
  ASSERT_OK_AND_ASSIGN(auto status, child.Wait());
  EXPECT_TRUE(status.exited);
  EXPECT_EQ(status.code, 1);
  ASSERT_OK_AND_ASSIGN(auto sleeper,
                       Subprocess::Start(Program({"/bin/sleep", "100"})));
  EXPECT_FALSE(sleeper.Poll().has_value());
  sleeper.Signal(SIGKILL);
  ASSERT_OK_AND_ASSIGN(status, sleeper.Wait(absl::Seconds(20)));
  EXPECT_FALSE(status.exited);
  EXPECT_EQ(status.signal, SIGKILL);
}

TEST(Subprocess, TimeOutKillsTheWholeGroup) {
  EXPECT_THAT(RunCommand(Program({"/bin/sh", "-c", "sleep 100 & sleep 100"}),
                         absl::Milliseconds(200)),
              FailsBecause("timeout"));
}

TEST(Subprocess, OutputIsCapped) {
  ASSERT_OK_AND_ASSIGN(
      CommandResult result,
      RunCommand(Program({"/usr/bin/seq", "100000"}), absl::Seconds(20), 100));
  EXPECT_EQ(result.output.size(), 100u);
  EXPECT_TRUE(result.status.ok());
}

TEST(Subprocess, OnlyNamedDescriptorsAndEnvironmentPass) {
  // A descriptor without O_CLOEXEC that the child must not see.
  FileDescriptor leak(open("/dev/null", O_RDONLY));
  FileDescriptor moved(fcntl(leak.get(), F_DUPFD, 50));
  FileDescriptor given(open("/dev/null", O_RDONLY | O_CLOEXEC));
  SubprocessOptions options =
      Program({"/bin/sh", "-c", "cd /proc/self/fd; echo *; echo x$HOME"});
  options.environment = std::vector<std::string>{"A=1"};
  options.descriptors = {{given.get(), 7}};
  ASSERT_OK_AND_ASSIGN(CommandResult result,
                       RunCommand(options, absl::Seconds(20)));
  // 3 is the shell's own descriptor of the directory that it lists.
  EXPECT_TRUE(result.output.starts_with("0 1 2 7\n") ||
              result.output.starts_with("0 1 2 3 7\n"))
      << result.output;
  EXPECT_EQ(result.output.find("50"), std::string::npos) << result.output;
  EXPECT_NE(result.output.find("\nx\n"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace shoal
