// A device whose pushes are all lost: what it would have been told lies in the
// network, and it looks there at every poll. The agent is in this process, so
// that its listens can be taken away.
#include "agent/link/agent.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "tests/integration/agent/test_plane.h"
#include "tests/support/device.h"

namespace shoal::testing {
namespace {

// More than an agent ever listens at.
constexpr dht::ListenToken kTokens = 64;

class LostPushTest : public ::testing::Test {
 protected:
  // Paired by the real program, then taken over by an agent of this process.
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(plane_, TestPlane::Start(dir_));
    policy::v1::Rule rule;
    rule.set_name("halt");
    rule.add_principals("operator:" + plane_->fleet().admin().name);
    rule.add_actions("rollout.halt");
    ASSERT_OK(plane_->AllowInstall({rule}));
    ASSERT_OK(plane_->Publish());
    ASSERT_OK_AND_ASSIGN(const std::string ticket, plane_->Ticket());
    WriteText(dir_.File("ticket"), ticket);
    WriteText(dir_.File("factory"), std::string(50'000, 'f'));
    Device device(dir_, "device");
    ASSERT_OK(device.Init({"--image", dir_.File("factory"), "--ticket-file",
                           dir_.File("ticket")}));
    device.Replace("[network]\n", "[network]\npoll_interval = \"500ms\"\n");
    device.PowerOn();
    ASSERT_OK(plane_->Grant(plane_->fleet().director_key()));
    ASSERT_OK(device.process().WaitForLog("event=trust_changed"));
    device.PowerOff();
    ASSERT_OK_AND_ASSIGN(const agent::AgentConfig config,
                         agent::AgentConfig::Load(device.config()));
    // The program ends a moment after its loader.
    ASSERT_OK(WaitFor("the data directory is free", [&] {
      auto agent =
          agent::Agent::Create(config, RealFileSystem(), SystemClock());
      if (agent.ok()) agent_ = *std::move(agent);
      return agent_ != nullptr;
    }));
    ASSERT_OK(agent_->Begin());
    ASSERT_NE(agent_->link(), nullptr);
    ASSERT_TRUE(Turns("a connection", [&] {
      return agent_->link()->network().Stats().connected_nodes > 0;
    }));
  }
  // Turns of the control loop until `done` or a deadline.
  bool Turns(const char* what, const std::function<bool()>& done) {
    const absl::Status status = WaitFor(
        what,
        [&] {
          EXPECT_OK(agent_->Step());
          return done();
        },
        absl::Seconds(20));
    EXPECT_OK(status);
    return status.ok();
  }

  TempDir dir_;
  std::unique_ptr<TestPlane> plane_;
  std::unique_ptr<agent::Agent> agent_;
};

TEST_F(LostPushTest, T28_AHaltWhosePushIsLostIsSeenAtTheNextPoll) {
  for (dht::ListenToken token = 1; token < kTokens; ++token)
    agent_->link()->network().Cancel(token);
  records::v1::Halt halt;
  halt.set_rollout_id("r1");
  halt.set_counter(1);
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      plane_->fleet().OperatorRecord(
          plane_->fleet().admin(), records::v1::RECORD_KIND_HALT, "gateway", 1,
          halt.SerializeAsString(), absl::Hours(1)));
  ASSERT_OK(plane_->Store(record));
  ASSERT_TRUE(
      Turns("the halt", [&] { return !agent_->State().halts.empty(); }));
  EXPECT_EQ(agent_->State().halts.begin()->second.rollout_id, "r1");
}

TEST_F(LostPushTest, AnAssignmentWhosePushIsLostIsSeenAtTheNextPoll) {
  for (dht::ListenToken token = 1; token < kTokens; ++token)
    agent_->link()->network().Cancel(token);
  records::v1::Assignment assignment;
  assignment.set_device_id(plane_->device_id());
  assignment.set_version(7);
  assignment.set_device_type("gateway");
  ASSERT_OK_AND_ASSIGN(
      const std::string record,
      plane_->fleet().DirectorRecord(records::v1::RECORD_KIND_ASSIGNMENT,
                                     HexEncode(plane_->device_id()), 7,
                                     assignment.SerializeAsString()));
  ASSERT_OK(plane_->Store(record));
  EXPECT_TRUE(Turns("the assignment", [&] {
    return agent_->link()->assignment().version() == 7;
  }));
}

}  // namespace
}  // namespace shoal::testing
