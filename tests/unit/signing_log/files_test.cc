// Tiles, entries, leaves, and the directory that keeps them.
#include "signing/log/files.h"

#include <gtest/gtest.h>

#include "common/crypto/hash.h"
#include "signing/log/directory.h"
#include "signing/log/leaf.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;

std::string LeafNumber(uint64_t number) {
  LogLeaf leaf;
  leaf.kind = LogLeafKind::kTarget;
  leaf.number = number;
  leaf.sha256 = crypto::Sha256Digest(std::to_string(number));
  leaf.name = "director/t/rollout/r" + std::to_string(number);
  return *EncodeLogLeaf(leaf);
}

std::vector<std::string> Leaves(uint64_t from, uint64_t to) {
  std::vector<std::string> leaves;
  for (uint64_t i = from; i < to; ++i) leaves.push_back(LeafNumber(i));
  return leaves;
}

std::string RootOf(uint64_t size) {
  LogFrontier frontier;
  for (uint64_t i = 0; i < size; ++i)
    frontier.Append(LogLeafHash(LeafNumber(i)),
                    [](int, uint64_t, const std::string&) {});
  return frontier.Root();
}

TEST(LogLeafTest, ByteByByte) {
  LogLeaf leaf;
  leaf.kind = LogLeafKind::kMetadata;
  leaf.number = 0x0102;
  leaf.sha256 = std::string(32, 'h');
  leaf.name = "snapshot";
  ASSERT_OK_AND_ASSIGN(const std::string bytes, EncodeLogLeaf(leaf));
  EXPECT_EQ(bytes, std::string("\1\1\0\0\0\0\0\0\1\2", 10) +
                       std::string(32, 'h') + "snapshot");
  ASSERT_OK_AND_ASSIGN(const LogLeaf parsed, ParseLogLeaf(bytes));
  EXPECT_EQ(parsed.number, 0x0102u);
  EXPECT_EQ(parsed.name, "snapshot");
}

TEST(LogLeafTest, OtherFormsAreRefused) {
  const std::string good = LeafNumber(1);
  for (size_t cut = 0; cut <= 42; ++cut)
    EXPECT_THAT(ParseLogLeaf(good.substr(0, cut)),
                FailsBecause("bad_log_leaf"));
  EXPECT_THAT(ParseLogLeaf("\2" + good.substr(1)),
              FailsBecause("bad_log_leaf"));
  EXPECT_THAT(ParseLogLeaf(good + " "), FailsBecause("bad_log_leaf"));
  EXPECT_THAT(ParseLogLeaf(good + std::string(200, 'x')),
              FailsBecause("bad_log_leaf"));
  LogLeaf leaf;
  leaf.sha256 = std::string(32, 'h');
  for (const std::string& name :
       {std::string(), std::string(201, 'x'), std::string("a b"),
        std::string("a\n"), std::string("\xc3\xa4")}) {
    leaf.name = name;
    EXPECT_THAT(EncodeLogLeaf(leaf), FailsBecause("bad_log_leaf")) << name;
  }
}

TEST(LogFiles, EntriesReadBack) {
  const auto leaves = Leaves(0, 64);
  ASSERT_OK_AND_ASSIGN(const auto parsed,
                       ParseLogEntries(EncodeLogEntries(leaves)));
  EXPECT_EQ(parsed, leaves);
  EXPECT_LE(64 * (2 + kMaxLogLeafBytes), kMaxLogBundleBytes);
  EXPECT_THAT(ParseLogEntries(EncodeLogEntries(Leaves(0, 65))),
              FailsBecause("bad_log_entries"));
  const std::string bytes = EncodeLogEntries(Leaves(0, 1));
  for (size_t cut = 1; cut < bytes.size(); ++cut)
    EXPECT_THAT(ParseLogEntries(bytes.substr(0, cut)),
                FailsBecause("bad_log_entries"));
  EXPECT_THAT(ParseLogEntries(std::string(2, '\0')),
              FailsBecause("bad_log_entries"));
}

