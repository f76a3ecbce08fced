#include "server/fleet/pairing.h"

#include "common/bytes.h"
#include "server/fleet/pairing_crypto.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class PlanePairingTest : public PlaneTest {};

TEST_F(PlanePairingTest, T50_TheFirstAnswerWinsAndASecondIsReported) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice first;
  TestDevice second;
  const std::string answer = Answer(ticket, first);
  ASSERT_OK(Take({answer}));
  ASSERT_OK(Take({Answer(ticket, second), answer}));
  ASSERT_OK_AND_ASSIGN(auto page, devices_->List({}));
  ASSERT_EQ(page.devices.size(), 1u);
  EXPECT_EQ(page.devices[0].public_key(), HexEncode(first.key.public_key()));
  EXPECT_EQ(page.devices[0].labels().at("site"), "north");
  ASSERT_OK_AND_ASSIGN(auto row,
                       store_->Get<store::TicketRow>(
                           kTickets, HexEncode(PairingPlace(ticket.secret()))));
  EXPECT_EQ(row.refused_answers(), 1u);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_PAIR_GRANT).size(), 1u);
  EXPECT_EQ(Outbox(records::v1::RECORD_KIND_ASSIGNMENT).size(), 1u);
}

TEST_F(PlanePairingTest, TheGrantOpensOnlyForTheDevice) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  const std::string answer = Answer(ticket, device);
  ASSERT_OK(Take({answer}));
  const auto grants = Outbox(records::v1::RECORD_KIND_PAIR_GRANT);
  ASSERT_EQ(grants.size(), 1u);
  ASSERT_OK_AND_ASSIGN(std::string sealed,
                       PairingOpen(ticket.secret(), kGrantDomain,
                                   ticket.fleet_id(), grants[0].payload()));
  EXPECT_THAT(crypto::BoxKey::Generate().Open(sealed),
              FailsBecause("not_decryptable"));
  ASSERT_OK_AND_ASSIGN(std::string plain, device.box.Open(sealed));
  pairing::v1::Grant grant;
  ASSERT_TRUE(grant.ParseFromString(plain));
  EXPECT_EQ(grant.answer_digest(), dht::RecordDigest(answer));
  EXPECT_EQ(grant.assignment().labels().at("site"), "north");
  EXPECT_EQ(grant.directory().nodes_size(), 1);
}

TEST_F(PlanePairingTest, T50_AnExpiredTicketPairsNobody) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  const std::string answer = Answer(ticket, device);
  clock_.Advance(absl::Hours(25));
  ASSERT_OK(Take({answer}));
  ASSERT_OK(pairing_->ExpireTickets());
  EXPECT_TRUE(devices_->List({})->devices.empty());
  EXPECT_TRUE(pairing_->OpenPlaces()->empty());
}

TEST_F(PlanePairingTest, T51_AnAnswerWithoutProofOfTheKeyIsRefused) {
  EnrollNode("n1");
  const auto ticket = MakeTicket();
  TestDevice device;
  TestDevice victim;
  // Claims the victim's key, signs with its own.
  TestDevice liar;
  liar.key = device.key.Clone();
  const std::string honest = Answer(ticket, device);
  records::v1::Record record;
  ASSERT_TRUE(record.ParseFromString(honest));
  dht::RecordBody body;
  ASSERT_TRUE(body.ParseFromString(record.body()));
  ASSERT_OK_AND_ASSIGN(std::string plain,
                       PairingOpen(ticket.secret(), kAnswerDomain,
                                   ticket.fleet_id(), body.payload()));
  pairing::v1::Answer answer;
  ASSERT_TRUE(answer.ParseFromString(plain));
  answer.set_device_key(victim.key.public_key());
  dht::RecordFields fields;
  fields.kind = records::v1::RECORD_KIND_PAIR_ANSWER;
  fields.place = body.place();
  fields.version = 1;
  fields.issued = clock_.WallNow();
  fields.expires = absl::FromUnixSeconds(body.expires());
  fields.credential = body.credential();
  fields.payload = PairingSeal(ticket.secret(), kAnswerDomain,
                               ticket.fleet_id(), answer.SerializeAsString());
  ASSERT_OK(Take({dht::SignRecord(fields, *PairingClaimKey(ticket.secret()),
                                  ticket.fleet_id())}));
  EXPECT_TRUE(devices_->List({})->devices.empty());
  // The ticket is still good for the device itself.
  ASSERT_OK(Take({honest}));
  EXPECT_EQ(devices_->List({})->devices.size(), 1u);
}

}  // namespace
}  // namespace shoal::server
