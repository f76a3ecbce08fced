// `shoal log` as an operator uses it: beside the plane, without it, and over an
// exported tree that somebody may have changed.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "signing/log/files.h"
#include "tests/integration/server/shoald_fixture.h"

namespace shoal {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class LogCommandTest : public ShoaldTest {
 protected:
  void SetUp() override {
    ShoaldTest::SetUp();
    ASSERT_NO_FATAL_FAILURE(StartNode("n1"));
    ASSERT_OK(testing::WaitFor("the node to hold the log", [&] {
      return nodes_.back()->Log().find("event=log_synced") != std::string::npos;
    }));
  }
  // Standard output and error together, whatever the exit status.
  CommandResult Log(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {BinPath("shoal"), "--context-dir", Path("ctx"), "log"});
    auto result = testing::Run(std::move(arguments));
    EXPECT_OK(result);
    return result.value_or(CommandResult());
  }
  // The lines of --output json, without what is said beside them.
  std::vector<json> JsonLines(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--output", "json"});
    const CommandResult result = Log(std::move(arguments));
    EXPECT_TRUE(result.status.ok()) << result.output;
    std::vector<json> lines;
    size_t at = 0;
    while (at < result.output.size()) {
      const size_t end = result.output.find('\n', at);
      const std::string line = result.output.substr(at, end - at);
      if (line.starts_with("{")) lines.push_back(json::parse(line));
      at = end == std::string::npos ? result.output.size() : end + 1;
    }
    return lines;
  }
};

TEST_F(LogCommandTest, WithThePlaneAndWithoutIt) {
  const auto with = JsonLines({"verify"});
  ASSERT_EQ(with.size(), 1u);
  EXPECT_GT(with[0]["entries"].get<int>(), 5);
  shoald_->Kill(SIGKILL);
  const auto without = JsonLines({"verify"});
  ASSERT_EQ(without.size(), 1u);
  EXPECT_EQ(without[0]["root"], with[0]["root"]);
  EXPECT_EQ(without[0]["entries"], with[0]["entries"]);
  const CommandResult said = Log({"verify"});
  EXPECT_THAT(said.output, HasSubstr("shoald is not asked"));
  EXPECT_THAT(said.output, HasSubstr("all in the log"));

  // Its entries, from the storage node alone.
  const auto all = JsonLines({"list", "--limit", "1000"});
  ASSERT_EQ(all.size(), with[0]["entries"].get<size_t>());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]["index"], i);
  const auto newest = JsonLines({"list", "--limit", "2"});
  ASSERT_EQ(newest.size(), 2u);
  EXPECT_EQ(newest[1], all.back());
  const auto metadata =
      JsonLines({"list", "--kind", "metadata", "--limit", "1000"});
  bool root = false;
  for (const json& entry : metadata) {
    EXPECT_EQ(entry["kind"], "metadata");
    root |= entry["name"] == "root" && entry["number"] == 1;
  }
  EXPECT_TRUE(root);
  const auto one = JsonLines({"show", "3"});
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0], all[3]);
  EXPECT_THAT(Log({"show", "3"}).output,
              HasSubstr(all[3]["sha256"].get<std::string>()));

  const CommandResult beyond = Log({"show", "100000"});
  EXPECT_EQ(beyond.status.code, 5);
  EXPECT_THAT(beyond.output, HasSubstr("no_such_entry"));
  EXPECT_EQ(Log({"list", "--kind", "gossip"}).status.code, 2);

  // With nobody left it says so, and claims nothing.
  nodes_.back()->Kill(SIGKILL);
  const CommandResult nobody = Log({"verify"});
  EXPECT_FALSE(nobody.status.ok()) << nobody.output;
  EXPECT_THAT(nobody.output, HasSubstr("network_unreachable"));
}

TEST_F(LogCommandTest, OverAnExportedTree) {
  Must({BinPath("shoal"), "--context-dir", Path("ctx"), "release", "export",
        Path("tree")});
  shoald_->Kill(SIGKILL);
  nodes_.back()->Kill(SIGKILL);
  const auto verified = JsonLines({"verify", "--tree", Path("tree")});
  ASSERT_EQ(verified.size(), 1u);
  const auto entries =
      JsonLines({"list", "--limit", "1000", "--tree", Path("tree")});
  EXPECT_EQ(entries.size(), verified[0]["entries"].get<size_t>());
  EXPECT_EQ(JsonLines({"show", "0", "--tree", Path("tree")}).at(0),
            entries.at(0));

  // Every byte counts: one changed entry, one left out.
  const std::string file = Path("tree/log/" + signing::LogEntriesName(0));
  ASSERT_OK_AND_ASSIGN(const std::string good,
                       RealFileSystem().Read(file, 1 << 20));
  std::string bad = good;
  bad[bad.size() / 2] ^= 1;
  ASSERT_OK(RealFileSystem().WriteAtomic(file, bad));
  const CommandResult changed = Log({"verify", "--tree", Path("tree")});
  EXPECT_FALSE(changed.status.ok()) << changed.output;
  const CommandResult listed = Log({"list", "--tree", Path("tree")});
  EXPECT_FALSE(listed.status.ok()) << listed.output;
  ASSERT_OK(RealFileSystem().Remove(file));
  const CommandResult gone = Log({"verify", "--tree", Path("tree")});
  EXPECT_FALSE(gone.status.ok()) << gone.output;
  EXPECT_THAT(gone.output, HasSubstr("log_incomplete"));
  ASSERT_OK(RealFileSystem().WriteAtomic(file, good));
  EXPECT_TRUE(Log({"verify", "--tree", Path("tree")}).status.ok());
}

}  // namespace
}  // namespace shoal
