// TUF both ways: npm's tuf-js reads what our tools sign, and shoal-tuf reads
// what npm's @tufjs/models signs.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "common/bytes.h"
#include "common/files.h"
#include "tests/interop/tuf_repository.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using Json = nlohmann::json;

std::string Script(const std::string& name) {
  return std::string(SHOAL_INTEROP_DIR) + "/" + name;
}

// npm's packages of today, and those for the Node of Debian 12.
std::vector<std::string> Generations() {
  const auto result = shoal::testing::Run(
      {SHOAL_NODE, "--input-type=module", "-e",
       "import {generations} from '" + Script("tuf_packages.mjs") +
           "'; console.log(JSON.stringify(generations))"});
  EXPECT_OK(result);
  if (!result.ok() || !result->status.ok()) return {};
  return Json::parse(result->output).get<std::vector<std::string>>();
}

class TufInterop : public ::testing::Test {
 protected:
  void Serve(const std::string& directory) {
    server_ = std::make_unique<HarnessProcess>(
        "server-" + std::to_string(++servers_),
        std::vector<std::string>{SHOAL_NODE, Script("tuf_server.mjs"),
                                 directory},
        dir_);
    ASSERT_OK(server_->Start());
    ASSERT_OK(server_->WaitForLog("event=ready"));
    base_ = "http://127.0.0.1:" +
            server_->LogValue("event=ready", "port").value_or("");
  }
  // Output, and whether it ended with 0.
  std::pair<std::string, bool> Tuf(std::vector<std::string> words) {
    words.insert(words.begin(),
                 {BinPath("shoal-tuf"), "--metadata-dir", Path("metadata")});
    const auto result = shoal::testing::Run(words);
    EXPECT_OK(result);
    if (!result.ok()) return {"", false};
    return {result->output, result->status.ok()};
  }
  std::pair<std::string, bool> Refresh(const std::string& state) {
    return Tuf({"--metadata-url", base_ + state + "/metadata", "refresh"});
  }
  std::pair<std::string, bool> Download(const std::string& state,
                                        const std::vector<std::string>& paths) {
    std::vector<std::string> words = {"--metadata-url",
                                      base_ + state + "/metadata"};
    for (const std::string& path : paths)
      words.insert(words.end(), {"--target-name", path});
    words.insert(words.end(),
                 {"--target-dir", Path("targets"), "--target-base-url",
                  base_ + state + "/targets", "download"});
    return Tuf(std::move(words));
  }
  // All files that shoal-tuf downloaded, by name.
  std::map<std::string, std::string> Downloaded() {
    std::map<std::string, std::string> files;
    const auto names = RealFileSystem().List(Path("targets"));
    if (!names.ok()) return files;
    for (const std::string& name : *names)
      files[name] =
          RealFileSystem().Read(Path("targets/" + name), 1 << 20).value_or("");
    return files;
  }
  // The lines that tuf-js's run says, and whether it ended with 0.
  std::pair<std::vector<Json>, bool> TufJs(
      const std::string& generation, const std::string& root,
      const std::vector<std::string>& paths) {
    const std::string metadata = Path("js-metadata-" + generation);
    const std::string targets = Path("js-targets-" + generation);
    EXPECT_OK(RealFileSystem().MakeDirectories(metadata));
    EXPECT_OK(RealFileSystem().MakeDirectories(targets));
    EXPECT_OK(RealFileSystem().WriteAtomic(metadata + "/root.json", root));
    std::vector<std::string> words = {
        SHOAL_NODE,        Script("tuf_client.mjs"), generation,
        metadata,          base_ + "/metadata",      targets,
        base_ + "/targets"};
    words.insert(words.end(), paths.begin(), paths.end());
    const auto result = shoal::testing::Run(words);
    EXPECT_OK(result);
    std::vector<Json> lines;
    if (!result.ok()) return {lines, false};
    std::istringstream stream(result->output);
    for (std::string line; std::getline(stream, line);) {
      Json json = Json::parse(line, nullptr, false);
      if (json.is_object()) lines.push_back(std::move(json));
    }
    return {lines, result->status.ok()};
  }
  std::string Path(const std::string& name) const { return dir_.File(name); }
  std::string Read(const std::string& name) {
    return RealFileSystem().Read(Path(name), 1 << 20).value_or("");
  }

