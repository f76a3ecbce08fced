// The command line as a whole, in process: what is usage, what help says.
#include "server/cli/command_line.h"

#include <gtest/gtest.h>

#include <sstream>

#include "common/bytes.h"
#include "common/clock.h"
#include "server/cli/exit_code.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

struct Answer {
  int code;
  std::string out;
  std::string err;
};

Answer Tool(std::vector<std::string> arguments) {
  std::ostringstream out, err;
  Program program(RealFileSystem(), SystemClock(), {out, err});
  std::vector<const char*> argv = {"shoal"};
  for (const auto& argument : arguments) argv.push_back(argument.c_str());
  const int code = RunTool(static_cast<int>(argv.size()), argv.data(), program);
  return {code, out.str(), err.str()};
}

void Collect(const CLI::App& app, std::vector<std::string> path,
             std::vector<std::vector<std::string>>& leaves) {
  const auto commands = app.get_subcommands(nullptr);
  if (commands.empty()) leaves.push_back(path);
  for (const CLI::App* command : commands) {
    auto deeper = path;
    deeper.push_back(command->get_name());
    Collect(*command, deeper, leaves);
  }
}

TEST(CommandLine, EveryCommandHasHelpWithExamples) {
  std::ostringstream none;
  Program program(RealFileSystem(), SystemClock(), {none, none});
  CLI::App app("", "shoal");
  AddCommands(app, program);
  std::vector<std::vector<std::string>> leaves;
  Collect(app, {}, leaves);
  EXPECT_GE(leaves.size(), 30u);
  for (auto path : leaves) {
    const std::string name = path[0] + " " + path.back();
    path.push_back("--help");
    const Answer answer = Tool(path);
    EXPECT_EQ(answer.code, kExitOk) << name;
    EXPECT_NE(answer.out.find("Examples:\n  shoal " + name), std::string::npos)
        << name << "\n"
        << answer.out;
  }
}

TEST(CommandLine, UsageErrorsEndWithTwo) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"device"},
           {"device", "explode"},
           {"device", "list", "--nonsense"},
           {"device", "list", "--output", "xml"},
           {"operator", "create", "alice"},
           {"operator", "create", "../x", "--out", "/nonexistent/x"},
           {"device", "get", "not-hex"},
           {"rollout", "create", "--release", "nonsense"},
           {"command", "run", "00112233445566778899aabbccddeeff", "uptime",
            "--timeout", "1h"}}) {
    const Answer answer = Tool(arguments);
    EXPECT_EQ(answer.code, kExitUsage)
        << ::testing::PrintToString(arguments) << answer.err;
    EXPECT_FALSE(answer.err.empty());
    EXPECT_EQ(answer.out, "");
  }
}

TEST(CommandLine, WithoutAContextItSaysHowToMakeOne) {
  testing::TempDir dir;
  const Answer answer =
      Tool({"device", "list", "--context-dir", dir.File("none")});
  EXPECT_EQ(answer.code, kExitFailed);
  EXPECT_NE(answer.err.find("shoal context add"), std::string::npos);
  EXPECT_EQ(Tool({"context", "use", "x", "--context-dir", dir.path()}).code,
            kExitNotFound);
}

TEST(CommandLine, SharedOptionsStandBeforeOrBehindTheCommand) {
  testing::TempDir dir;
  const std::string empty = "{\"contexts\":[]}\n";
  EXPECT_EQ(
      Tool({"--output", "json", "--context-dir", dir.path(), "context", "list"})
          .out,
      empty);
  EXPECT_EQ(
      Tool({"context", "list", "--context-dir", dir.path(), "-o", "json"}).out,
      empty);
}

TEST(CommandLine, OperatorCreateMakesKeysOnce) {
  testing::TempDir dir;
  const std::string out = dir.File("alice");
  const Answer made = Tool({"operator", "create", "alice", "--out", out,
                            "--role", "admin", "--output", "json"});
  ASSERT_EQ(made.code, kExitOk) << made.err;
  EXPECT_EQ(*RealFileSystem().Read(out + "/operator.json", 4096), made.out);
  EXPECT_NE(made.out.find("\"name\": \"alice\""), std::string::npos);
  EXPECT_NE(made.out.find("\"admin\""), std::string::npos);
  EXPECT_OK(LoadOperatorTls(RealFileSystem(), out));
  const auto key = LoadOperatorKey(RealFileSystem(), out);
  ASSERT_OK(key);
  EXPECT_NE(made.out.find(HexEncode(key->public_key())), std::string::npos);
  const Answer again = Tool({"operator", "create", "bob", "--out", out});
  EXPECT_EQ(again.code, kExitFailed);
  EXPECT_NE(again.err.find("key_exists"), std::string::npos);
}

TEST(CommandLine, CompletionKnowsTheCommands) {
  const Answer zsh = Tool({"completion", "zsh"});
  EXPECT_EQ(zsh.out.rfind("#compdef shoal\n", 0), 0u);
  const Answer fish = Tool({"completion", "fish"});
  EXPECT_NE(fish.out.find("complete -c shoal -f -n '__shoal_at \"group\"' -a "
                          "members"),
            std::string::npos);
  const Answer answer = Tool({"completion", "bash"});
  EXPECT_EQ(answer.code, kExitOk);
  EXPECT_NE(answer.out.find("'rollout') words='create list get watch approve "
                            "halt"),
            std::string::npos)
      << answer.out;
  EXPECT_NE(answer.out.find("complete -o default -F _shoal shoal"),
            std::string::npos);
}

}  // namespace
}  // namespace shoal::cli
