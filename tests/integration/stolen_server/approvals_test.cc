// Where the access policy asks for approvals, whoever holds the plane's keys
// starts nothing: only operators' own keys make them.
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "rules/approval.h"
#include "signing/verify/fetcher.h"
#include "tests/integration/stolen_server/stolen_server_fixture.h"

namespace shoal::testing {
namespace {

TEST_F(StolenServer, T20_NothingStartsWithoutTheOperatorsApproval) {
  // The honest rollout to 3.0 waited for ann, and went on when she had signed.
  ASSERT_NO_FATAL_FAILURE(TakeOver("", 1));
  const std::string ann =
      *HexDecode(nlohmann::json::parse(ReadText(dir_.File("ann/operator.json")))
                     .at("public_key")
                     .get<std::string>());
  // Her true approval of the honest rollout, out of the stolen store.
  const signing::Targets signed_by_director =
      thief_->Content("director-gateway");
  const auto target =
      signed_by_director.targets.find("director/gateway/rollout/honest");
  ASSERT_NE(target, signed_by_director.targets.end());
  ASSERT_OK_AND_ASSIGN(const std::string path,
                       signing::TargetFilePath(target->second));
  rollout::v1::RolloutDocument honest;
  ASSERT_TRUE(
      honest.ParseFromString(ReadText(dir_.File("plane/public/" + path))));
  ASSERT_EQ(honest.approvals_size(), 1);
  EXPECT_EQ(honest.approvals(0).operator_key(), ann);

  auto document = thief_->Rollout("fw/gateway/4.0/image");
  const auto waits = [&](const std::string& attack) {
    SCOPED_TRACE(attack);
    document.set_version(document.version() + 1);
    ASSERT_NO_FATAL_FAILURE(Roll(document));
    ASSERT_OK(WaitFor(attack + " to be waited for in vain", [&] {
      const auto journal = nlohmann::json::parse(
          ReadText(device().data() + "/state/journal.json"));
      return journal["rollouts"][document.id()].value("version", uint64_t{0}) ==
                 document.version() &&
             device().Status()["live"].value("waiting_reason", "") ==
                 "approvals_missing";
    }));
    EXPECT_TRUE(device().Idle());
    NothingHappened();
  };
  ASSERT_NO_FATAL_FAILURE(waits("a rollout that nobody approved"));
  *document.add_approvals() = honest.approvals(0);
  ASSERT_NO_FATAL_FAILURE(waits("an approval of another rollout"));
  auto* forged = document.add_approvals();
  forged->set_operator_key(ann);
  forged->set_signature(
      thief_->keys().director.Sign(rules::ApprovalInput(document, 0)));
  ASSERT_NO_FATAL_FAILURE(waits("one by the stolen key in ann's name"));
  forged->set_operator_key(thief_->keys().director.public_key());
  ASSERT_NO_FATAL_FAILURE(waits("one by the stolen key in its own"));
}

}  // namespace
}  // namespace shoal::testing
