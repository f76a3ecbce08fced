// How a device comes into its fleet over a real network, and who can't keep it
// out or pretend to be the fleet.
#include "tests/integration/agent/paired_fixture.h"

namespace shoal::testing {
namespace {

TEST_F(PairedTest, T51_GrantByAStrangerIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  // Whoever saw the ticket can make a grant, but is no director.
  const auto stranger = crypto::SigningKey::Generate();
  // The node itself refuses it: it knows the directors.
  EXPECT_FALSE(plane_->Grant(stranger).ok());
  ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
  ASSERT_OK(device_->process().WaitForLog("event=paired"));
}

// One node that has gone over is not enough to keep devices out.
TEST_F(PairedTest, T41_T51_JunkWhereMetadataIsLookedForStopsNoPairing) {
  for (const char* name : {"root/1", "root/2"})
    ASSERT_OK(Plant(records::v1::RECORD_KIND_METADATA, name, "junk"));
  records::v1::Head head;
  head.set_timestamp("junk");
  ASSERT_OK(Plant(records::v1::RECORD_KIND_HEAD, "gateway",
                  head.SerializeAsString()));
  Pair();
}

TEST_F(PairedTest, T50_ExpiredTicketIsRefused) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket,
                       plane_->Ticket(-absl::Seconds(5)));
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("reason=ticket_expired"));
  EXPECT_EQ(device_->Status()["last_refusal"]["reason"], "ticket_expired");
}

TEST_F(PairedTest, PairingGoesOnAfterARestart) {
  ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
  WriteText(dir_.File("ticket"), ticket);
  ASSERT_OK(device_->Init({"--ticket-file", dir_.File("ticket")}));
  device_->PowerOn();
  ASSERT_OK(device_->process().WaitForLog("event=pairing_answered"));
  device_->PowerOff();
  device_->PowerOn();
  ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
  ASSERT_OK(device_->process().WaitForLog("event=paired"));
  EXPECT_EQ(plane_->Received(records::v1::RECORD_KIND_PAIR_ANSWER).size(), 1u);
}

}  // namespace
}  // namespace shoal::testing
