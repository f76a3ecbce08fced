// RFC 9162 section 2.1, by the tree that the tests of Certificate Transparency
// have used since RFC 6962, and by the definition itself, written down again.
#include "signing/log/merkle.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <random>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using shoal::testing::FailsBecause;

// The eight leaves of the reference tree.
const std::vector<std::string>& ReferenceLeaves() {
  static const std::vector<std::string> leaves = [] {
    std::vector<std::string> all;
    for (const char* hex :
         {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
          "606162636465666768696a6b6c6d6e6f"})
      all.push_back(*HexDecode(hex));
    return all;
  }();
  return leaves;
}

std::vector<std::string> RandomLeaves(size_t count) {
  std::mt19937_64 random(count);
  std::vector<std::string> leaves;
  for (size_t i = 0; i < count; ++i) {
    std::string leaf;
    AppendBigEndian(leaf, random(), 8);
    leaves.push_back(leaf);
  }
  return leaves;
}

// MTH of the RFC, word for word: what the code under test is measured by.
std::string Mth(const std::vector<std::string>& leaves, size_t begin,
                size_t end) {
  if (begin == end) return crypto::Sha256Digest("");
  if (end - begin == 1)
    return crypto::Sha256Digest(std::string(1, '\0') + leaves[begin]);
  size_t k = 1;
  while (k * 2 < end - begin) k *= 2;
  return crypto::Sha256Digest(std::string(1, '\1') +
                              Mth(leaves, begin, begin + k) +
                              Mth(leaves, begin + k, end));
}

class Tree {
 public:
  explicit Tree(const std::vector<std::string>& leaves) {
    for (const std::string& leaf : leaves)
      frontier_.Append(LogLeafHash(leaf), [this](int level, uint64_t index,
                                                 const std::string& hash) {
        nodes_[{level, index}] = hash;
      });
  }
  ReadLogNode Nodes() const {
    return [this](int level, uint64_t index) -> absl::StatusOr<std::string> {
      const auto it = nodes_.find({level, index});
      if (it == nodes_.end()) return NotFound("not_found", "no such node");
      return it->second;
    };
  }
  const LogFrontier& frontier() const { return frontier_; }

 private:
  LogFrontier frontier_;
  std::map<std::pair<int, uint64_t>, std::string> nodes_;
};

std::vector<std::string> Hex(const HashPath& path) {
  std::vector<std::string> hex;
  for (const std::string& hash : path) hex.push_back(HexEncode(hash));
  return hex;
}

