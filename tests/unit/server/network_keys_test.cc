#include "server/fleet/network_keys.h"

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "dht/records/key_ring.h"
#include "server/fleet/credentials.h"
#include "shoal/pairing/v1/pairing.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class NetworkKeysTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    EnrollNode("n1");
    network_keys_ = std::make_unique<NetworkKeys>(
        *store_, *keys_, *writer_, *trust_,
        NetworkKeyOptions{.overlap = absl::Hours(16)});
    credentials_ =
        std::make_unique<Credentials>(*store_, *keys_, *writer_, *writers_);
  }
  std::vector<uint32_t> Epochs(const pairing::v1::NetworkAccess& access) {
    std::vector<uint32_t> epochs;
    for (const auto& key : access.keys()) epochs.push_back(key.epoch());
    return epochs;
  }
  absl::StatusOr<NetworkKeys::Rotated> Rotate(
      const std::string& reason, const std::string& request_id = "",
      const std::string& principal = "operator:ann") {
    fleet::v1::RotateNetworkKeyRequest request;
    request.set_reason(reason);
    request.set_request_id(request_id);
    return network_keys_->Rotate(request, principal);
  }
  std::string Report(const TestDevice& device, uint64_t version,
                     uint32_t epoch) {
    records::v1::DeviceReport report;
    report.set_network_epoch(epoch);
    return DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                        writer_->places().DeviceReport(device.id), version,
                        report.SerializeAsString());
  }
  bool OfferKept(const TestDevice& device) {
    auto row = store_->Get<store::PublicationRow>(
        kPublications, PublicationKey(records::v1::RECORD_KIND_PAIR_GRANT,
                                      HexEncode(device.id)));
    return row.ok() && row->keep();
  }
  std::unique_ptr<NetworkKeys> network_keys_;
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(NetworkKeysTest, BothEpochsAreInForceDuringTheOverlap) {
  ASSERT_OK_AND_ASSIGN(auto before, MemberAccess(*store_, *keys_));
  EXPECT_EQ(Epochs(before), std::vector<uint32_t>{1});
  ASSERT_OK_AND_ASSIGN(auto rotated, Rotate("lost"));
  EXPECT_GT(rotated.epoch, 1u);
  ASSERT_OK_AND_ASSIGN(auto during, MemberAccess(*store_, *keys_));
  EXPECT_EQ(Epochs(during), (std::vector<uint32_t>{rotated.epoch, 1}));
  EXPECT_EQ(during.keys(1).key(), before.keys(0).key());
  EXPECT_NE(during.keys(0).key(), before.keys(0).key());
  clock_.Advance(absl::Hours(17));
  ASSERT_OK_AND_ASSIGN(auto after, MemberAccess(*store_, *keys_));
  EXPECT_EQ(Epochs(after), std::vector<uint32_t>{rotated.epoch});
  ASSERT_OK_AND_ASSIGN(auto nodes, NodeAccess(*store_, *keys_));
  EXPECT_EQ(Epochs(nodes), (std::vector<uint32_t>{rotated.epoch, 1}))
      << "nodes still open what those send who were away";
  EXPECT_GT(nodes.keys(1).opens_until(), 0);
}

TEST_F(NetworkKeysTest, T52_ADecommissionedDeviceGetsNoNewKey) {
  TestDevice stays;
  TestDevice goes;
  Pair(stays);
  Pair(goes);
  EmptyOutbox();
  ASSERT_OK(devices_->Decommission("devices/" + HexEncode(goes.id), "stolen",
                                   "operator:ann"));
  ASSERT_OK(network_keys_->MemberLeft("device decommissioned"));
  ASSERT_OK(credentials_->RenewDue());
  const auto grants = Outbox(records::v1::RECORD_KIND_PAIR_GRANT);
  ASSERT_EQ(grants.size(), 1u);
  EXPECT_EQ(grants[0].place(), writer_->places().Assignment(stays.id));
  pairing::v1::Grant grant;
  ASSERT_TRUE(grant.ParseFromString(*stays.box.Open(grants[0].payload())));
  EXPECT_EQ(grant.network().keys_size(), 2);
  EXPECT_TRUE(grant.network().place_key().empty());
  EXPECT_THAT(goes.box.Open(grants[0].payload()),
              FailsBecause("not_decryptable"));
  // It stands until the device says that it has the key.
  EXPECT_TRUE(OfferKept(stays));
  const auto report = [&](uint64_t version, uint32_t epoch) {
    Transaction tx(*store_);
    auto record = intake_->Verify(Report(stays, version, epoch));
    ASSERT_OK(record);
    ASSERT_OK(credentials_->OnReport(tx, *record));
    ASSERT_OK(tx.Commit());
  };
  report(1, 1);
  EXPECT_TRUE(OfferKept(stays));
  report(2, grant.network().keys(0).epoch());
  EXPECT_FALSE(OfferKept(stays));
}

