#include "dht/records/admission.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>

#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using records::v1::Datagram;
using testing::Member;
using testing::TestFleet;

// Two members that hand each other datagrams by a queue.
class AdmissionTest : public ::testing::Test {
 protected:
  struct Side {
    Side(AdmissionTest& test, const Member& member, Address address)
        : self(address) {
      Admission::Options options;
      options.fleet_id = test.fleet_.fleet_id;
      options.key = &member.key;
      options.credential = member.credential;
      options.verify_node = [&test](const auto& credential, absl::Time now) {
        return test.fleet_.VerifyNode(credential, now);
      };
      options.clock = &SystemClock();
      options.monotonic = [&test] { return test.now_; };
      options.send = [&test, this](const Address& to,
                                   const Datagram& datagram) {
        test.queue_.push_back({self, to, datagram});
      };
      admission = std::make_unique<Admission>(std::move(options));
    }
    Address self;
    std::unique_ptr<Admission> admission;
  };
  struct Sent {
    Address from, to;
    Datagram datagram;
  };

  void Hand(Side& to, const Address& from, const Datagram& datagram) {
    if (datagram.has_hello()) to.admission->OnHello(from, datagram.hello());
    if (datagram.has_challenge())
      to.admission->OnChallenge(from, datagram.challenge());
    if (datagram.has_proof()) to.admission->OnProof(from, datagram.proof());
  }
  void Deliver(Side& a, Side& b) {
    for (int i = 0; i < 100 && !queue_.empty(); ++i) {
      const Sent sent = queue_.front();
      queue_.pop_front();
      log_.push_back(sent);
      Hand(sent.to == a.self ? a : b, sent.from, sent.datagram);
    }
    EXPECT_TRUE(queue_.empty()) << "they never stop talking";
  }

  TestFleet fleet_;
  const Address at_a_ = *Address::Parse("127.0.0.1:1001");
  const Address at_b_ = *Address::Parse("[::1]:1002");
  absl::Duration now_ = absl::Seconds(100);
  std::deque<Sent> queue_;
  std::vector<Sent> log_;
};

TEST_F(AdmissionTest, TwoNodesAdmitEachOtherForTenMinutes) {
  const Member a = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Side side_a(*this, a, at_a_), side_b(*this, b, at_b_);
  side_a.admission->Greet(at_b_);
  Deliver(side_a, side_b);
  EXPECT_EQ(side_b.admission->AdmittedId(at_a_), NodeDhtId(a.key.public_key()));
  EXPECT_EQ(side_a.admission->AdmittedId(at_b_), NodeDhtId(b.key.public_key()));
  EXPECT_TRUE(side_a.admission->Proven(at_b_));
  now_ += kAdmissionLifetime;
  EXPECT_FALSE(side_b.admission->AdmittedId(at_a_));
  EXPECT_FALSE(side_a.admission->Proven(at_b_));
}

TEST_F(AdmissionTest, APeerIsRenewedAndFoundAgainAfterItsRestart) {
  const Member a = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Side side_a(*this, a, at_a_), side_b(*this, b, at_b_);
  side_a.admission->SetPeers({at_b_});
  for (int minute = 0; minute < 30; ++minute) {
    side_a.admission->Tick();
    Deliver(side_a, side_b);
    EXPECT_TRUE(side_b.admission->AdmittedId(at_a_)) << minute;
    now_ += absl::Minutes(1);
  }
  // B forgets everything; its own first proof makes A prove itself again.
  Side restarted(*this, b, at_b_);
  restarted.admission->SetPeers({at_a_});
  restarted.admission->Tick();
  Deliver(side_a, restarted);
  EXPECT_TRUE(restarted.admission->AdmittedId(at_a_));
}

TEST_F(AdmissionTest, T45_ADeviceIsNotAdmitted) {
  const Member device = fleet_.MakeMember(records::v1::WRITER_CLASS_DEVICE);
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Side side_a(*this, device, at_a_), side_b(*this, b, at_b_);
  side_a.admission->Greet(at_b_);
  Deliver(side_a, side_b);
  EXPECT_FALSE(side_b.admission->AdmittedId(at_a_));
}

TEST_F(AdmissionTest, T45_ANodesCredentialWithoutItsKeyIsNotAdmitted) {
  const Member node = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Member thief = fleet_.MakeMember(records::v1::WRITER_CLASS_DEVICE);
  thief.credential = node.credential;
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Side side_a(*this, thief, at_a_), side_b(*this, b, at_b_);
  side_a.admission->Greet(at_b_);
  Deliver(side_a, side_b);
  EXPECT_FALSE(side_b.admission->AdmittedId(at_a_));
}

TEST_F(AdmissionTest, T45_ARevokedNodeIsNotAdmitted) {
  const Member a = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  fleet_.revoked.insert(a.id);
  Side side_a(*this, a, at_a_), side_b(*this, b, at_b_);
  side_a.admission->Greet(at_b_);
  Deliver(side_a, side_b);
  EXPECT_FALSE(side_b.admission->AdmittedId(at_a_));
}

TEST_F(AdmissionTest, T47_AReplayedProofIsWorthNothing) {
  const Member a = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  const Member b = fleet_.MakeMember(records::v1::WRITER_CLASS_NODE);
  Side side_a(*this, a, at_a_), side_b(*this, b, at_b_);
  side_a.admission->Greet(at_b_);
  Deliver(side_a, side_b);
  Datagram proof;
  for (const Sent& sent : log_)
    if (sent.to == at_b_ && sent.datagram.has_proof()) proof = sent.datagram;
  ASSERT_TRUE(proof.has_proof());
  // From another address, and from the same one later.
  const Address elsewhere = *Address::Parse("127.0.0.1:6666");
  Hand(side_b, elsewhere, proof);
  EXPECT_FALSE(side_b.admission->AdmittedId(elsewhere));
  now_ += kAdmissionLifetime;
  Hand(side_b, at_a_, proof);
  EXPECT_FALSE(side_b.admission->AdmittedId(at_a_));
}

TEST(Address, ParsesAndPrints) {
  for (const char* text : {"127.0.0.1:4222", "[::1]:1", "[fe80::2]:65535"})
    EXPECT_EQ(Address::Parse(text)->ToString(), text);
  for (const char* text :
       {"", ":1", "host:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:-1", "::1:1", "[127.0.0.1]:1", "[::1:1", "1.2.3.4:1x"})
    EXPECT_THAT(Address::Parse(text),
                ::shoal::testing::FailsBecause("bad_address"))
        << text;
}

}  // namespace
}  // namespace shoal::dht
