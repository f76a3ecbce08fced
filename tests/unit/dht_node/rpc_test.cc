#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "common/crypto/hash.h"
#include "dht/node/records_server.h"
#include "dht/node_client/pull_client.h"
#include "shoal/node/v1/node_service.pb.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"

namespace shoal::dht::node {
namespace {

using ::shoal::testing::FailsBecause;

crypto::TlsKeyPair Tls(const std::string& name) {
  const absl::Time now = absl::Now();
  auto ca = crypto::MakeCertificateAuthority(name, now - absl::Hours(1),
                                             now + absl::Hours(2));
  crypto::CertificateRequest request;
  request.common_name = name;
  request.names = {"127.0.0.1"};
  request.server = request.client = true;
  request.not_before = now - absl::Hours(1);
  request.not_after = now + absl::Hours(1);
  auto pair = crypto::IssueCertificate(*ca, request);
  EXPECT_OK(pair);
  return *std::move(pair);
}

class RecordsRpc : public ::testing::Test {
 protected:
  void SetUp() override {
    RecordStoreOptions options;
    options.in_memory = true;
    auto store = RecordStore::Open("/memory", options, SystemClock());
    ASSERT_OK(store);
    store_ = *std::move(store);
    RecordsServerHooks hooks;
    hooks.may_call = [this](const std::string& spki) {
      return spki == *crypto::SpkiSha256(client_tls_.cert_pem);
    };
    hooks.status = [](shoal::node::v1::GetStatusResponse* response) {
      response->set_version("test");
    };
    RecordsServerOptions server;
    server.max_streams = 2;
    auto opened = RecordsServer::Open(server, server_tls_, *store_, hooks);
    ASSERT_OK(opened);
    server_ = *std::move(opened);
  }
  std::unique_ptr<PullClient> Client(const crypto::TlsKeyPair& tls,
                                     const crypto::TlsKeyPair& pinned) {
    auto client = PullClient::Open(
        {server_->address(), *crypto::SpkiSha256(pinned.cert_pem)}, tls);
    EXPECT_OK(client);
    return *std::move(client);
  }
  void Add(uint64_t version) {
    VerifiedRecord record;
    record.body.set_kind(records::v1::RECORD_KIND_TELEMETRY);
    record.body.set_place(std::string(20, 'p'));
    record.body.set_version(version);
    record.body.set_issued(absl::ToUnixMillis(absl::Now()));
    record.body.set_expires(absl::ToUnixSeconds(absl::Now()) + 3600);
    record.writer.kind = records::v1::WRITER_CLASS_DEVICE;
    record.writer.public_key = std::string(32, 'w');
    records::v1::Record outer;
    outer.set_body(record.body.SerializeAsString());
    record.bytes = outer.SerializeAsString();
    record.digest = crypto::Sha256Digest(record.bytes);
    ASSERT_OK(store_->AddBlocking(std::move(record), Source::kNetwork));
  }

