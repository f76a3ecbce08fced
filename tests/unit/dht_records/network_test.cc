#include "dht/records/network.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <set>
#include <thread>

#include "common/crypto/hash.h"
#include "dht/records/admission.h"
#include "dht/records/key_ring.h"
#include "dht/records/udp_socket.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;
using ::shoal::testing::WaitFor;
using testing::Member;
using testing::StartNodes;
using testing::TestFleet;
using testing::TestNode;
using testing::WaitForMesh;
using namespace records::v1;

// What a listener heard. The state is shared with the callback, which may
// still run when the test is over.
class Heard {
 public:
  Network::ListenCallback Callback() {
    return [state = state_](const VerifiedRecord& record) {
      std::lock_guard lock(state->mutex);
      state->records.push_back(record.body.payload());
    };
  }
  bool Has(const std::string& payload) const {
    std::lock_guard lock(state_->mutex);
    return std::count(state_->records.begin(), state_->records.end(), payload) >
           0;
  }
  size_t count() const {
    std::lock_guard lock(state_->mutex);
    return state_->records.size();
  }

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::string> records;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class NetworkTest : public ::testing::Test {
 protected:
  std::unique_ptr<Network> Client() {
    auto client = Network::Open(fleet_.Options());
    EXPECT_OK(client);
    return *std::move(client);
  }
  std::string Head(uint64_t version, std::string payload) {
    return fleet_.DirectorRecord(RECORD_KIND_HEAD, head_, version,
                                 std::move(payload));
  }
  TestFleet fleet_;
  const std::string head_ = fleet_.places.Head("gateway");
};

TEST_F(NetworkTest, PutIsReceiptedByThreeNodesAndFound) {
  auto nodes = StartNodes(fleet_, 3);
  auto writer = Client();
  const std::string record = Head(1, "one");
  ASSERT_OK_AND_ASSIGN(const PutResult result, writer->PutBlocking(record));
  EXPECT_EQ(result.receipts, 3);
  EXPECT_FALSE(result.under_replicated);
  for (auto& node : nodes) EXPECT_TRUE(node->Has(RecordDigest(record)));
  ASSERT_OK(writer->PutBlocking(Head(2, "two")));

  auto reader = Client();
  ASSERT_OK_AND_ASSIGN(const auto found,
                       reader->GetBlocking(head_, absl::Seconds(10)));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].body.payload(), "two");  // highest version first
  EXPECT_EQ(found[1].body.payload(), "one");
  // Clients hold nothing and are in nobody's routing table.
  EXPECT_EQ(reader->Stats().stored_values, 0u);
  for (auto& node : nodes)
    EXPECT_EQ(node->network().Stats().connected_nodes, 2u);
}

TEST_F(NetworkTest, AListenerGetsWhatIsThereAndWhatComes) {
  auto nodes = StartNodes(fleet_, 3);
  auto writer = Client();
  ASSERT_OK(writer->PutBlocking(Head(1, "there")));
  auto reader = Client();
  Heard heard;
  const ListenToken token = reader->Listen(head_, heard.Callback());
  ASSERT_OK(WaitFor("the old record", [&] { return heard.Has("there"); }));
  ASSERT_OK(writer->PutBlocking(Head(2, "pushed")));
  ASSERT_OK(WaitFor("the push", [&] { return heard.Has("pushed"); }));
  EXPECT_EQ(heard.count(), 2u);  // three nodes told it, once each counts
  reader->Cancel(token);
  Heard second;
  reader->Listen(head_, second.Callback());
  ASSERT_OK(writer->PutBlocking(Head(3, "after cancel")));
  ASSERT_OK(WaitFor("the second", [&] { return second.Has("after cancel"); }));
  EXPECT_FALSE(heard.Has("after cancel"));
}

// OpenDHT answers a get at a place that it listens at from its listener's
// cache; the newest version must be in the answer all the same.
TEST_F(NetworkTest, AListenerThatLooksUpGetsTheNewest) {
  auto nodes = StartNodes(fleet_, 3);
  auto writer = Client();
  ASSERT_OK(writer->PutBlocking(Head(1, "one")));
  auto reader = Client();
  Heard heard;
  reader->Listen(head_, heard.Callback());
  ASSERT_OK(WaitFor("one", [&] { return heard.Has("one"); }));
  for (const char* text : {"two", "three"}) {
    ASSERT_OK(writer->PutBlocking(Head(text[1] == 'w' ? 2 : 3, text)));
    ASSERT_OK(WaitFor(text, [&] { return heard.Has(text); }));
    ASSERT_OK_AND_ASSIGN(const auto found,
                         reader->GetBlocking(head_, absl::Seconds(10)));
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0].body.payload(), text);
  }
}