  TempDir dir_;
  int servers_ = 0;  // each has a log of its own
  std::unique_ptr<HarnessProcess> server_;
  std::string base_;
};

TEST_F(TufInterop, TufJsReadsWhatWeSign) {
  const TufRepository repository = MakeTufRepository(Path("repo"));
  Serve(Path("repo"));
  const std::string root = Read("repo/metadata/1.root.json");
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : repository.targets) paths.push_back(path);
  paths.insert(paths.end(), repository.absent.begin(), repository.absent.end());
  for (const std::string& generation : Generations()) {
    SCOPED_TRACE(generation);
    const auto [lines, ok] = TufJs(generation, root, paths);
    EXPECT_TRUE(ok) << (lines.empty() ? "" : lines.back().dump());
    ASSERT_EQ(lines.size(), paths.size());
    for (const Json& line : lines) {
      const std::string path = line["path"];
      const auto expected = repository.targets.find(path);
      ASSERT_EQ(line["found"], expected != repository.targets.end()) << path;
      if (expected == repository.targets.end()) continue;
      EXPECT_EQ(line["bytes"], HexEncode(expected->second)) << path;
      const auto custom = repository.custom.find(path);
      if (custom != repository.custom.end()) {
        EXPECT_EQ(line["custom"], Json::parse(custom->second)) << path;
      }
    }
  }
  // And so does our own client.
  ASSERT_TRUE(Tuf({"init", Path("repo/metadata/1.root.json")}).second);
  for (const auto& [path, bytes] : repository.targets) {
    const auto [output, ok] = Download("", {path});
    EXPECT_TRUE(ok) << output;
  }
  EXPECT_EQ(Downloaded().size(), repository.targets.size());
  for (const std::string& path : repository.absent)
    EXPECT_FALSE(Download("", {path}).second) << path;
}

TEST_F(TufInterop, TufJsReadsAFleetsRepository) {
  ASSERT_OK(RealFileSystem().WriteAtomic(Path("passphrase"), "long enough\n"));
  ASSERT_OK(RealFileSystem().WriteAtomic(Path("image"), "an image's bytes"));
  const auto offline = [&](std::vector<std::string> words) {
    words.insert(words.begin(), BinPath("shoal-sign"));
    words.insert(words.end(), {"--keys", Path("keys"), "--repo", Path("repo"),
                               "--passphrase-file", Path("passphrase"), "--kdf",
                               "interactive"});
    const auto result = shoal::testing::Run(words);
    ASSERT_OK(result);
    ASSERT_TRUE(result->status.ok()) << result->output;
  };
  offline({"init"});
  offline({"device-type", "add", "gateway"});
  offline({"image", "add", "--type", "gateway", "--version", "1.0.0",
           "--counter", "7", Path("image")});
  offline({"publish"});
  Serve(Path("repo"));
  const std::string path = "fw/gateway/1.0.0/image";
  for (const std::string& generation : Generations()) {
    const auto [lines, ok] =
        TufJs(generation, Read("repo/metadata/1.root.json"),
              {path, "fw/gateway/2.0.0/image"});
    ASSERT_TRUE(ok);
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0]["bytes"], HexEncode("an image's bytes"));
    EXPECT_EQ(lines[0]["custom"]["shoal"]["counter"], 7);
    EXPECT_EQ(lines[1]["found"], false);
  }
  ASSERT_TRUE(Tuf({"init", Path("repo/metadata/1.root.json")}).second);
  const auto [output, ok] = Download("", {path});
  EXPECT_TRUE(ok) << output;
}

