// The help of every command that there is.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "absl/strings/str_join.h"
#include "common/files.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/cli/golden.h"

namespace shoal::cli {
namespace {

// Names below "Subcommands:", as a reader finds them.
std::vector<std::string> SubcommandsIn(const std::string& help) {
  std::vector<std::string> names;
  std::istringstream lines(help);
  bool listed = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "Subcommands:") {
      listed = true;
    } else if (line.empty()) {
      listed = false;
    } else if (listed && line.starts_with("  ") && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

void ExpectHelpBelow(const std::vector<std::string>& command,
                     std::set<std::string>& seen) {
  const std::string help = HelpOf(command);
  const std::string name = absl::StrJoin(command, "_");
  if (!command.empty()) {
    seen.insert(name + ".txt");
    ExpectGolden("help/" + name + ".txt", help);
    EXPECT_TRUE(help.find("shoal " + absl::StrJoin(command, " ")) !=
                    help.npos ||
                !SubcommandsIn(help).empty())
        << name << " has no example";
  }
  for (const std::string& sub : SubcommandsIn(help)) {
    std::vector<std::string> longer = command;
    longer.push_back(sub);
    ExpectHelpBelow(longer, seen);
  }
}

TEST(Golden, HelpOfEveryCommand) {
  std::set<std::string> seen;
  ExpectHelpBelow({}, seen);
  EXPECT_GT(seen.size(), 50u);
  // No file of a command that has gone.
  ASSERT_OK_AND_ASSIGN(
      const auto files,
      RealFileSystem().List(testing::SourcePath("tests/unit/cli/golden/help")));
  for (const std::string& file : files)
    EXPECT_TRUE(seen.contains(file)) << "tests/unit/cli/golden/help/" << file;
}

}  // namespace
}  // namespace shoal::cli
