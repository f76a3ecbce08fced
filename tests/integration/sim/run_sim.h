// Runs shoal-sim and reads the JSON that it wrote.
#ifndef SHOAL_TESTS_INTEGRATION_SIM_RUN_SIM_H_
#define SHOAL_TESTS_INTEGRATION_SIM_RUN_SIM_H_

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {

inline nlohmann::json RunSim(const TempDir& dir,
                             std::vector<std::string> arguments, int* code,
                             absl::Duration timeout) {
  arguments.insert(arguments.begin(),
                   {BinPath("shoal-sim"), "--directory", dir.File("disk"),
                    "--flash", dir.File("flash"), "--json",
                    dir.File("run.json"), "--plots", dir.File("run")});
  const auto result = Run(arguments, timeout);
  if (!result.ok()) {
    ADD_FAILURE() << result.status();
    return {};
  }
  *code = result->status.code;
  const auto text = RealFileSystem().Read(dir.File("run.json"), 64 << 20);
  auto json = nlohmann::json::parse(text.ok() ? *text : "", nullptr, false);
  EXPECT_TRUE(json.is_object()) << result->output;
  return json;
}

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_SIM_RUN_SIM_H_
