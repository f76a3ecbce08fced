#include "dht/node/placement.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/crypto/hash.h"

namespace shoal::dht::node {
namespace {

std::vector<std::string> Nodes(int count) {
  std::vector<std::string> nodes;
  for (int i = 0; i < count; ++i) {
    nodes.push_back(crypto::Sha256Digest(std::to_string(i)).substr(0, 16));
  }
  return nodes;
}

TEST(Placement, EveryPlaceHasExactlyThreeHoldersSpreadOverAllNodes) {
  const auto nodes = Nodes(7);
  std::vector<int> load(nodes.size(), 0);
  for (int i = 0; i < 700; ++i) {
    const std::string place =
        crypto::Blake2b("", "place" + std::to_string(i), 20);
    int holders = 0;
    for (size_t n = 0; n < nodes.size(); ++n) {
      if (ShouldHold(place, nodes[n], nodes, 3)) {
        ++holders;
        ++load[n];
      }
    }
    EXPECT_EQ(holders, 3);
  }
  for (const int held : load) EXPECT_GT(held, 50);
}

TEST(Placement, FewNodesHoldEverything) {
  const auto nodes = Nodes(3);
  const std::string place(20, '\x5a');
  for (const auto& node : nodes) EXPECT_TRUE(ShouldHold(place, node, nodes, 3));
}

TEST(Placement, ANodeThatLeavesIsReplacedByOneOfTheOthers) {
  const auto nodes = Nodes(5);
  const std::string place = crypto::Blake2b("", "x", 20);
  std::vector<std::string> left;
  for (const auto& node : nodes) {
    if (left.size() + 1 < nodes.size() || !ShouldHold(place, node, nodes, 3)) {
      left.push_back(node);
    }
  }
  int holders = 0;
  for (const auto& node : left) holders += ShouldHold(place, node, left, 3);
  EXPECT_EQ(holders, 3);
}

}  // namespace
}  // namespace shoal::dht::node
