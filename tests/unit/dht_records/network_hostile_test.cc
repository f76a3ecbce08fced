// Members without a right, strangers, replays, keys that are no longer valid.
#include <gtest/gtest.h>

#include <atomic>

#include "common/crypto/hash.h"
#include "dht/records/key_ring.h"
#include "dht/records/network.h"
#include "dht/records/udp_socket.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/network_fixture.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::WaitFor;
using testing::Member;
using testing::NetworkTest;
using testing::StartNodes;
using testing::TestNode;
using namespace records::v1;

TEST_F(NetworkTest, T40_ForeignAndFalseRecordsLandNowhere) {
  auto nodes = StartNodes(fleet_, 3);
  auto member = Client();  // holds the network key, but no right to write
  PutOptions brief;
  brief.deadline = absl::Seconds(1);
  const auto stranger = crypto::SigningKey::Generate();
  EXPECT_THAT(member->PutBlocking(
                  SignRecord(fleet_.Fields(RECORD_KIND_HEAD, head_, 9, "bad"),
                             stranger, fleet_.fleet_id),
                  brief),
              FailsBecause("no_receipt"));
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const Member victim = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  EXPECT_THAT(
      member->PutBlocking(
          fleet_.DeviceRecord(device, RECORD_KIND_DEVICE_REPORT,
                              fleet_.places.DeviceReport(victim.id), 1, ""),
          brief),
      FailsBecause("no_receipt"));  // T42
  for (auto& node : nodes) {
    EXPECT_EQ(node->stored(), 0u);
    EXPECT_EQ(node->network().Stats().stored_values, 0u);
  }
  uint64_t refused = 0;
  ASSERT_OK(WaitFor("the refusals are counted", [&] {
    refused = 0;
    for (auto& node : nodes) refused += node->network().Stats().refused_records;
    return refused >= 6;
  }));
}

TEST_F(NetworkTest, T43_TheStoreHookMayRefuse) {
  auto nodes = StartNodes(fleet_, 0);
  nodes.push_back(std::make_unique<TestNode>(fleet_, 0));
  nodes[0]->quota = [](const VerifiedRecord& record) {
    return record.body.version() < 2;
  };
  ASSERT_OK(nodes[0]->Open());
  NetworkOptions options = fleet_.Options();
  options.bootstrap = {nodes[0]->address()};
  ASSERT_OK_AND_ASSIGN(auto writer, Network::Open(std::move(options)));
  ASSERT_OK_AND_ASSIGN(const PutResult first,
                       writer->PutBlocking(Head(1, "a")));
  EXPECT_EQ(first.receipts, 1);
  PutOptions brief;
  brief.deadline = absl::Seconds(1);
  EXPECT_THAT(writer->PutBlocking(Head(2, "b"), brief),
              FailsBecause("no_receipt"));
  EXPECT_THAT(nodes[0]->network().PutBlocking(Head(3, "c"), brief),
              FailsBecause("store_refused"));
}

TEST_F(NetworkTest, T45_ADevicePosingAsNodeStaysAClient) {
  auto nodes = StartNodes(fleet_, 3);
  // A node in everything but its credential.
  Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  NetworkOptions options = fleet_.Options();
  options.role = NetworkRole::kNode;
  options.identity =
      NodeIdentity{device.key.Clone(), device.credential, device.id};
  options.verify_node = [](const Credential&, absl::Time) {
    return absl::OkStatus();
  };
  std::atomic<int> landed{0};
  options.hooks.on_store = [&](const VerifiedRecord&, const std::string&) {
    ++landed;
    return true;
  };
  options.hooks.on_confirm = [](const std::string&, const std::string&,
                                auto reply) { reply(NotFound("no", "no")); };
  ASSERT_OK_AND_ASSIGN(auto poser, Network::Open(std::move(options)));
  // The nodes prove themselves to it, and it talks to them all the time.
  ASSERT_OK(WaitFor("it was greeted", [&] {
    poser->Get(head_, absl::Milliseconds(200), nullptr);
    return poser->Stats().packets_in > 20;
  }));
  auto writer = Client();
  for (uint64_t i = 1; i <= 20; ++i)
    ASSERT_OK(writer->PutBlocking(Head(i, std::to_string(i))));
  EXPECT_EQ(landed, 0);
  for (auto& node : nodes) {
    EXPECT_EQ(node->network().Stats().admitted_nodes, 2u);
    EXPECT_EQ(node->network().Stats().connected_nodes, 2u);
  }
}

