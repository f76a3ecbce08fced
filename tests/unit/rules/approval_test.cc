// Approvals that only operators' keys can make.
#include "rules/approval.h"

#include <gtest/gtest.h>

#include <functional>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
#include "rules/access.h"
#include "tests/support/status_matchers.h"

namespace shoal::rules {
namespace {

class ApprovalTest : public ::testing::Test {
 protected:
  ApprovalTest() {
    document_.set_id("spring");
    document_.set_version(3);
    document_.set_fleet(std::string(32, 'f'));
    document_.set_device_type("gateway");
    document_.mutable_release()->set_sha256(std::string(32, 'i'));
    document_.mutable_release()->set_counter(7);
    document_.mutable_selector()->set_all(true);
    document_.set_expires(1'900'000'000);
    for (const char* name : {"canary", "half", "all"}) {
      auto* phase = document_.add_phases();
      phase->set_name(name);
      phase->set_threshold(uint64_t{1} << (30 + document_.phases_size() - 1));
    }
    policy_.set_version(1);
    AddOperator("ann", ann_, "approver");
    AddOperator("bob", bob_, "approver");
    AddOperator("eve", eve_, "reader");
    auto* rule = policy_.add_rules();
    rule->set_name("approve");
    rule->add_principals("role:approver");
    rule->add_actions("rollout.approve");
  }
  void AddOperator(const char* name, const crypto::SigningKey& key,
                   const char* role) {
    auto* op = policy_.add_operators();
    op->set_name(name);
    op->set_public_key(HexEncode(key.public_key()));
    op->add_roles(role);
  }
  void Approve(const crypto::SigningKey& key, uint32_t phase) {
    auto* approval = document_.add_approvals();
    approval->set_phase(phase);
    approval->set_operator_key(key.public_key());
    approval->set_signature(key.Sign(ApprovalInput(document_, phase)));
  }
  rollout::v1::RolloutDocument document_;
  policy::v1::AccessPolicy policy_;
  crypto::SigningKey ann_ = crypto::SigningKey::Generate();
  crypto::SigningKey bob_ = crypto::SigningKey::Generate();
  crypto::SigningKey eve_ = crypto::SigningKey::Generate();
};

using Names = std::set<std::string>;

TEST_F(ApprovalTest, CountsDifferentOperatorsForAPhaseAndAllBefore) {
  Approve(ann_, 1);
  Approve(ann_, 1);
  EXPECT_EQ(SignedApprovers(document_, 0, policy_), Names{"ann"});
  EXPECT_EQ(SignedApprovers(document_, 1, policy_), Names{"ann"});
  EXPECT_EQ(SignedApprovers(document_, 2, policy_), Names{});
  Approve(bob_, 2);
  EXPECT_EQ(SignedApprovers(document_, 1, policy_), (Names{"ann", "bob"}));
  // What changes while the rollout is at work takes no approval away.
  document_.set_version(9);
  document_.set_open_phase(1);
  document_.set_opened_at(5);
  document_.add_lifted_halts(std::string(32, 'h'));
  document_.mutable_release()->set_delta_index_target("director/x");
  EXPECT_EQ(SignedApprovers(document_, 1, policy_), (Names{"ann", "bob"}));
}

// T20: whoever holds the plane's keys writes the document as he likes.
TEST_F(ApprovalTest, T20_AStolenPlaneCannotForgeOrMoveAnApproval) {
  // Its own key under an operator's name, no signature, another's signature.
  const crypto::SigningKey plane = crypto::SigningKey::Generate();
  Approve(plane, 2);
  Approve(eve_, 2);  // an operator without the right
  auto* forged = document_.add_approvals();
  forged->set_phase(2);
  forged->set_operator_key(ann_.public_key());
  forged->set_signature(plane.Sign(ApprovalInput(document_, 2)));
  EXPECT_EQ(SignedApprovers(document_, 0, policy_), Names{});
  // A true approval of this document, carried into another.
  Approve(ann_, 1);
  ASSERT_EQ(SignedApprovers(document_, 1, policy_), Names{"ann"});
  using Change = std::function<void(rollout::v1::RolloutDocument&)>;
  for (const Change& change : std::vector<Change>{
           [](auto& d) { d.set_id("summer"); },
           [](auto& d) { d.set_fleet(std::string(32, 'g')); },
           [](auto& d) { d.set_device_type("kiosk"); },
           [](auto& d) {
             d.mutable_release()->set_sha256(std::string(32, 'x'));
           },
           [](auto& d) { d.mutable_release()->set_counter(8); },
           [](auto& d) { d.add_previous()->set_sha256(std::string(32, 'p')); },
           [](auto& d) { d.set_only_running_sha256(std::string(32, 'o')); },
           [](auto& d) { d.set_expires(2'000'000'000); },
           [](auto& d) { d.mutable_selector()->add_groups("lab"); },
           [](auto& d) {
             (*d.mutable_selector()->mutable_labels())["a"] = "b";
           },
           [](auto& d) { d.mutable_phases(0)->set_threshold(1); },
           [](auto& d) { d.mutable_phases(0)->set_name("everybody"); },
           [](auto& d) { d.mutable_phases(0)->add_groups("all-of-them"); },
           [](auto& d) { (*d.mutable_phases(0)->mutable_labels())["a"] = "b"; },
           [](auto& d) {
             d.mutable_phases(1)->mutable_gate()->set_manual(true);
           },
           [](auto& d) { d.mutable_phases()->RemoveLast(); },
           // The same approval said to be for a later phase.
           [](auto& d) { d.mutable_approvals(3)->set_phase(2); }}) {
    rollout::v1::RolloutDocument other = document_;
    change(other);
    EXPECT_EQ(SignedApprovers(other, 1, policy_), Names{});
  }
  // Its operator lost the right, or the key.
  policy_.mutable_revocations()->add_operator_keys(
      HexEncode(ann_.public_key()));
  EXPECT_EQ(SignedApprovers(document_, 1, policy_), Names{});
}

TEST_F(ApprovalTest, ThePolicyAsksForThemByTheRuleThatAllows) {
  auto* rule = policy_.add_rules();
  rule->set_name("strict");
  rule->add_principals("director");
  rule->add_actions("update.install");
  rule->mutable_devices()->set_all(true);
  rule->mutable_conditions()->set_approvals(2);
  ASSERT_OK(ValidatePolicy(policy_));
  const DeviceFacts device{std::string(16, 'd'), "gateway", {}};
  Principal director;
  director.director = true;
  EXPECT_EQ(
      Evaluate(policy_, director, "update.install", &device, {}).approvals, 2u);
  // For the laboratory another rule asks for less.
  rule = policy_.add_rules();
  rule->set_name("laboratory");
  rule->add_principals("director");
  rule->add_actions("update.install");
  rule->mutable_devices()->add_device_ids(HexEncode(device.id));
  const Decision decision =
      Evaluate(policy_, director, "update.install", &device, {});
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.approvals, 0u);
  EXPECT_EQ(decision.rule, "laboratory");
  policy_.mutable_rules(1)->mutable_conditions()->set_approvals(17);
  EXPECT_EQ(ReasonOf(ValidatePolicy(policy_)), "bad_policy");
}

}  // namespace
}  // namespace shoal::rules
