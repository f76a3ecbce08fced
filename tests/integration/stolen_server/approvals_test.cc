// Where the access policy asks for approvals, whoever holds the plane's keys
// starts nothing: only operators' own keys make them.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "rules/approval.h"
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
  // (Cut off as it was, the plane may not have written the newest version out.)
  rollout::v1::RolloutDocument honest;
  for (const auto& file : std::filesystem::directory_iterator(
           dir_.File("plane/public/targets/director/gateway/rollout"))) {
    rollout::v1::RolloutDocument one;
    ASSERT_TRUE(one.ParseFromString(ReadText(file.path().string())));
    if (one.id() == "honest" && one.approvals_size() > 0) honest = one;
  }
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
      const auto known = journal.at("rollouts").find(document.id());
      return known != journal.at("rollouts").end() &&
             known->value("version", uint64_t{0}) == document.version() &&
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