// A UDP socket with or without the network key.
class Outsider {
 public:
  Outsider() : socket_(*UdpSocket::Bind("127.0.0.1:0", "")) {}
  void Send(const std::string& to, const std::string& datagram) {
    EXPECT_EQ(socket_.Send(*Address::Parse(to), datagram), 0);
  }
  int Received() {
    int count = 0;
    socket_.Receive(100, [&](const Address&, std::string_view) { ++count; });
    return count;
  }

 private:
  UdpSocket socket_;
};

TEST_F(NetworkTest, T47_StrangersDatagramsAreDroppedUnread) {
  auto nodes = StartNodes(fleet_, 1);
  Network& node = nodes[0]->network();
  const uint64_t before = node.Stats().dropped_datagrams;
  Outsider stranger;
  KeyRing wrong;
  pairing::v1::NetworkKey key;
  key.set_epoch(1);
  key.set_key(std::string(32, 'x'));
  ASSERT_OK(wrong.SetKeys({key}));
  stranger.Send(nodes[0]->address(), wrong.Seal(1, Channel::kOpenDht, "ping"));
  stranger.Send(nodes[0]->address(), "x");
  stranger.Send(nodes[0]->address(), "");
  stranger.Send(nodes[0]->address(), std::string(9000, '\1'));
  stranger.Send(nodes[0]->address(), std::string(20000, '\1'));
  for (int i = 0; i < 95; ++i)
    stranger.Send(nodes[0]->address(), crypto::RandomBytes(10 + 10 * i));
  ASSERT_OK(WaitFor("all are counted", [&] {
    return node.Stats().dropped_datagrams == before + 100;
  }));
  EXPECT_EQ(stranger.Received(), 0);  // not even an error
  EXPECT_EQ(node.Stats().filtered_packets, 0u);
}

TEST_F(NetworkTest, T47_AMembersMalformedPacketsReachNoParser) {
  auto nodes = StartNodes(fleet_, 1);
  Network& node = nodes[0]->network();
  Outsider member;
  KeyRing ring;
  ASSERT_OK(ring.SetKeys(fleet_.keys));
  for (const Channel channel : {Channel::kOpenDht, Channel::kShoal})
    for (int i = 0; i < 20; ++i)
      member.Send(nodes[0]->address(),
                  ring.Seal(1, channel, "\xff" + crypto::RandomBytes(10 * i)));
  ASSERT_OK(WaitFor("all are counted",
                    [&] { return node.Stats().filtered_packets >= 40; }));
  EXPECT_EQ(node.Stats().dropped_datagrams, 0u);
  EXPECT_OK(Client()->PutBlocking(Head(1, "still alive")));
}

