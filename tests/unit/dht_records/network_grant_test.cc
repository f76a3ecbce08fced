// A device whose network keys were retired while it was away (docs/adr/0013).
#include "common/crypto/hash.h"
#include "tests/support/process_harness.h"
#include "tests/unit/dht_records/network_fixture.h"

namespace shoal::dht::testing {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;
using ::shoal::testing::WaitFor;

class RetiredKeyTest : public NetworkTest {
 protected:
  void SetUp() override {
    second_.set_epoch(2);
    second_.set_key(crypto::RandomBytes(32));
    nodes_ = StartNodes(fleet_, 2);
    ASSERT_OK(WaitForMesh(nodes_));
    for (auto& node : nodes_) {
      node->grants[stays_.id] = "a grant for it";
      node->grants[leaves_.id] = "a grant that must not be given out";
      // The first epoch is over.
      node->network().SetNetworkKeys({second_}, fleet_.keys);
    }
  }
  // With the first epoch's key alone.
  std::unique_ptr<Network> Away(const Member& member, Heard& heard) {
    NetworkOptions options = fleet_.Options();
    ClientIdentity& client = options.client.emplace();
    client.key = &member.key;
    client.credential = member.credential;
    client.on_grant = [callback = heard.Callback()](const std::string& record) {
      VerifiedRecord as_heard;
      as_heard.body.set_payload(record);
      callback(as_heard);
    };
    auto network = Network::Open(std::move(options));
    EXPECT_OK(network);
    return *std::move(network);
  }
  // Of the highest epoch there is, and nobody has it.
  static pairing::v1::NetworkKey MadeUpKey() {
    pairing::v1::NetworkKey key;
    key.set_epoch(0xffffffff);
    key.set_key(crypto::RandomBytes(32));
    return key;
  }
  uint64_t Refused() {
    uint64_t refused = 0;
    for (auto& node : nodes_)
      refused += node->network().Stats().refused_records;
    return refused;
  }

  pairing::v1::NetworkKey second_;
  const Member stays_ = fleet_.MakeMember(records::v1::WRITER_CLASS_DEVICE);
  const Member leaves_ = fleet_.MakeMember(records::v1::WRITER_CLASS_DEVICE);
  std::vector<std::unique_ptr<TestNode>> nodes_;
};

TEST_F(RetiredKeyTest, T52_ItGetsItsOwnGrantAndNothingElse) {
  Heard grants;
  auto away = Away(stays_, grants);
  ASSERT_OK(WaitFor("the grant", [&] { return grants.Has("a grant for it"); }));
  // Under the retired key nodes hold no conversation.
  EXPECT_EQ(away->Stats().connected_nodes, 0u);
  EXPECT_TRUE(away->GetBlocking(head_, absl::Seconds(1))->empty());
  uint64_t ignored = 0;
  for (auto& node : nodes_)
    ignored += node->network().Stats().retired_datagrams;
  EXPECT_GT(ignored, 0u);
  // With the new key among its own it is a member again.
  auto keys = fleet_.keys;
  keys.push_back(second_);
  away->SetNetworkKeys(keys);
  EXPECT_OK(away->WaitUntilConnected(absl::Seconds(20)));
  EXPECT_EQ(away->HeardEpoch(), std::nullopt) << "no bootstrap address is set";
}

TEST_F(RetiredKeyTest, T52_WhoWasDecommissionedGetsNoGrant) {
  fleet_.revoked.insert(leaves_.id);
  for (auto& node : nodes_) node->network().SetResolver(fleet_.Resolver());
  Heard grants;
  auto away = Away(leaves_, grants);
  ASSERT_OK(WaitFor("a node to refuse it", [&] { return Refused() > 0; }));
  EXPECT_EQ(grants.count(), 0u);
}

TEST_F(RetiredKeyTest, T52_AStolenCredentialWithoutItsKeyGetsNoGrant) {
  // The credential of one, the key of another.
  const Member thief{leaves_.key.Clone(), stays_.id, stays_.credential};
  Heard grants;
  auto away = Away(thief, grants);
  ASSERT_OK(WaitFor("a node to refuse it", [&] { return Refused() > 0; }));
  EXPECT_EQ(grants.count(), 0u);
}

TEST_F(RetiredKeyTest, AMadeUpKeyDoesNotKeepADeviceFromTheFleet) {
  // What a thief with the director's key can do: add the highest epoch there
  // is.
  NetworkOptions options = fleet_.Options();
  options.keys.push_back(second_);
  options.keys.push_back(MadeUpKey());
  options.bootstrap = {nodes_[0]->address()};
  ASSERT_OK_AND_ASSIGN(auto device, Network::Open(std::move(options)));
  ASSERT_OK(device->WaitUntilConnected(absl::Seconds(20)));
  // The other node's answer may be the first.
  EXPECT_OK(WaitFor("an answer of the bootstrap node", [&] {
    return device->HeardEpoch() == std::optional<uint32_t>(2);
  }));
}

// Was revoked, so nobody gave it the new key; it runs on and answers.
TEST_F(RetiredKeyTest, T45_ANodeThatWasLeftBehindIsNotTheFleet) {
  nodes_[0]->grants.clear();
  nodes_[0]->network().SetNetworkKeys(fleet_.keys);
  Heard grants;
  auto away = Away(stays_, grants);
  ASSERT_OK(away->WaitUntilConnected(absl::Seconds(20)));
  EXPECT_OK(WaitFor("the grant of the other node",
                    [&] { return grants.Has("a grant for it"); }));
}

TEST_F(RetiredKeyTest, T45_AnswersUnderTheOldKeyDoNotEndTheSearch) {
  nodes_[0]->network().SetNetworkKeys(fleet_.keys);
  NetworkOptions options = fleet_.Options();
  options.keys.push_back(second_);
  // The newest is a thief's, and nobody has it.
  options.keys.push_back(MadeUpKey());
  ASSERT_OK_AND_ASSIGN(auto device, Network::Open(std::move(options)));
  EXPECT_OK(
      WaitFor("both", [&] { return device->Stats().connected_nodes == 2; }));
}

TEST_F(RetiredKeyTest, WhoSpeaksUnderTheOldKeyGoesOverToTheNew) {
  auto both = fleet_.keys;
  both.push_back(second_);
  for (auto& node : nodes_) node->network().SetNetworkKeys(both);
  NetworkOptions options = fleet_.Options();
  options.bootstrap = {nodes_[0]->address(), nodes_[1]->address()};
  ASSERT_OK_AND_ASSIGN(auto device, Network::Open(std::move(options)));
  ASSERT_OK(device->WaitUntilConnected(absl::Seconds(20)));
  ASSERT_OK(device->PutBlocking(Head(1, "under the first")));
  EXPECT_EQ(device->HeardEpoch(),
            std::optional<uint32_t>(fleet_.keys[0].epoch()));
  device->SetNetworkKeys(both);
  EXPECT_OK(WaitFor("the new epoch", [&] {
    return device->HeardEpoch() == std::optional<uint32_t>(2);
  }));
  EXPECT_OK(device->PutBlocking(Head(2, "under the second")));
}

}  // namespace
}  // namespace shoal::dht::testing