TEST_F(NetworkTest, ANodeListensAndPutsLikeAnybody) {
  auto nodes = StartNodes(fleet_, 3);
  Heard heard;
  nodes[0]->network().Listen(head_, heard.Callback());
  ASSERT_OK(nodes[1]->network().PutBlocking(Head(1, "from a node")));
  ASSERT_OK(WaitFor("the push", [&] { return heard.Has("from a node"); }));
  ASSERT_OK_AND_ASSIGN(const PutResult own,
                       nodes[0]->network().PutBlocking(Head(2, "own")));
  EXPECT_EQ(own.receipts, 3);  // its own disk is one of them
  ASSERT_OK(WaitFor("its own", [&] { return heard.Has("own"); }));
  EXPECT_EQ(heard.count(), 2u);
}

TEST_F(NetworkTest, RecordsOf16KiBTravel) {
  auto nodes = StartNodes(fleet_, 3);
  auto writer = Client();
  auto listener = Client();
  Heard heard;
  listener->Listen(head_, heard.Callback());
  const std::string payload = crypto::RandomBytes(kMaxPayloadSize);
  ASSERT_OK_AND_ASSIGN(const PutResult result,
                       writer->PutBlocking(Head(1, payload)));
  EXPECT_EQ(result.receipts, 3);
  ASSERT_OK(WaitFor("the push", [&] { return heard.Has(payload); }));
  ASSERT_OK_AND_ASSIGN(const auto found,
                       Client()->GetBlocking(head_, absl::Seconds(10)));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].body.payload(), payload);
}

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

TEST_F(NetworkTest, FewerReceiptsThanWantedIsUnderReplicated) {
  auto nodes = StartNodes(fleet_, 3);
  nodes[2]->Close();
  auto writer = Client();
  PutOptions options;
  options.deadline = absl::Seconds(3);
  ASSERT_OK_AND_ASSIGN(const PutResult result,
                       writer->PutBlocking(Head(1, "x"), options));
  EXPECT_EQ(result.receipts, 2);
  EXPECT_EQ(result.wanted, 3);
  EXPECT_TRUE(result.under_replicated);
}

TEST_F(NetworkTest, T63_NoReceiptBeforeTheNodeSaysOnDisk) {
  auto nodes = StartNodes(fleet_, 0);
  nodes.push_back(std::make_unique<TestNode>(fleet_, 0));
  nodes[0]->answers_receipts = false;
  ASSERT_OK(nodes[0]->Open());
  NetworkOptions options = fleet_.Options();
  options.bootstrap = {nodes[0]->address()};
  ASSERT_OK_AND_ASSIGN(auto writer, Network::Open(std::move(options)));
  PutOptions brief;
  brief.deadline = absl::Seconds(1);
  const std::string record = Head(1, "x");
  EXPECT_THAT(writer->PutBlocking(record, brief), FailsBecause("no_receipt"));
  EXPECT_TRUE(nodes[0]->Has(RecordDigest(record)));
}

TEST_F(NetworkTest, T63_PushGoesOnWhenANodeDies) {
  auto nodes = StartNodes(fleet_, 4);
  auto writer = Client();
  auto reader = Client();
  Heard heard;
  reader->Listen(head_, heard.Callback());
  ASSERT_OK(writer->PutBlocking(Head(1, "before")));
  ASSERT_OK(WaitFor("before", [&] { return heard.Has("before"); }));
  nodes[0]->Close();
  ASSERT_OK(writer->PutBlocking(Head(2, "after one died")));
  ASSERT_OK(WaitFor("after", [&] { return heard.Has("after one died"); }));
  // It comes back empty, at the same address, and takes part again.
  nodes[0]->Lose();
  ASSERT_OK(nodes[0]->Open());
  ASSERT_OK(WaitForMesh(nodes));
  PutOptions all;
  all.wanted_receipts = 4;
  ASSERT_OK_AND_ASSIGN(const PutResult result,
                       writer->PutBlocking(Head(3, "back"), all));
  EXPECT_EQ(result.receipts, 4);
}