// Forwards between a client and a node, and remembers what it saw.
TEST_F(NetworkTest, T47_ReplayedDatagramsAreHarmless) {
  auto nodes = StartNodes(fleet_, 1);
  ASSERT_OK_AND_ASSIGN(UdpSocket relay, UdpSocket::Bind("127.0.0.1:0", ""));
  const Address node = *Address::Parse(nodes[0]->address());
  NetworkOptions options = fleet_.Options();
  options.directory.mutable_nodes(0)->set_dht_address(
      relay.bound()[0].ToString());
  ASSERT_OK_AND_ASSIGN(auto writer, Network::Open(std::move(options)));
  const Address client = *Address::Parse(writer->bound_address());
  std::vector<std::string> captured;
  std::atomic<bool> done{false};
  const auto forward = [&] {
    relay.Receive(100, [&](const Address& from, std::string_view datagram) {
      if (from == client) captured.emplace_back(datagram);
      relay.Send(from == client ? node : client, datagram);
    });
  };
  const std::string record = Head(1, "once");
  writer->Put(record, {}, [&](const absl::StatusOr<PutResult>& result) {
    EXPECT_OK(result);
    done = true;
  });
  ASSERT_OK(WaitFor("the put through the relay", [&] {
    forward();
    return done.load();
  }));
  writer.reset();
  ASSERT_GT(captured.size(), 3u);
  // All again, from the same address and from another one, three times.
  Outsider other;
  for (int i = 0; i < 3; ++i)
    for (const std::string& datagram : captured) {
      relay.Send(node, datagram);
      other.Send(nodes[0]->address(), datagram);
    }
  ASSERT_OK(Client()->PutBlocking(Head(2, "afterwards")));
  EXPECT_EQ(nodes[0]->stored(), 2u);
  EXPECT_EQ(nodes[0]->network().Stats().admitted_nodes, 0u);
  EXPECT_EQ(nodes[0]->network().Stats().connected_nodes, 0u);
}

// Behind an address translator, or on one host, ports come again.
TEST_F(NetworkTest, ANewDeviceByThePortOfAMemberIsAnswered) {
  auto nodes = StartNodes(fleet_, 2);
  pairing::v1::NetworkKey door;
  door.set_epoch(0);
  door.set_key(crypto::RandomBytes(32));
  auto both = fleet_.keys;
  both.push_back(door);
  for (auto& node : nodes) node->network().SetNetworkKeys(both);
  auto member = Client();
  ASSERT_OK(member->PutBlocking(Head(1, "a member's")));
  const std::string port = member->bound_address();
  const auto open = [&](const std::vector<pairing::v1::NetworkKey>& keys) {
    NetworkOptions options = fleet_.Options();
    options.bind_address = port;
    options.keys = keys;
    return *Network::Open(std::move(options));
  };
  member.reset();
  auto newcomer = open({door});
  EXPECT_OK(newcomer->PutBlocking(Head(2, "a newcomer's")));
  // And the member comes back to its port.
  newcomer.reset();
  member = open(fleet_.keys);
  EXPECT_OK(member->PutBlocking(Head(3, "a member's again")));
}

TEST_F(NetworkTest, T52_KeysRotateWithAnOverlap) {
  auto nodes = StartNodes(fleet_, 3);
  auto client = Client();
  auto left_behind = Client();
  ASSERT_OK(client->PutBlocking(Head(1, "epoch 1")));
  pairing::v1::NetworkKey second;
  second.set_epoch(2);
  second.set_key(crypto::RandomBytes(32));
  // Overlap: nodes take both, one client after the other follows.
  auto both = fleet_.keys;
  both.push_back(second);
  for (auto& node : nodes) node->network().SetNetworkKeys(both);
  ASSERT_OK(client->PutBlocking(Head(2, "still epoch 1")));
  client->SetNetworkKeys(both);
  ASSERT_OK(client->PutBlocking(Head(3, "both")));
  // The end of the overlap: who has only the old key is a stranger.
  for (auto& node : nodes) node->network().SetNetworkKeys({second});
  client->SetNetworkKeys({second});
  ASSERT_OK_AND_ASSIGN(const PutResult result,
                       client->PutBlocking(Head(4, "epoch 2")));
  EXPECT_EQ(result.receipts, 3);
  PutOptions brief;
  brief.deadline = absl::Seconds(1);
  EXPECT_THAT(left_behind->PutBlocking(Head(5, "left"), brief),
              FailsBecause("no_receipt"));
}

}  // namespace
}  // namespace shoal::dht
