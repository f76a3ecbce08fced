// shoal-delta, the real program: what info and bench tell.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "common/subprocess.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/delta/delta_test_support.h"

namespace shoal::delta {
namespace {

class Tool : public ::testing::Test {
 protected:
  // Its exit code; output_ has both outputs.
  int Call(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), testing::BinPath("shoal-delta"));
    SubprocessOptions options;
    options.arguments = std::move(arguments);
    auto result = RunCommand(std::move(options), absl::Minutes(2));
    EXPECT_OK(result);
    if (!result.ok()) return -1;
    output_ = result->output;
    return result->status.exited ? result->status.code : -1;
  }
  void MakePatch(const std::string& old_image, const std::string& new_image,
                 const MakeOptions& options) {
    ASSERT_OK_AND_ASSIGN(const std::string patch,
                         Make(old_image, new_image, options, &made_));
    WriteFile(dir_.File("patch"), patch);
  }
  // The number that stands behind `name` at a line's beginning; 0: there is
  // none.
  uint64_t NumberOf(const std::string& name) {
    std::smatch match;
    const std::regex line("(^|\n) *" + name + " +([0-9]+)");
    return std::regex_search(output_, match, line) ? std::stoull(match[2]) : 0;
  }
  testing::TempDir dir_;
  MakeStats made_;
  std::string output_;
};

TEST_F(Tool, InfoTellsWhereTheBytesWent) {
  std::mt19937_64 random(3);
  const std::string old_image = CodeLike(random, 200000);
  // The last third is new, and nothing else.
  const std::string new_image = old_image + RandomBytes(random, 100000);
  MakePatch(old_image, new_image, SmallOptions());
  ASSERT_EQ(Call({"info", "--svg", dir_.File("svg"), dir_.File("patch")}), 0)
      << output_;
  EXPECT_EQ(NumberOf("base"), old_image.size());
  EXPECT_EQ(NumberOf("result"), new_image.size());
  EXPECT_EQ(NumberOf("windows"), made_.windows);
  EXPECT_NE(output_.find("reader memory " +
                         std::to_string(made_.reader_memory) + " bytes"),
            std::string::npos);
  // All bytes are told, each once.
  const uint64_t headers = NumberOf("headers and checksums"),
                 moves = NumberOf("operations"),
                 differences = NumberOf("differences"),
                 fresh = NumberOf("new bytes");
  EXPECT_EQ(headers + moves + differences + fresh, made_.patch_size);
  EXPECT_GE(headers, kHeaderSize);
  EXPECT_GT(moves, 0u);
  EXPECT_NEAR(static_cast<double>(fresh), 100000, 2000);

  // The plot: nothing in the first two thirds, the same everywhere behind. What
  // is new in region 42 belongs to the window that copies all before.
  const size_t begin = output_.find("\n|") + 2;
  const std::string plot =
      output_.substr(begin, output_.find("|\n", begin) - begin);
  EXPECT_EQ(plot.find_first_not_of(' '), 43u) << "of 64 regions";
  EXPECT_NE(plot.find("███████"), std::string::npos) << plot;

  // The same as SVG, well-formed.
  SubprocessOptions parse;
  parse.arguments = {"/usr/bin/python3", "-c",
                     "import sys, xml.etree.ElementTree as e\n"
                     "for r in e.parse(sys.argv[1]).getroot():\n"
                     " if r.get('fill') == '#009e73' and r.get('x'):\n"
                     "  print(r.get('x'), r.get('y'), r.get('height'))",
                     dir_.File("svg")};
  ASSERT_OK_AND_ASSIGN(const CommandResult bars,
                       RunCommand(parse, absl::Minutes(1)));
  ASSERT_TRUE(bars.status.ok()) << bars.output;
  std::istringstream lines(bars.output);
  int high = 0;
  for (double x, y, height; lines >> x >> y >> height;) {
    if (height == 12) continue;  // the legend's
    EXPECT_LE(y + height, 341);
    // A window's bytes are spread over what it makes: the first one's thinly.
    if (x < 80 + 960.0 * 42 / 64) {
      EXPECT_LT(height, 30) << x;
    } else if (height > 200) {
      ++high;
    }
  }
  EXPECT_GE(high, 20);
}