  const crypto::TlsKeyPair server_tls_ = Tls("server");
  const crypto::TlsKeyPair client_tls_ = Tls("client");
  const crypto::TlsKeyPair stranger_tls_ = Tls("stranger");
  std::unique_ptr<RecordStore> store_;
  std::unique_ptr<RecordsServer> server_;
};

TEST_F(RecordsRpc, PullsEverythingOnceAndGoesOnFromTheCursor) {
  for (uint64_t i = 1; i <= 600; ++i) Add(i);
  auto client = Client(client_tls_, server_tls_);
  int seen = 0;
  const auto count = [&](std::string record, const records::v1::Credential*,
                         const PullPosition&) {
    seen += record.empty() ? 0 : 1;
    return true;
  };
  ASSERT_OK_AND_ASSIGN(auto at,
                       client->Pull({}, {}, false, absl::Seconds(20), count));
  EXPECT_EQ(seen, 600);
  EXPECT_EQ(at.cursor, 600u);
  EXPECT_EQ(at.store_id, store_->store_id());
  Add(601);
  ASSERT_OK_AND_ASSIGN(at,
                       client->Pull(at, {}, false, absl::Seconds(20), count));
  EXPECT_EQ(seen, 601);
  // Another disk's cursor means nothing here.
  ASSERT_OK(client->Pull({"other", 600}, {}, false, absl::Seconds(20), count));
  EXPECT_EQ(seen, 1202);
}

TEST_F(RecordsRpc, FollowsWhatArrivesLater) {
  auto client = Client(client_tls_, server_tls_);
  std::atomic<int> seen{0};
  std::thread reader([&] {
    EXPECT_OK(
        client->Pull({}, {}, true, absl::Seconds(20),
                     [&](std::string record, const records::v1::Credential*,
                         const PullPosition&) {
                       if (!record.empty()) ++seen;
                       return seen < 2;
                     }));
  });
  Add(1);
  EXPECT_OK(
      shoal::testing::WaitFor("the first record", [&] { return seen == 1; }));
  Add(2);
  reader.join();
  EXPECT_EQ(seen, 2);
}

TEST_F(RecordsRpc, ARequestBeyondItsLimitsIsRefused) {
  auto client = Client(client_tls_, server_tls_);
  const auto pull = [&](const PullPosition& at, size_t kinds) {
    return client
        ->Pull(at,
               std::vector<records::v1::RecordKind>(
                   kinds, records::v1::RECORD_KIND_OUTCOME),
               false, absl::Seconds(20), [](auto, auto, auto) { return true; })
        .status();
  };
  EXPECT_OK(pull({}, 64));
  EXPECT_THAT(pull({}, 65), FailsBecause("field_too_large"));
  EXPECT_THAT(pull({std::string(65, 's'), 1}, 1),
              FailsBecause("field_too_large"));
}

TEST_F(RecordsRpc, AStrangersKeyMayNotCall) {
  auto client = Client(stranger_tls_, server_tls_);
  EXPECT_THAT(client->Pull({}, {}, false, absl::Seconds(20),
                           [](auto, auto, auto) { return true; }),
              FailsBecause("unknown_caller"));
  shoal::node::v1::GetStatusResponse response;
  EXPECT_THAT(client->GetStatus(absl::Seconds(20), &response),
              FailsBecause("unknown_caller"));
}

TEST_F(RecordsRpc, AServerWithAnotherKeyIsNotTalkedTo) {
  auto client = Client(client_tls_, stranger_tls_);
  EXPECT_THAT(client->Pull({}, {}, false, absl::Seconds(20),
                           [](auto, auto, auto) { return true; }),
              FailsBecause("peer_unreachable"));
}

TEST_F(RecordsRpc, StatusNamesTheStore) {
  Add(1);
  auto client = Client(client_tls_, server_tls_);
  shoal::node::v1::GetStatusResponse response;
  ASSERT_OK(client->GetStatus(absl::Seconds(20), &response));
  EXPECT_EQ(response.store_id(), store_->store_id());
  EXPECT_EQ(response.records(), 1u);
  EXPECT_EQ(response.version(), "test");
}

TEST_F(RecordsRpc, StreamsAreLimited) {
  std::vector<std::unique_ptr<PullClient>> clients;
  std::vector<std::thread> readers;
  std::atomic<int> open{0};
  for (int i = 0; i < 2; ++i) {
    clients.push_back(Client(client_tls_, server_tls_));
    readers.emplace_back([&open, client = clients.back().get()] {
      const auto end =
          client->Pull({}, {}, true, absl::Seconds(60), [&](auto, auto, auto) {
            ++open;
            return true;
          });
      EXPECT_FALSE(end.ok());
    });
  }
  EXPECT_OK(shoal::testing::WaitFor("two streams", [&] { return open == 2; }));
  auto third = Client(client_tls_, server_tls_);
  EXPECT_THAT(third->Pull({}, {}, false, absl::Seconds(20),
                          [](auto, auto, auto) { return true; }),
              FailsBecause("too_many_streams"));
  for (auto& client : clients) client->Cancel();
  for (auto& reader : readers) reader.join();
}

}  // namespace
}  // namespace shoal::dht::node
