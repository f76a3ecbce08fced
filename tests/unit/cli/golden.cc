#include "tests/unit/cli/golden.h"

#include <gtest/gtest.h>

#include <sstream>

#include "common/files.h"
#include "server/cli/commands.h"
#include "server/cli/exit_code.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"

namespace shoal::cli {

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = testing::SourcePath("tests/unit/cli/golden/" + name);
  if (getenv("SHOAL_GOLDEN_UPDATE") != nullptr) {
    ASSERT_OK(RealFileSystem().WriteAtomic(path, text, 0644));
  }
  ASSERT_OK_AND_ASSIGN(const std::string golden,
                       RealFileSystem().Read(path, 1 << 20));
  EXPECT_EQ(text, golden) << "tests/unit/cli/golden/" << name;
}

std::string HelpOf(const std::vector<std::string>& command) {
  std::ostringstream out, err;
  Program program(RealFileSystem(), SystemClock(), {out, err});
  std::vector<const char*> argv = {"shoal"};
  for (const std::string& word : command) argv.push_back(word.c_str());
  argv.push_back("--help");
  EXPECT_EQ(RunTool(static_cast<int>(argv.size()), argv.data(), program),
            kExitOk);
  return out.str();
}

}  // namespace shoal::cli
