#include "dht/records/network.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/crypto/hash.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/network_fixture.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::WaitFor;
using testing::Heard;
using testing::Member;
using testing::NetworkTest;
using testing::StartNodes;
using namespace records::v1;

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
