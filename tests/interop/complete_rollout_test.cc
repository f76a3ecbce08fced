// The API used from Node alone for a complete rollout to a real device, a
// canary and a gate included.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "common/files.h"
#include "tests/support/real_fleet.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using Json = nlohmann::json;

TEST(CompleteRollout, T55_FromThePlanToTheLastOutcome) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto fleet, RealFleet::Start(dir));
  ASSERT_OK_AND_ASSIGN(
      std::string address,
      RealFileSystem().Read(fleet->Path("plane/address"), 256));
  address = address.substr(0, address.find('\n'));
  ASSERT_OK_AND_ASSIGN(
      const auto ran,
      shoal::testing::Run(
          {SHOAL_NODE, std::string(SHOAL_INTEROP_DIR) + "/fleet.mjs",
           "--server", address, "--ca", fleet->Path("plane/server.crt"),
           "--cert", fleet->Path("ann/tls.crt"), "--key",
           fleet->Path("ann/tls.key"), "--protos", SourcePath("proto"),
           "complete", "js", "releases/gateway/4.0"}));
  ASSERT_TRUE(ran.status.ok()) << ran.output << fleet->PlaneLog();
  std::vector<Json> outcomes;
  Json plan, end, refused, deleted;
  bool approved = false;
  std::istringstream text(ran.output);
  for (std::string line; std::getline(text, line);) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    ASSERT_FALSE(json.is_discarded()) << ran.output;
    const std::string step = json.value("step", "");
    if (step == "plan") plan = json;
    if (step == "approved") approved = true;
    if (step == "end") end = json;
    if (step == "refused") refused = json;
    if (step == "deleted") deleted = json;
    if (step == "outcome") outcomes.push_back(json);
  }
  EXPECT_EQ(plan.value("devices", Json()), Json({1, 0})) << ran.output;
  EXPECT_TRUE(approved);
  EXPECT_EQ(end.value("state", ""), "ROLLOUT_STATE_FINISHED");
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_TRUE(outcomes[0].value("success", false));
  EXPECT_EQ(outcomes[0].value("version", ""), "4.0");
  EXPECT_EQ(fleet->device().RunningVersion(), "4.0");
  EXPECT_EQ(refused.value("reason", ""), "release_running") << ran.output;
  EXPECT_GT(deleted.value("bytes", 0), 0) << ran.output;
  EXPECT_EQ(deleted.value("warnings", 0), 1);
}

}  // namespace
}  // namespace shoal::testing