TEST_F(Tool, InfoTellsOfTheModelAndOfMaps) {
  std::mt19937_64 random(4);
  std::string content = CodeLike(random, 60000);
  const std::string old_image = Gzip(content);
  content.insert(30000, "something new");
  MakePatch(old_image, Gzip(content), {});
  ASSERT_EQ(Call({"info", dir_.File("patch")}), 0) << output_;
  EXPECT_NE(output_.find("model version 3"), std::string::npos) << output_;
  EXPECT_EQ(NumberOf("expanded"), content.size() + 18) << "gzip's own 18 bytes";
  EXPECT_EQ(NumberOf("headers and checksums") + NumberOf("operations") +
                NumberOf("differences") + NumberOf("new bytes") +
                NumberOf("content \\(model\\)") +
                NumberOf("maps of the images"),
            made_.patch_size)
      << output_;
  EXPECT_GT(NumberOf("maps of the images"), 0u);
}

TEST_F(Tool, InfoTellsOfClassicPatchesAndRefusesDamagedOnes) {
  std::mt19937_64 random(5);
  const std::string old_image = CodeLike(random, 50000);
  MakeOptions options = SmallOptions();
  options.format = Format::kBsdiff40;
  MakePatch(old_image, Mutate(random, old_image), options);
  ASSERT_EQ(Call({"info", dir_.File("patch")}), 0) << output_;
  EXPECT_EQ(NumberOf("result"), made_.new_size);
  EXPECT_EQ(32 + NumberOf("control") + NumberOf("diff") + NumberOf("extra"),
            made_.patch_size);

  MakePatch(old_image, Mutate(random, old_image), SmallOptions());
  std::string patch = ReadFile(dir_.File("patch"));
  patch[patch.size() / 2] ^= 1;
  WriteFile(dir_.File("patch"), patch);
  EXPECT_EQ(Call({"info", dir_.File("patch")}), 1);
  EXPECT_NE(output_.find("delta_corrupt"), std::string::npos) << output_;
  EXPECT_EQ(Call({"info", dir_.File("none")}), 1);
}

TEST_F(Tool, BenchMeasuresEveryPairAndGoesOnFromItsResults) {
  std::mt19937_64 random(6);
  for (const std::string pair : {"one", "two"}) {
    std::filesystem::create_directories(dir_.File("corpus/" + pair));
    const std::string old_image = CodeLike(random, 30000);
    WriteFile(dir_.File("corpus/" + pair + "/old"), old_image);
    WriteFile(dir_.File("corpus/" + pair + "/new"), Mutate(random, old_image));
  }
  std::filesystem::create_directories(dir_.File("corpus/no-pair"));
  const std::vector<std::string> bench = {"bench", "--no-peers", "--results",
                                          dir_.File("results"),
                                          dir_.File("corpus")};
  ASSERT_EQ(Call(bench), 0) << output_;
  const auto rows = [&] {
    std::set<std::string> found;
    std::istringstream lines(output_);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("| one ") || line.starts_with("| two "))
        found.insert(line);
    return found;
  };
  const std::set<std::string> first = rows();
  EXPECT_EQ(first.size(), 6u) << output_;
  EXPECT_NE(output_.find("[1/6] one"), std::string::npos);
  // The size is that of the patch that make writes.
  ASSERT_EQ(Call({"make", dir_.File("corpus/one/old"),
                  dir_.File("corpus/one/new"), dir_.File("patch")}),
            0);
  const std::string row =
      "| one | shoal | " +
      std::to_string(std::filesystem::file_size(dir_.File("patch"))) + " |";
  EXPECT_TRUE(std::any_of(
      first.begin(), first.end(),
      [&](const std::string& line) { return line.starts_with(row); }))
      << row;
  // Nothing is measured again; the table is the same.
  ASSERT_EQ(Call(bench), 0) << output_;
  EXPECT_EQ(output_.find("[1/6]"), std::string::npos);
  EXPECT_EQ(rows(), first);

  EXPECT_EQ(Call({"bench", "--no-peers", dir_.File("corpus/no-pair")}), 1);
  EXPECT_NE(output_.find("not_found"), std::string::npos);
}

}  // namespace
}  // namespace shoal::delta
