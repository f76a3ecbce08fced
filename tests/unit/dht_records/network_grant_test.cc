// A device whose network keys were retired while it was away (docs/adr/0013).
#include <atomic>
#include <optional>

#include "common/crypto/hash.h"
#include "dht/records/key_ring.h"
#include "dht/records/udp_socket.h"
#include "shoal/records/v1/datagram.pb.h"
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
    client.on_grant = [callback = heard.Callback()](const std::string&,
                                                    const std::string& record) {
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
  static uint32_t EpochAt(const Network& device, const std::string& node) {
    const auto heard = device.HeardEpochs();
    const auto it = heard.find(node);
    return it == heard.end() ? 0 : it->second;
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
  EXPECT_TRUE(away->HeardEpochs().empty()) << "no bootstrap address is set";
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
    return EpochAt(*device, nodes_[0]->address()) == 2u;
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

// A storage node, or whoever forges its address, that the test plays.
class HostileNode {
 public:
  HostileNode() : socket_(*UdpSocket::Bind("127.0.0.1:0", "")) {}
  std::string address() const { return socket_.bound()[0].ToString(); }
  void Answer(const KeyRing& ring, uint32_t epoch,
              const records::v1::Datagram& datagram) {
    ASSERT_EQ(socket_.Send(*client_, ring.Seal(epoch, Channel::kShoal,
                                               datagram.SerializeAsString())),
              0);
  }
  // The next message of this kind that the client sends it under `epoch`.
  absl::StatusOr<records::v1::Datagram> Asked(
      const KeyRing& ring, uint32_t epoch,
      records::v1::Datagram::MessageCase kind) {
    std::optional<records::v1::Datagram> asked;
    const absl::Status status = WaitFor("a question", [&] {
      socket_.Receive(100, [&](const Address& from, std::string_view bytes) {
        client_ = from;
        const auto opened = ring.Open(bytes);
        records::v1::Datagram datagram;
        if (opened && opened->epoch == epoch &&
            opened->channel == Channel::kShoal &&
            datagram.ParseFromString(opened->payload) &&
            datagram.message_case() == kind)
          asked = datagram;
      });
      return asked.has_value();
    });
    if (!status.ok()) return status;
    return *asked;
  }
  absl::Status Met() {
    return WaitFor("the client's first datagram", [&] {
      socket_.Receive(
          100, [&](const Address& from, std::string_view) { client_ = from; });
      return client_.has_value();
    });
  }

 private:
  UdpSocket socket_;
  std::optional<Address> client_;
};

records::v1::Datagram ReceiptWith(const std::string& nonce) {
  records::v1::ReceiptBody body;
  body.set_nonce(nonce);
  body.set_missing(true);
  records::v1::Datagram datagram;
  datagram.mutable_receipt()->set_body(body.SerializeAsString());
  return datagram;
}

// The key under which a node is at home must not be moved by whoever has some
// key and forges its address, nor by another node.
TEST_F(RetiredKeyTest, T20_T47_OnlyAnAnswerTellsUnderWhichKeyANodeIs) {
  HostileNode thief;
  KeyRing ring;
  const auto made_up = MadeUpKey();
  ASSERT_OK(ring.SetKeys({second_, made_up}));
  NetworkOptions options = fleet_.Options();
  options.keys = {second_, made_up};
  options.bootstrap = {nodes_[0]->address(), thief.address()};
  ASSERT_OK_AND_ASSIGN(auto device, Network::Open(std::move(options)));
  ASSERT_OK(WaitFor("the honest node", [&] {
    return EpochAt(*device, nodes_[0]->address()) == 2u;
  }));
  ASSERT_OK(thief.Met());
  const uint64_t before = device->Stats().packets_in;
  for (int i = 0; i < 20; ++i)
    thief.Answer(ring, made_up.epoch(),
                 ReceiptWith(crypto::RandomBytes(i % 2 == 0 ? 8 : 16)));
  ASSERT_OK(WaitFor("all are read",
                    [&] { return device->Stats().packets_in >= before + 20; }));
  EXPECT_EQ(EpochAt(*device, thief.address()), 0u);
  // What it was asked it may answer: of itself.
  ASSERT_OK_AND_ASSIGN(
      const auto question,
      thief.Asked(ring, made_up.epoch(), records::v1::Datagram::kConfirm));
  thief.Answer(ring, made_up.epoch(), ReceiptWith(question.confirm().nonce()));
  ASSERT_OK(WaitFor("its own", [&] {
    return EpochAt(*device, thief.address()) == made_up.epoch();
  }));
  EXPECT_EQ(EpochAt(*device, nodes_[0]->address()), 2u);
}

// A node answers once for each time that it is asked, and for itself alone.
TEST_F(RetiredKeyTest, T45_T52_AHostileNodesGrantsAreOneOfMany) {
  HostileNode thief, other;
  KeyRing ring;
  ASSERT_OK(ring.SetKeys(fleet_.keys));
  NetworkOptions options = fleet_.Options();
  options.directory.clear_nodes();
  options.bootstrap = {thief.address(), other.address()};
  std::atomic<int> by_thief{0}, by_other{0};
  ClientIdentity& client = options.client.emplace();
  client.key = &stays_.key;
  client.credential = stays_.credential;
  client.on_grant = [&](const std::string& node, const std::string&) {
    ++(node == thief.address() ? by_thief : by_other);
  };
  ASSERT_OK_AND_ASSIGN(auto device, Network::Open(std::move(options)));
  const auto kind = records::v1::Datagram::kGrantRequest;
  ASSERT_OK_AND_ASSIGN(const auto request,
                       thief.Asked(ring, fleet_.keys[0].epoch(), kind));
  ASSERT_OK_AND_ASSIGN(const auto to_other,
                       other.Asked(ring, fleet_.keys[0].epoch(), kind));
  EXPECT_NE(request.grant_request().nonce(), to_other.grant_request().nonce());
  const uint64_t before = device->Stats().packets_in;
  records::v1::Datagram reply;
  reply.mutable_grant_reply()->set_nonce(request.grant_request().nonce());
  for (int i = 0; i < 20; ++i) {
    reply.mutable_grant_reply()->set_record("grant " + std::to_string(i));
    thief.Answer(ring, fleet_.keys[0].epoch(), reply);
    other.Answer(ring, fleet_.keys[0].epoch(), reply);  // with its nonce
  }
  ASSERT_OK(WaitFor("all are read",
                    [&] { return device->Stats().packets_in >= before + 40; }));
  // It may have been asked a second time meanwhile, not twenty times.
  EXPECT_GE(by_thief, 1);
  EXPECT_LE(by_thief, 3);
  EXPECT_EQ(by_other, 0);
  device.reset();
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
  const auto all_under = [&](uint32_t epoch) {
    return EpochAt(*device, nodes_[0]->address()) == epoch &&
           EpochAt(*device, nodes_[1]->address()) == epoch;
  };
  EXPECT_OK(WaitFor("both under the first epoch",
                    [&] { return all_under(fleet_.keys[0].epoch()); }));
  device->SetNetworkKeys(both);
  EXPECT_OK(WaitFor("both under the second", [&] { return all_under(2); }));
  EXPECT_OK(device->PutBlocking(Head(2, "under the second")));
}

}  // namespace
}  // namespace shoal::dht::testing
