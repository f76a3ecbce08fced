#include "rules/access.h"

#include <gtest/gtest.h>

#include <string>

#include "common/bytes.h"
#include "common/files.h"
#include "tests/support/source_path.h"
#include "tests/support/status_matchers.h"

namespace shoal::rules {
namespace {

using policy::v1::AccessPolicy;
using ::shoal::testing::FailsBecause;

constexpr char kPolicy[] = R"({
  "version": 3,
  "operators": [
    {"name": "alice", "public_key":
     "1111111111111111111111111111111111111111111111111111111111111111",
     "tls_spki_sha256":
     "2222222222222222222222222222222222222222222222222222222222222222",
     "roles": ["admin"]},
    {"name": "bob", "public_key":
     "3333333333333333333333333333333333333333333333333333333333333333",
     "roles": ["support"]}
  ],
  "rules": [
    {"name": "plane", "principals": ["role:admin"],
     "actions": ["release.create", "rollout.*"]},
    {"name": "update", "principals": ["director"],
     "actions": ["update.install"], "devices": {"all": true},
     "conditions": {"windows": [{"from_minute": 0, "to_minute": 60}]}},
    {"name": "logs", "principals": ["role:support"],
     "actions": ["command.run:logs"], "devices": {"labels": {"ring": "lab"}}},
    {"name": "ask", "principals": ["role:admin"],
     "actions": ["command.run:*"], "devices": {"all": true},
     "conditions": {"consent": true}}
  ],
  "device_labels": [
    {"device_id": "01010101010101010101010101010101",
     "labels": {"ring": "lab"}}],
  "revocations": {}
})";

class AccessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto policy = ParsePolicy(kPolicy);
    ASSERT_OK(policy);
    policy_ = *policy;
    alice_ = PrincipalOf(policy_.operators(0));
    bob_ = PrincipalOf(policy_.operators(1));
    lab_ = FactsFromPolicy(policy_, std::string(16, '\x01'), "gateway");
    field_ = FactsFromPolicy(policy_, std::string(16, '\x02'), "gateway");
  }
  AccessPolicy policy_;
  Principal alice_, bob_;
  DeviceFacts lab_, field_;
};

TEST_F(AccessTest, T53_DefaultIsDeny) {
  EXPECT_FALSE(Evaluate(policy_, bob_, "release.create", nullptr, {}).allowed);
  EXPECT_FALSE(
      Evaluate(policy_, bob_, "command.run:reboot", &lab_, {}).allowed);
  EXPECT_FALSE(Evaluate(AccessPolicy(), alice_, "x", nullptr, {}).allowed);
}

TEST_F(AccessTest, RulesAboutThePlaneSayNothingAboutDevices) {
  EXPECT_TRUE(Evaluate(policy_, alice_, "rollout.halt", nullptr, {}).allowed);
  EXPECT_FALSE(Evaluate(policy_, alice_, "rollout.halt", &lab_, {}).allowed);
}

TEST_F(AccessTest, LabelsComeFromThePolicyAlone) {
  EXPECT_TRUE(Evaluate(policy_, bob_, "command.run:logs", &lab_, {}).allowed);
  EXPECT_FALSE(
      Evaluate(policy_, bob_, "command.run:logs", &field_, {}).allowed);
}

TEST_F(AccessTest, WindowsAndConsentAreConditions) {
  Principal director;
  director.director = true;
  EXPECT_TRUE(
      Evaluate(policy_, director, "update.install", &field_, {1, 30}).allowed);
  EXPECT_FALSE(
      Evaluate(policy_, director, "update.install", &field_, {1, 61}).allowed);
  const Decision decision =
      Evaluate(policy_, alice_, "command.run:reboot", &field_, {});
  EXPECT_TRUE(decision.allowed);
  EXPECT_TRUE(decision.needs_consent);
  EXPECT_EQ(decision.rule, "ask");
}

TEST_F(AccessTest, TheDirectorIsNoOperator) {
  Principal director;
  director.director = true;
  EXPECT_FALSE(
      Evaluate(policy_, director, "command.run:logs", &lab_, {}).allowed);
  EXPECT_FALSE(
      Evaluate(policy_, director, "release.create", nullptr, {}).allowed);
}

TEST_F(AccessTest, T52_RevokedOperatorIsNobody) {
  const std::string key(32, '\x11'), tls(32, '\x22');
  ASSERT_NE(FindOperatorByKey(policy_, key), nullptr);
  ASSERT_NE(FindOperatorByTls(policy_, tls), nullptr);
  policy_.mutable_revocations()->add_operator_keys(HexEncode(key));
  EXPECT_EQ(FindOperatorByKey(policy_, key), nullptr);
  EXPECT_EQ(FindOperatorByTls(policy_, tls), nullptr);
}

TEST(Policy, TheExampleIsValid) {
  ASSERT_OK_AND_ASSIGN(
      const std::string json,
      RealFileSystem().Read(
          testing::SourcePath("deploy/config/access-policy.json"), 65536));
  ASSERT_OK_AND_ASSIGN(const AccessPolicy policy, ParsePolicy(json));
  Principal director;
  director.director = true;
  const DeviceFacts device = FactsFromPolicy(policy, std::string(16, 'd'), "t");
  EXPECT_TRUE(
      Evaluate(policy, director, "update.install", &device, {1, 61}).allowed);
  EXPECT_FALSE(
      Evaluate(policy, director, "update.install", &device, {1, 301}).allowed);
}

TEST(Policy, RefusesWhatIsNotAPolicy) {
  EXPECT_THAT(ParsePolicy("{"), FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy("{}"), FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy(R"({"version": 1, "rulez": []})"),
              FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy(std::string(70000, ' ')), FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy(R"({"version":1,"rules":[{"name":"r",
      "principals":["everybody"],"actions":["a"]}]})"),
              FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy(R"({"version":1,"rules":[{"name":"r",
      "principals":["director"],"actions":["*a*"]}]})"),
              FailsBecause("bad_policy"));
  EXPECT_THAT(ParsePolicy(R"({"version":1,"operators":[{"name":"a",
      "public_key":"12"}]})"),
              FailsBecause("bad_policy"));
  // The plane makes groups.
  EXPECT_THAT(ParsePolicy(R"({"version":1,"rules":[{"name":"r",
      "principals":["director"],"actions":["update.install"],
      "devices":{"groups":["lab"]}}]})"),
              FailsBecause("bad_policy"));
}

}  // namespace
}  // namespace shoal::rules
