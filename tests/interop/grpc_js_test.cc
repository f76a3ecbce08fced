// A whole fleet's first hour, seen by a stranger: offline keys, a management
// plane, an operator, and Node's own gRPC client with a P-256 certificate.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <tuple>

#include "common/files.h"
#include "tests/support/process_harness.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using Json = nlohmann::json;

class GrpcJsTest : public ::testing::Test {
 protected:
  std::string Path(const std::string& name) const { return dir_.File(name); }

  // Runs a program of ours; its output, or a failed test.
  std::string Must(std::vector<std::string> arguments) {
    arguments[0] = BinPath(arguments[0]);
    const auto result = shoal::testing::Run(arguments);
    EXPECT_OK(result);
    if (!result.ok()) return "";
    EXPECT_TRUE(result->status.ok())
        << ::testing::PrintToString(arguments) << "\n"
        << result->output;
    return result->output;
  }
  std::string Read(const std::string& name) {
    const auto text = RealFileSystem().Read(Path(name), 1 << 20);
    EXPECT_OK(text);
    return text.ok() ? *text : "";
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_OK(RealFileSystem().WriteAtomic(Path(name), text));
  }
  std::vector<std::string> Offline(std::vector<std::string> words) {
    words.insert(words.begin(), "shoal-sign");
    for (const std::string& word :
         {std::string("--keys"), Path("keys"), std::string("--repo"),
          Path("repo"), std::string("--passphrase-file"), Path("passphrase"),
          std::string("--kdf"), std::string("interactive")}) {
      words.push_back(word);
    }
    return words;
  }
  std::string Shoal(std::vector<std::string> words) {
    words.insert(words.begin(), {"shoal", "--context-dir", Path("contexts")});
    return Must(words);
  }
  // The lines that the script prints, and whether it ended with 0.
  std::pair<std::vector<Json>, bool> Node(const std::string& operator_name,
                                          std::vector<std::string> words) {
    std::vector<std::string> arguments = {
        SHOAL_NODE, std::string(SHOAL_INTEROP_DIR) + "/fleet.mjs",
        "--server", address_,
        "--ca",     Path("plane/server.crt"),
        "--cert",   Path(operator_name + "/tls.crt"),
        "--key",    Path(operator_name + "/tls.key"),
        "--protos", SourcePath("proto")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const auto result = shoal::testing::Run(arguments);
    EXPECT_OK(result);
    std::vector<Json> lines;
    if (!result.ok()) return {lines, false};
    std::istringstream text(result->output);
    for (std::string line; std::getline(text, line);) {
      Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
      EXPECT_FALSE(json.is_discarded()) << result->output;
      lines.push_back(std::move(json));
    }
    return {lines, result->status.ok()};
  }

  void SetUp() override {
    Write("passphrase", "correct horse battery staple\n");
    Must({"shoald", "init", "--data", Path("plane"), "--fleet", "interop"});
    for (const char* name : {"alice", "mallory"}) {
      Must({"shoal", "operator", "create", name, "--out", Path(name), "--role",
            "admin"});
    }
    Must(Offline({"init", "--online", Path("plane/online-public.json")}));
    Must(Offline({"device-type", "add", "gateway"}));
    // Mallory has keys, but no policy names them.
    const Json policy = {
        {"version", 1},
        {"operators", {Json::parse(Read("alice/operator.json"))}},
        {"rules",
         {{{"name", "admins-plane"},
           {"principals", {"role:admin"}},
           {"actions",
            {"release.create", "rollout.create", "rollout.approve",
             "rollout.halt", "device.read", "device.accept", "device.label",
             "device.decommission", "telemetry.read", "policy.publish",
             "node.enroll", "audit.read"}}}}}};
    Write("access.json", policy.dump());
    Must(Offline({"policy", "set", Path("access.json")}));
    Write("image", std::string(100'000, 'i'));
    Must(Offline({"image", "add", "--type", "gateway", "--version", "1.0.0",
                  "--counter", "1", Path("image")}));
    Must({"shoald", "import", "--data", Path("plane"), Path("repo")});
    plane_ = std::make_unique<HarnessProcess>(
        "shoald",
        std::vector<std::string>{BinPath("shoald"), "--config",
                                 Path("plane/shoald.toml")},
        dir_);
    ASSERT_OK(plane_->Start());
    ASSERT_OK(plane_->WaitForLog("event=ready", absl::Seconds(30)));
    address_ = Read("plane/address");
    while (!address_.empty() && address_.back() == '\n') address_.pop_back();
    ASSERT_FALSE(address_.empty());
    Shoal({"context", "add", "home", "--server", address_, "--server-cert",
           Path("plane/server.crt"), "--operator", Path("alice")});
  }

  TempDir dir_;
  std::unique_ptr<HarnessProcess> plane_;
  std::string address_;
};

TEST_F(GrpcJsTest, T55_ListsDevicesAndWatchesARolloutOverMutualTls) {
  auto [devices, listed] = Node("alice", {"devices"});
  ASSERT_TRUE(listed);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_TRUE(devices[0].at("devices").empty());
  std::tie(devices, listed) =
      Node("alice", {"devices", "labels.site = lab AND last_seen > -1h"});
  EXPECT_TRUE(listed);
  std::tie(devices, listed) = Node("alice", {"devices", "colour = red"});
  EXPECT_FALSE(listed);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].at("code"), 3);
  EXPECT_EQ(devices[0].at("reason"), "bad_filter");
  EXPECT_TRUE(devices[0].at("info"));
  auto [groups, grouped] = Node("alice", {"group", "lab", "labels.site = lab"});
  ASSERT_TRUE(grouped);
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_EQ(groups[0].at("made"), "groups/lab");
  EXPECT_TRUE(groups[0].at("again"));
  EXPECT_TRUE(groups[0].at("deleting"));
  EXPECT_EQ(groups[0].at("members").at("total_size"), 0);

  Shoal({"release", "create", "--repo", Path("repo"), "--type", "gateway",
         "--version", "1.0.0"});
  Shoal({"rollout", "create", "--release", "gateway/1.0.0", "--id", "r-1",
         "--phase", "all:percent=100"});
  auto [states, watched] =
      Node("alice", {"watch", "r-1", "ROLLOUT_STATE_PREPARING"});
  EXPECT_TRUE(watched);
  ASSERT_FALSE(states.empty());
  EXPECT_EQ(states[0].at("name"), "rollouts/r-1");
  EXPECT_EQ(states[0].at("phases").at(0).at("name"), "all");

  // Every order of a rollout, and one more that comes too late.
  auto [orders, ordered] =
      Node("alice", {"orders", "r-2", "releases/gateway/1.0.0"});
  EXPECT_FALSE(ordered);
  std::map<std::string, Json> by_order;
  for (const Json& line : orders)
    if (line.contains("order")) by_order[line.at("order")] = line;
  for (const char* order : {"plan", "create", "pause", "resume", "approve",
                            "activate", "explain", "abort"})
    ASSERT_TRUE(by_order.contains(order)) << order << " of " << Json(orders);
  EXPECT_EQ(by_order["plan"].at("phases"), 2);
  EXPECT_EQ(by_order["pause"].at("state"), "ROLLOUT_STATE_PAUSED");
  EXPECT_EQ(by_order["resume"].at("state"), "ROLLOUT_STATE_PREPARING");
  EXPECT_EQ(by_order["approve"].at("approvals"), 1);
  EXPECT_EQ(by_order["activate"].at("released"), true);
  EXPECT_EQ(by_order["abort"].at("state"), "ROLLOUT_STATE_ABORTED");
  EXPECT_EQ(orders.back().at("reason"), "not_active");

  // The same client with a key that no policy names.
  auto [refused, ok] = Node("mallory", {"devices"});
  EXPECT_FALSE(ok);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_TRUE(refused[0].at("code") == 16 || refused[0].at("code") == 7)
      << refused[0];
  EXPECT_NE(refused[0].at("reason"), "");
}

}  // namespace
}  // namespace shoal::testing