// Whatever pieces a log grew by, its tiles give every node that its size has.
TEST(LogDirectoryTest, GrowsByAnyPiecesAndReadsBack) {
  const TempDir dir;
  uint64_t size = 0;
  for (const uint64_t piece : {1u, 2u, 61u, 1u, 190u, 1u, 300u, 512u, 7u}) {
    ASSERT_OK_AND_ASSIGN(auto log,
                         LogDirectory::Open(RealFileSystem(), dir.File("log")));
    ASSERT_EQ(log->size(), size);
    ASSERT_OK_AND_ASSIGN(const auto extension,
                         log->Extend(Leaves(size, size + piece)));
    size += piece;
    EXPECT_EQ(extension.root, RootOf(size));
    ASSERT_OK(log->Write(extension));
    ASSERT_OK_AND_ASSIGN(const std::string root, log->Root());
    EXPECT_EQ(root, RootOf(size));
  }
  ASSERT_OK_AND_ASSIGN(auto log,
                       LogDirectory::Open(RealFileSystem(), dir.File("log")));
  for (uint64_t from = 1; from < size; from += 37) {
    ASSERT_OK_AND_ASSIGN(const HashPath path,
                         PrefixPath(from, size, log->Nodes()));
    ASSERT_OK_AND_ASSIGN(const std::string prefix,
                         RootOfPrefix(from, size, RootOf(size), path));
    EXPECT_EQ(prefix, RootOf(from));
  }
  std::vector<std::string> read;
  for (uint64_t bundle = 0; bundle * kLogBundle < size; ++bundle) {
    ASSERT_OK_AND_ASSIGN(const std::string bytes,
                         log->File(LogEntriesName(bundle)));
    ASSERT_OK_AND_ASSIGN(const auto leaves, ParseLogEntries(bytes));
    read.insert(read.end(), leaves.begin(), leaves.end());
  }
  EXPECT_EQ(read, Leaves(0, size));
}

// The size is written last: files of an extension that a crash cut short are
// ahead of it, and are written again the same.
TEST(LogDirectoryTest, AFileAheadOfTheSizeIsHarmless) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto log,
                       LogDirectory::Open(RealFileSystem(), dir.File("log")));
  ASSERT_OK_AND_ASSIGN(auto extension, log->Extend(Leaves(0, 100)));
  ASSERT_OK(log->Write(extension));
  ASSERT_OK_AND_ASSIGN(const auto next, log->Extend(Leaves(100, 130)));
  for (const auto& [name, bytes] : next.files)
    ASSERT_OK(
        RealFileSystem().WriteAtomic(dir.File("log") + "/" + name, bytes));
  ASSERT_OK_AND_ASSIGN(log,
                       LogDirectory::Open(RealFileSystem(), dir.File("log")));
  ASSERT_EQ(log->size(), 100u);
  ASSERT_OK_AND_ASSIGN(extension, log->Extend(Leaves(100, 131)));
  ASSERT_OK(log->Write(extension));
  ASSERT_OK_AND_ASSIGN(const std::string root, log->Root());
  EXPECT_EQ(root, RootOf(131));
}

TEST(LogFiles, TilesThatLackANodeSaySo) {
  const auto nodes =
      NodesFromTiles([](const std::string&) -> absl::StatusOr<std::string> {
        return std::string(3 * 32, 'x');
      });
  EXPECT_OK(nodes(0, 2));
  EXPECT_OK(nodes(1, 0));
  EXPECT_THAT(nodes(0, 3), FailsBecause("log_incomplete"));
  EXPECT_THAT(nodes(1, 1), FailsBecause("log_incomplete"));
}

TEST(LogFiles, EndlessTilesAreCut) {
  const auto nodes =
      NodesFromTiles([](const std::string&) -> absl::StatusOr<std::string> {
        return std::string(256 * 32, 'x');
      });
  absl::Status last;
  for (uint64_t i = 0; i < 300 && last.ok(); ++i)
    last = nodes(0, i * 256).status();
  EXPECT_THAT(last, FailsBecause("bad_log_proof"));
}

}  // namespace
}  // namespace shoal::signing
