// Nodes that die, forget, come late or come back; records that expire.
#include <gtest/gtest.h>

#include <future>

#include "dht/records/network.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/network_fixture.h"
#include "tests/unit/dht_records/relay.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::WaitFor;
using testing::Heard;
using testing::NetworkTest;
using testing::Relay;
using testing::StartNodes;
using testing::TestNode;
using testing::WaitForMesh;
using namespace records::v1;

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

// OpenDHT sends a push three times within some seconds, then never again.
TEST_F(NetworkTest, T63_AListenerThatMissedAPushFindsTheRecordByLookingUp) {
  auto nodes = StartNodes(fleet_, 1);
  Relay relay(nodes[0]->address());
  NetworkOptions options = fleet_.Options();
  options.directory.mutable_nodes(0)->set_dht_address(relay.address());
  ASSERT_OK_AND_ASSIGN(auto reader, Network::Open(std::move(options)));
  auto writer = Client();
  Heard heard;
  reader->Listen(head_, heard.Callback());
  ASSERT_OK(writer->PutBlocking(Head(1, "before")));
  ASSERT_OK(WaitFor("before", [&] { return heard.Has("before"); }));

  const std::string missed(600, 'm');  // one datagram
  relay.LoseFromNode(missed.size());
  ASSERT_OK(writer->PutBlocking(Head(2, missed)));
  ASSERT_OK(WaitFor("all three tries", [&] { return relay.lost() >= 3; }));
  relay.LoseFromNode(0);
  EXPECT_FALSE(heard.Has(missed));
  ASSERT_OK_AND_ASSIGN(const auto found,
                       reader->GetBlocking(head_, absl::Seconds(10)));
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].body.payload(), missed);
}

// When a node does not answer for some seconds, OpenDHT closes the sockets of
// the listens at it, and never opens them again.
TEST_F(NetworkTest, T63_PushGoesOnAfterNodesWereOutOfReachForAWhile) {
  auto nodes = StartNodes(fleet_, 3);
  NetworkOptions options = fleet_.Options();
  std::vector<std::unique_ptr<Relay>> relays;
  for (int i = 0; i < 3; ++i) {
    relays.push_back(std::make_unique<Relay>(nodes[i]->address()));
    options.directory.mutable_nodes(i)->set_dht_address(relays[i]->address());
  }
  ASSERT_OK_AND_ASSIGN(auto reader, Network::Open(std::move(options)));
  auto writer = Client();
  Heard heard;
  reader->Listen(head_, heard.Callback());
  ASSERT_OK(writer->PutBlocking(Head(1, "before")));
  ASSERT_OK(WaitFor("before", [&] { return heard.Has("before"); }));
  const auto connected = [&](uint64_t count) {
    return reader->Stats().connected_nodes == count;
  };
  ASSERT_OK(WaitFor("all nodes", [&] { return connected(3); }));

  // One stays, or OpenDHT would begin everything anew. What it pushes is lost
  // later.
  for (const int i : {0, 1}) relays[i]->LoseFromNode(1);
  ASSERT_OK(WaitFor("two nodes to be given up", [&] {
    reader->Get(fleet_.places.Head("elsewhere"), absl::Seconds(1), {});
    return connected(1);
  }));
  for (const int i : {0, 1}) relays[i]->LoseFromNode(0);
  ASSERT_OK(WaitFor("them to be back", [&] { return connected(3); }));
  const std::string after(600, 'a');
  relays[2]->LoseFromNode(after.size());
  ASSERT_OK(writer->PutBlocking(Head(2, after)));
  EXPECT_OK(WaitFor("the push", [&] { return heard.Has(after); }));
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

// OpenDHT gives a node up that does not answer, or that came back and refused
// the write tokens of its former life four times, until it says something by
// itself, which it never does to a client. Another node, which the client's
// directory does not name (any more), must not make up for it.
TEST_F(NetworkTest, T63_ANodeThatWasGivenUpIsLookedForAgain) {
  auto nodes = StartNodes(fleet_, 3);
  fleet_.directory.mutable_nodes()->RemoveLast();
  auto client = Client();
  PutOptions both;
  both.wanted_receipts = 2;
  ASSERT_OK(client->PutBlocking(Head(1, "before"), both));
  ASSERT_OK(WaitFor("the client to know the node of no directory",
                    [&] { return client->Stats().connected_nodes == 3; }));
  nodes[1]->Close();
  PutOptions brief = both;
  brief.deadline = absl::Seconds(5);
  ASSERT_OK_AND_ASSIGN(PutResult result,
                       client->PutBlocking(Head(2, "away"), brief));
  EXPECT_TRUE(result.under_replicated);
  ASSERT_OK(WaitFor("the node to be given up",
                    [&] { return client->Stats().connected_nodes == 2; }));
  ASSERT_OK(nodes[1]->Open());
  ASSERT_OK_AND_ASSIGN(result, client->PutBlocking(Head(3, "back"), both));
  EXPECT_EQ(result.receipts, 2);
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

}  // namespace
}  // namespace shoal::dht