TEST_F(NetworkTest, T63_AClientFindsNodesThatAllRestarted) {
  auto nodes = StartNodes(fleet_, 3);
  auto client = Client();
  ASSERT_OK(client->PutBlocking(Head(1, "before")));
  for (auto& node : nodes) node->Close();
  PutOptions brief;
  brief.deadline = absl::Seconds(5);
  EXPECT_THAT(client->PutBlocking(Head(2, "nobody"), brief),
              FailsBecause("no_receipt"));
  for (auto& node : nodes) ASSERT_OK(node->Open());
  ASSERT_OK_AND_ASSIGN(const PutResult result,
                       client->PutBlocking(Head(3, "again")));
  EXPECT_EQ(result.receipts, 3);
}

TEST_F(NetworkTest, AClientMayStartBeforeTheNodes) {
  TestNode node(fleet_, 0);
  ASSERT_OK(node.Open());
  const std::string address = node.address();
  node.Close();
  NetworkOptions options = fleet_.Options();
  options.bootstrap = {address};
  ASSERT_OK_AND_ASSIGN(auto client, Network::Open(std::move(options)));
  Heard heard;
  client->Listen(head_, heard.Callback());
  EXPECT_THAT(client->WaitUntilConnected(absl::Milliseconds(100)),
              FailsBecause("not_connected"));
  ASSERT_OK(node.Open());
  ASSERT_OK(client->WaitUntilConnected(absl::Seconds(20)));
  ASSERT_OK(node.network().PutBlocking(Head(1, "hello")));
  ASSERT_OK(WaitFor("the push", [&] { return heard.Has("hello"); }));
}

TEST_F(NetworkTest, StoredRecordsComeBackAfterARestart) {
  auto nodes = StartNodes(fleet_, 1);
  const std::string record = Head(1, "kept");
  ASSERT_OK(Client()->PutBlocking(record));
  nodes[0]->Close();
  ASSERT_OK(nodes[0]->Open());
  std::promise<absl::Status> good, bad;
  nodes[0]->network().StoreLocal(
      record, [&](absl::Status status) { good.set_value(status); });
  nodes[0]->network().StoreLocal(
      "junk", [&](absl::Status status) { bad.set_value(status); });
  EXPECT_OK(good.get_future().get());
  EXPECT_THAT(bad.get_future().get(), FailsBecause("bad_record"));
  ASSERT_OK_AND_ASSIGN(const auto found,
                       Client()->GetBlocking(head_, absl::Seconds(10)));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].bytes, record);
  std::promise<std::vector<std::string>> all;
  auto held = std::make_shared<std::vector<std::string>>();
  nodes[0]->network().ForEachLocal(
      [held](const std::string& bytes) { held->push_back(bytes); },
      [held, &all] { all.set_value(*held); });
  EXPECT_EQ(all.get_future().get(), std::vector<std::string>{record});
}

TEST_F(NetworkTest, T64_ANodeAnnouncesWhatOthersLost) {
  auto nodes = StartNodes(fleet_, 3);
  const std::string record = Head(1, "x");
  ASSERT_OK(Client()->PutBlocking(record));
  for (int i = 1; i < 3; ++i) {
    nodes[i]->Close();
    nodes[i]->Lose();
    ASSERT_OK(nodes[i]->Open());
  }
  ASSERT_OK(WaitForMesh(nodes));
  std::promise<absl::StatusOr<PutResult>> done;
  nodes[0]->network().Announce(
      record, absl::Seconds(20),
      [&](absl::StatusOr<PutResult> result) { done.set_value(result); });
  ASSERT_OK_AND_ASSIGN(const PutResult result, done.get_future().get());
  EXPECT_EQ(result.receipts, 2);
  for (auto& node : nodes) EXPECT_TRUE(node->Has(RecordDigest(record)));
}