TEST_F(NetworkKeysTest, ManyLeaversShareAnEpoch) {
  ASSERT_OK(network_keys_->MemberLeft("one"));
  ASSERT_OK_AND_ASSIGN(const uint32_t first, NewestEpoch(*store_));
  EXPECT_GT(first, 1u);
  ASSERT_OK(network_keys_->MemberLeft("two"));
  ASSERT_OK(network_keys_->MemberLeft("three"));
  EXPECT_EQ(*NewestEpoch(*store_), first) << "an eighth of the overlap first";
  clock_.Advance(absl::Hours(2) + absl::Seconds(1));
  ASSERT_OK(network_keys_->RotateIfDue());
  EXPECT_GT(*NewestEpoch(*store_), first);
  const uint32_t second = *NewestEpoch(*store_);
  clock_.Advance(absl::Hours(3));
  ASSERT_OK(network_keys_->RotateIfDue());
  EXPECT_EQ(*NewestEpoch(*store_), second) << "nobody has left since";
}

TEST_F(NetworkKeysTest, NodesOpenTheKeysWithTheirOwn) {
  // A node with a key that the test holds.
  const crypto::SigningKey key = crypto::SigningKey::Generate();
  fleet::v1::EnrollNodeRequest request;
  request.set_node_id("n2");
  request.set_public_key(key.public_key());
  request.set_signature(key.Sign(
      crypto::SigningInput("shoal.node.enroll.v1", writer_->fleet_id(), "n2")));
  request.set_dht_address("127.0.0.1:4101");
  request.set_grpc_address("127.0.0.1:4102");
  request.set_tls_spki_sha256(std::string(32, 'm'));
  ASSERT_OK(nodes_->Enroll(request, "operator:ann"));
  ASSERT_OK(Rotate("lost"));
  const auto published = Outbox(records::v1::RECORD_KIND_NODE_KEYS);
  ASSERT_EQ(published.size(), 1u);
  records::v1::NodeKeys sealed;
  ASSERT_TRUE(sealed.ParseFromString(published[0].payload()));
  ASSERT_EQ(sealed.nodes_size(), 2);
  int opened = 0;
  for (const auto& one : sealed.nodes()) {
    auto content_key = crypto::OpenAsSigner(key, one.content_key());
    if (!content_key.ok()) continue;
    ++opened;
    ASSERT_OK_AND_ASSIGN(
        std::string plain,
        crypto::AeadOpen(
            *content_key, sealed.content().substr(0, 24),
            std::string(dht::kNodeKeysDomain) + writer_->fleet_id(),
            sealed.content().substr(24)));
    pairing::v1::NetworkAccess access;
    ASSERT_TRUE(access.ParseFromString(plain));
    EXPECT_EQ(access.keys_size(), 2);
  }
  EXPECT_EQ(opened, 1);
}

TEST_F(NetworkKeysTest, ARetryRotatesOnce) {
  ASSERT_OK_AND_ASSIGN(const auto first, Rotate("lost", "once"));
  clock_.Advance(absl::Hours(1));
  ASSERT_OK_AND_ASSIGN(const auto again, Rotate("lost", "once"));
  EXPECT_EQ(again.epoch, first.epoch);
  EXPECT_EQ(again.overlap_until, first.overlap_until);
  EXPECT_EQ(*NewestEpoch(*store_), first.epoch);
  EXPECT_THAT(Rotate("stolen", "once"), FailsBecause("request_id_reused"));
  EXPECT_THAT(Rotate("lost", std::string(129, 'i')),
              FailsBecause("bad_request_id"));
  // Somebody else's id, or another, is another call.
  ASSERT_OK_AND_ASSIGN(const auto other,
                       Rotate("lost", "once", "operator:bob"));
  EXPECT_GT(other.epoch, first.epoch);
  ASSERT_OK_AND_ASSIGN(const auto next, Rotate("lost", "twice"));
  EXPECT_GT(next.epoch, other.epoch);
}

TEST_F(NetworkKeysTest, ThereIsAnEndToRotating) {
  for (size_t i = 1; i < NetworkKeys::kMaxInForce; ++i) {
    ASSERT_OK(Rotate("again")) << i;
  }
  EXPECT_THAT(Rotate("again"), FailsBecause("too_many_epochs"));
  clock_.Advance(absl::Hours(17));
  EXPECT_OK(Rotate("again"));
}

}  // namespace
}  // namespace shoal::server