TEST(Merkle, ReferenceRoots) {
  const char* const roots[] = {
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
      "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
      "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
      "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
      "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
      "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
      "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  const Tree tree(ReferenceLeaves());
  for (uint64_t size = 0; size <= 8; ++size) {
    ASSERT_OK_AND_ASSIGN(const std::string root, LogRoot(size, tree.Nodes()));
    EXPECT_EQ(HexEncode(root), roots[size]) << size;
  }
  EXPECT_EQ(HexEncode(tree.frontier().Root()), roots[8]);
}

TEST(Merkle, ReferencePaths) {
  const Tree tree(ReferenceLeaves());
  ASSERT_OK_AND_ASSIGN(HashPath path, InclusionPath(5, 8, tree.Nodes()));
  EXPECT_EQ(
      Hex(path),
      (std::vector<std::string>{
          "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
          "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
          "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}));
  ASSERT_OK_AND_ASSIGN(path, InclusionPath(2, 3, tree.Nodes()));
  EXPECT_EQ(
      Hex(path),
      (std::vector<std::string>{
          "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"}));
  ASSERT_OK_AND_ASSIGN(path, ConsistencyPath(6, 8, tree.Nodes()));
  EXPECT_EQ(
      Hex(path),
      (std::vector<std::string>{
          "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
          "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
          "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}));
  ASSERT_OK_AND_ASSIGN(path, ConsistencyPath(2, 5, tree.Nodes()));
  EXPECT_EQ(
      Hex(path),
      (std::vector<std::string>{
          "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
          "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}));
}

// Every proof of every tree up to 70 leaves holds, and none holds of anything
// else nearby.
TEST(Merkle, EveryProofUpToSeventyLeaves) {
  const auto leaves = RandomLeaves(70);
  const Tree tree(leaves);
  for (uint64_t size = 1; size <= leaves.size(); ++size) {
    const std::string root = Mth(leaves, 0, size);
    ASSERT_OK_AND_ASSIGN(const std::string ours, LogRoot(size, tree.Nodes()));
    ASSERT_EQ(ours, root);
    for (uint64_t index = 0; index < size; ++index) {
      ASSERT_OK_AND_ASSIGN(const HashPath path,
                           InclusionPath(index, size, tree.Nodes()));
      const std::string leaf = LogLeafHash(leaves[index]);
      ASSERT_OK(VerifyInclusion(leaf, index, size, path, root));
      EXPECT_FALSE(
          VerifyInclusion(LogLeafHash("other"), index, size, path, root).ok());
      if (index + 1 < size) {
        EXPECT_FALSE(VerifyInclusion(leaf, index + 1, size, path, root).ok());
      }
      HashPath longer = path;
      longer.push_back(root);
      EXPECT_FALSE(VerifyInclusion(leaf, index, size, longer, root).ok());
      if (!path.empty()) {
        HashPath shorter = path;
        shorter.pop_back();
        EXPECT_FALSE(VerifyInclusion(leaf, index, size, shorter, root).ok());
      }
    }
    for (uint64_t from = 1; from <= size; ++from) {
      const std::string old = Mth(leaves, 0, from);
      ASSERT_OK_AND_ASSIGN(const HashPath path,
                           ConsistencyPath(from, size, tree.Nodes()));
      ASSERT_OK(VerifyConsistency(from, old, size, root, path));
      if (from < size) {
        EXPECT_FALSE(VerifyConsistency(from, root, size, root, path).ok());
        EXPECT_FALSE(VerifyConsistency(from, old, size, old, path).ok());
      }
      ASSERT_OK_AND_ASSIGN(HashPath whole,
                           PrefixPath(from, size, tree.Nodes()));
      ASSERT_OK_AND_ASSIGN(const std::string prefix,
                           RootOfPrefix(from, size, root, whole));
      EXPECT_EQ(prefix, old) << from << " of " << size;
      for (std::string& hash : whole) {
        hash[0] ^= 1;
        EXPECT_THAT(RootOfPrefix(from, size, root, whole),
                    FailsBecause("bad_log_proof"));
        hash[0] ^= 1;
      }
    }
  }
}

// The root that a prefix has under another tree is what proves a fork.
TEST(Merkle, T46_AForkIsProvenByItsOwnPath) {
  for (const size_t common : {1u, 7u, 8u, 33u, 64u}) {
    auto ours = RandomLeaves(70);
    auto theirs = ours;
    for (size_t i = common; i < theirs.size(); ++i) theirs[i] += "fork";
    const Tree tree(theirs);
    const std::string root = Mth(theirs, 0, theirs.size());
    for (uint64_t from = 1; from < 70; ++from) {
      ASSERT_OK_AND_ASSIGN(const HashPath path,
                           PrefixPath(from, 70, tree.Nodes()));
      ASSERT_OK_AND_ASSIGN(const std::string prefix,
                           RootOfPrefix(from, 70, root, path));
      EXPECT_EQ(prefix == Mth(ours, 0, from), from <= common);
    }
  }
}

TEST(Merkle, RandomProofsOfThousands) {
  const auto leaves = RandomLeaves(5000);
  const Tree tree(leaves);
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    const uint64_t size = random() % leaves.size() + 1;
    const uint64_t index = random() % size;
    const uint64_t from = random() % size + 1;
    ASSERT_OK_AND_ASSIGN(const std::string root, LogRoot(size, tree.Nodes()));
    ASSERT_OK_AND_ASSIGN(const HashPath path,
                         InclusionPath(index, size, tree.Nodes()));
    EXPECT_OK(
        VerifyInclusion(LogLeafHash(leaves[index]), index, size, path, root));
    ASSERT_OK_AND_ASSIGN(const HashPath prefix,
                         PrefixPath(from, size, tree.Nodes()));
    ASSERT_OK_AND_ASSIGN(const std::string old, LogRoot(from, tree.Nodes()));
    ASSERT_OK_AND_ASSIGN(const std::string said,
                         RootOfPrefix(from, size, root, prefix));
    EXPECT_EQ(said, old);
  }
}

TEST(Merkle, AFrontierGoesOnWhereItWasRead) {
  const auto leaves = RandomLeaves(100);
  const Tree tree(leaves);
  for (uint64_t size = 0; size <= 100; size += 9) {
    ASSERT_OK_AND_ASSIGN(LogFrontier frontier,
                         LogFrontier::Read(size, tree.Nodes()));
    EXPECT_EQ(frontier.Root(), Mth(leaves, 0, size));
    for (uint64_t i = size; i < 100; ++i)
      frontier.Append(LogLeafHash(leaves[i]),
                      [](int, uint64_t, const std::string&) {});
    EXPECT_EQ(frontier.Root(), tree.frontier().Root());
  }
}

TEST(Merkle, SizesAreBounded) {
  const std::string root(32, 'r');
  EXPECT_THAT(RootOfPrefix(0, 1, root, {}), FailsBecause("bad_log_proof"));
  EXPECT_THAT(RootOfPrefix(2, 1, root, {}), FailsBecause("bad_log_proof"));
  EXPECT_THAT(RootOfPrefix(1, kMaxLogSize + 1, root, {root}),
              FailsBecause("bad_log_proof"));
  EXPECT_THAT(VerifyInclusion(root, 5, 5, {}, root),
              FailsBecause("bad_log_proof"));
  EXPECT_THAT(VerifyInclusion(root, 0, 2, {"short"}, root),
              FailsBecause("bad_log_proof"));
  EXPECT_THAT(VerifyInclusion(root, 0, 2, HashPath(81, root), root),
              FailsBecause("bad_log_proof"));
}

}  // namespace
}  // namespace shoal::signing