TEST_F(NetworkTest, RecordsVanishAtTheirSignedExpiry) {
  auto nodes = StartNodes(fleet_, 1);
  RecordFields fields = fleet_.Fields(RECORD_KIND_HEAD, head_, 1, "brief");
  fields.expires = absl::Now() + absl::Seconds(3);
  auto client = Client();
  ASSERT_OK(client->PutBlocking(
      SignRecord(fields, fleet_.director, fleet_.fleet_id)));
  ASSERT_OK(WaitFor("it is held", [&] {
    return nodes[0]->network().Stats().stored_values == 1;
  }));
  ASSERT_OK(WaitFor("it is gone", [&] {
    return nodes[0]->network().Stats().stored_values == 0;
  }));
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

TEST_F(NetworkTest, ALaterResolverAcceptsWhatAnEarlierRefused) {
  auto nodes = StartNodes(fleet_, 1);
  NetworkOptions options = fleet_.Options();
  options.resolver = [](const RecordBody&, absl::Time) {
    return absl::StatusOr<Writer>(PermissionDenied("revoked", "nobody yet"));
  };
  ASSERT_OK_AND_ASSIGN(auto reader, Network::Open(std::move(options)));
  Heard heard;
  reader->Listen(head_, heard.Callback());
  ASSERT_OK(Client()->PutBlocking(Head(1, "x")));
  ASSERT_OK(WaitFor("it is refused",
                    [&] { return reader->Stats().refused_records > 0; }));
  EXPECT_EQ(heard.count(), 0u);
  reader->SetResolver(fleet_.Resolver());
  ASSERT_OK(WaitFor("it is accepted", [&] { return heard.Has("x"); }));
}

TEST_F(NetworkTest, ClosingWithWorkUnderWayAnswersEveryCallback) {
  auto client = Client();
  std::atomic<int> answered{0};
  for (int i = 1; i <= 10; ++i) {
    client->Put(Head(i, "x"), {}, [&](const absl::StatusOr<PutResult>& result) {
      EXPECT_THAT(result, FailsBecause("network_closed"));
      ++answered;
    });
    client->Get(head_, absl::Seconds(60),
                [&](std::vector<VerifiedRecord> found) {
                  EXPECT_TRUE(found.empty());
                  ++answered;
                });
  }
  client.reset();
  EXPECT_EQ(answered, 20);
}

TEST_F(NetworkTest, ManyThreadsMayUseOneNetwork) {
  auto nodes = StartNodes(fleet_, 3);
  auto client = Client();
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
      const std::string place = fleet_.places.DeviceReport(device.id);
      Heard heard;
      const ListenToken token = client->Listen(place, heard.Callback());
      for (int i = 1; i <= 5; ++i) {
        EXPECT_OK(client->PutBlocking(fleet_.DeviceRecord(
            device, RECORD_KIND_DEVICE_REPORT, place, i, std::to_string(t))));
        (void)client->Stats();
      }
      EXPECT_OK(WaitFor("all pushes", [&] { return heard.count() == 5; }));
      client->Cancel(token);
      // `heard` must outlive callbacks under way: one round through the thread.
      EXPECT_OK(client->GetBlocking(place, absl::Seconds(10)));
      ++done;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(done, 4);
}

TEST_F(NetworkTest, ADualStackClientPutsAndListens) {
  auto nodes = StartNodes(fleet_, 1);
  NetworkOptions options = fleet_.Options();
  options.second_bind_address = "[::1]:0";
  ASSERT_OK_AND_ASSIGN(auto client, Network::Open(std::move(options)));
  Heard heard;
  const ListenToken token = client->Listen(head_, heard.Callback());
  ASSERT_OK(client->PutBlocking(Head(1, "x")));
  ASSERT_OK(WaitFor("the push", [&] { return heard.Has("x"); }));
  client->Cancel(token);
}

TEST_F(NetworkTest, BadOptionsAreRefused) {
  NetworkOptions options = fleet_.Options();
  options.fleet_id = "short";
  EXPECT_THAT(Network::Open(std::move(options)),
              FailsBecause("bad_network_options"));
  options = fleet_.Options();
  options.role = NetworkRole::kNode;
  EXPECT_THAT(Network::Open(std::move(options)),
              FailsBecause("bad_network_options"));
  options = fleet_.Options();
  options.bind_address = "localhost:0";
  EXPECT_THAT(Network::Open(std::move(options)), FailsBecause("bad_address"));
  options = fleet_.Options();
  options.keys.clear();
  EXPECT_THAT(Network::Open(std::move(options)),
              FailsBecause("bad_network_keys"));
}

}  // namespace
}  // namespace shoal::dht