TEST_F(TufInterop, WeReadWhatNpmSigns) {
  for (const std::string& generation : Generations()) {
    SCOPED_TRACE(generation);
    for (const char* old : {"metadata", "targets"})
      for (const std::string& name : RealFileSystem().List(Path(old)).value_or(
               std::vector<std::string>()))
        if (name != "targets") {
          ASSERT_OK(RealFileSystem().Remove(Path(old) + "/" + name));
        }
    const std::string repo = Path("npm-" + generation);
    const auto made = shoal::testing::Run(
        {SHOAL_NODE, Script("tuf_make.mjs"), generation, repo});
    ASSERT_OK(made);
    ASSERT_TRUE(made->status.ok()) << made->output;
    const Json expected = Json::parse(made->output);
    Serve(repo);

    // No request before the first refresh, and then these.
    ASSERT_TRUE(Tuf({"init", repo + "/1/metadata/1.root.json"}).second);
    EXPECT_EQ(server_->Log().find("event=request"), std::string::npos);
    auto [output, ok] = Refresh("/1");
    ASSERT_TRUE(ok) << output;
    std::vector<std::string> requests;
    std::istringstream log(server_->Log());
    for (std::string line; std::getline(log, line);)
      if (line.starts_with("event=request"))
        requests.push_back(line.substr(line.find("path=") + 5));
    EXPECT_THAT(requests, ::testing::ElementsAre("/1/metadata/2.root.json",
                                                 "/1/metadata/timestamp.json",
                                                 "/1/metadata/60.snapshot.json",
                                                 "/1/metadata/3.targets.json"));
    // Verbatim, byte for byte.
    EXPECT_EQ(Read("metadata/targets.json"),
              RealFileSystem()
                  .Read(repo + "/1/metadata/3.targets.json", 1 << 20)
                  .value());

    std::vector<std::string> paths;
    for (const auto& [path, bytes] : expected["targets"].items())
      paths.push_back(path);
    std::tie(output, ok) = Download("/1", paths);
    EXPECT_TRUE(ok) << output;
    std::vector<std::string> contents;
    for (const auto& [name, bytes] : Downloaded())
      contents.push_back(HexEncode(bytes));
    std::vector<std::string> all;
    for (const auto& [path, bytes] : expected["targets"].items())
      all.push_back(bytes);
    EXPECT_THAT(contents, ::testing::UnorderedElementsAreArray(all));
    for (const std::string absent : expected["absent"]) {
      std::tie(output, ok) = Download("/1", {absent});
      EXPECT_FALSE(ok);
      EXPECT_NE(output.find("(unknown_target)"), std::string::npos) << output;
    }

    // Rotated keys begin their versions again; what is there is not fetched
    // anew, what changed is, and other bytes are refused.
    std::tie(output, ok) = Download("/2", {"both", "plain.txt"});
    EXPECT_TRUE(ok) << output;
    EXPECT_NE(output.find("both: unchanged"), std::string::npos);
    EXPECT_EQ(Read("targets/plain.txt"), "changed");
    ASSERT_OK(RealFileSystem().Remove(Path("targets/release%2F1.bin")));
    std::tie(output, ok) = Download("/3", {"release/1.bin", "both"});
    EXPECT_FALSE(ok);
    EXPECT_NE(output.find("(hash_mismatch)"), std::string::npos) << output;
    EXPECT_FALSE(Downloaded().contains("release%2F1.bin"));
    // The older state is by keys that nobody trusts any more.
    std::tie(output, ok) = Refresh("/1");
    EXPECT_FALSE(ok);
  }
}

TEST_F(TufInterop, ErrorsEndWithOne) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{
           {},
           {"refresh"},
           {"--metadata-url", "http://127.0.0.1:1/", "refresh"},
           {"init"},
           {"init", "/nonexistent"},
           {"--metadata-url", "ftp://127.0.0.1/", "refresh"},
           {"--metadata-url", "http://127.0.0.1:1/", "download"},
           {"--unknown", "refresh"}}) {
    std::vector<std::string> arguments = {BinPath("shoal-tuf"),
                                          "--metadata-dir", Path("metadata")};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const auto result = shoal::testing::Run(arguments);
    ASSERT_OK(result);
    EXPECT_EQ(result->status.code, 1) << ::testing::PrintToString(words);
  }
}

}  // namespace
}  // namespace shoal::testing
