#include "common/files.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::FakeClock;
using ::shoal::testing::TempDir;

class Delegation : public ::testing::Test {
 protected:
  void Refresh() {
    UpdaterOptions options;
    options.directory = dir_.File("store");
    options.fleet_id = repository_.fleet_id();
    auto updater = Updater::Open(options, RealFileSystem(), clock_);
    ASSERT_OK(updater);
    updater_ = *std::move(updater);
    ASSERT_OK(updater_->Refresh(repository_));
  }
  std::vector<std::string> PathsOf(const std::string& role) {
    std::vector<std::string> paths;
    auto targets = updater_->TargetsOf(&repository_, role);
    EXPECT_OK(targets);
    if (targets.ok())
      for (const TargetFile& target : *targets) paths.push_back(target.path);
    return paths;
  }
  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
  std::unique_ptr<Updater> updater_;
};

TEST_F(Delegation, T09_ARoleSpeaksOnlyForItsPaths) {
  repository_.AddTarget("fw-a", "fw/b/1/image", "foreign");
  repository_.AddTarget("fw-a", "fw/a/1/image", "own");
  repository_.AddTarget("director", "fw/a/2/image", "stolen plane");
  repository_.AddTarget("director", "policy/access.json", "{}");
  repository_.AddTarget("director", "director/x/y/z", "own");
  repository_.PublishAll();
  Refresh();
  EXPECT_OK(updater_->GetTarget(&repository_, "fw/a/1/image"));
  EXPECT_OK(updater_->GetTarget(&repository_, "director/x/y/z"));
  for (const char* path :
       {"fw/b/1/image", "fw/a/2/image", "policy/access.json"})
    EXPECT_THAT(updater_->GetTarget(&repository_, path),
                FailsBecause("unknown_target"))
        << path;
  EXPECT_THAT(PathsOf("fw-a"), ::testing::ElementsAre("fw/a/1/image"));
  EXPECT_THAT(PathsOf("director"), ::testing::ElementsAre("director/x/y/z"));
}

TEST_F(Delegation, T09_TerminatingEndsTheSearch) {
  // A later role may list the same paths; after a terminating one nobody asks.
  DelegatedRole& director =
      repository_.roles["targets"].delegations->roles.back();
  director.paths.push_back("fw/*/*/*");
  repository_.AddTarget("director", "fw/a/9/image", "stolen plane");
  repository_.PublishAll();
  Refresh();
  EXPECT_THAT(updater_->GetTarget(&repository_, "fw/a/9/image"),
              FailsBecause("unknown_target"));
  EXPECT_TRUE(PathsOf("director").empty());
}

TEST_F(Delegation, NestedRolesAreFoundAndBounded) {
  repository_.AddTarget("director-a", "director/a/rollout/r1", "r1");
  repository_.AddTarget("director-a", "director/b/rollout/r1", "foreign");
  repository_.PublishAll();
  Refresh();
  EXPECT_OK(updater_->GetTarget(&repository_, "director/a/rollout/r1"));
  EXPECT_THAT(updater_->GetTarget(&repository_, "director/b/rollout/r1"),
              FailsBecause("unknown_target"));
  EXPECT_THAT(PathsOf("director-a"),
              ::testing::ElementsAre("director/a/rollout/r1"));
  EXPECT_THAT(updater_->TargetsOf(&repository_, "director-z"),
              FailsBecause("unknown_role"));
  ASSERT_OK_AND_ASSIGN(const auto keys,
                       updater_->DelegationKeys(&repository_, "director-a"));
  EXPECT_THAT(
      keys, ::testing::ElementsAre(repository_.key("director-a").public_key()));
}

TEST_F(Delegation, T09_ALoopOfDelegationsEnds) {
  Targets& nested = repository_.roles["director-a"];
  nested.delegations = repository_.roles["director"].delegations;
  const Key director = repository_.public_key("director");
  nested.delegations->keys.emplace(director.id, director);
  nested.delegations->roles.push_back(
      {"director", {{director.id}, 1}, false, {"director/a/*/*"}, {}});
  repository_.PublishAll();
  Refresh();
  EXPECT_THAT(updater_->GetTarget(&repository_, "director/a/x/y"),
              FailsBecause("unknown_target"));
}

TEST_F(Delegation, T01_ADelegatedRoleNeedsItsOwnKey) {
  repository_.signer["fw-a"] = "director";
  repository_.AddTarget("fw-a", "fw/a/1/image", "stolen plane");
  repository_.PublishAll();
  Refresh();
  EXPECT_THAT(updater_->GetTarget(&repository_, "fw/a/1/image"),
              FailsBecause("bad_signature"));
}

// Even a targets.json that lets the director answer first, should custodians
// ever sign one, makes no policy of an online key's word.
TEST_F(Delegation, T09_T53_ThePolicyIsTheWordOfItsRoleAlone) {
  repository_.AddTarget("policy", kPolicyPath, "{}");
  repository_.PublishAll();
  Refresh();
  ASSERT_OK(BuildFleetTrust(*updater_, &repository_));
  std::vector<DelegatedRole>& roles =
      repository_.roles["targets"].delegations->roles;
  ASSERT_EQ(roles.back().name, "director");
  const std::vector<DelegatedRole> honest = roles;
  repository_.AddTarget("director", kPolicyPath, R"({"version":"9"})");
  const auto expect_refused = [&] {
    repository_.PublishAll();
    ASSERT_OK(updater_->Refresh(repository_));
    EXPECT_OK(updater_->GetTarget(&repository_, kPolicyPath));
    EXPECT_THAT(updater_->GetTargetOf(&repository_, "policy", kPolicyPath),
                FailsBecause("wrong_role"));
    EXPECT_THAT(BuildFleetTrust(*updater_, &repository_),
                FailsBecause("wrong_role"));
    // From the store as well.
    EXPECT_THAT(BuildFleetTrust(*updater_, nullptr),
                FailsBecause("wrong_role"));
  };
  DelegatedRole first = roles.back();
  first.paths.clear();
  first.path_hash_prefixes = {""};
  first.terminating = true;
  roles.pop_back();
  roles.insert(roles.begin(), first);
  expect_refused();
  roles.front().path_hash_prefixes.clear();
  roles.front().paths = {"*/*"};
  roles.front().terminating = false;
  expect_refused();
  // Behind the policy, which is terminating, it is never asked.
  roles = honest;
  roles.back().paths = {"*/*"};
  repository_.PublishAll();
  ASSERT_OK(updater_->Refresh(repository_));
  ASSERT_OK_AND_ASSIGN(const FleetTrust trust,
                       BuildFleetTrust(*updater_, &repository_));
  EXPECT_EQ(trust.policy_json, "{}");
}

TEST_F(Delegation, WorksFromTheStoreWithoutASource) {
  repository_.AddTarget("policy", kPolicyPath, "{}");
  repository_.PublishAll();
  Refresh();
  ASSERT_OK(BuildFleetTrust(*updater_, &repository_));
  UpdaterOptions options;
  options.directory = dir_.File("store");
  options.fleet_id = repository_.fleet_id();
  ASSERT_OK_AND_ASSIGN(auto offline,
                       Updater::Open(options, RealFileSystem(), clock_));
  ASSERT_OK(offline->UseStored());
  ASSERT_OK_AND_ASSIGN(const FleetTrust trust,
                       BuildFleetTrust(*offline, nullptr));
  EXPECT_EQ(trust.policy_json, "{}");
}

TEST_F(Delegation, FleetTrustHoldsKeysAndPolicy) {
  const std::string device_ca = repository_.key("device_ca").public_key();
  repository_.AddTarget("policy", kPolicyPath,
                        R"({"version":"1","revocations":{"nodeKeys":[")" +
                            std::string(64, 'a') + R"("]}})");
  repository_.PublishAll();
  Refresh();
  ASSERT_OK_AND_ASSIGN(const FleetTrust trust,
                       BuildFleetTrust(*updater_, &repository_));
  EXPECT_EQ(trust.fleet_id, repository_.fleet_id());
  EXPECT_THAT(trust.device_ca_keys, ::testing::ElementsAre(device_ca));
  EXPECT_THAT(trust.director_keys,
              ::testing::ElementsAre(repository_.key("director").public_key()));
  EXPECT_THAT(trust.revoked_node_keys,
              ::testing::ElementsAre(std::string(32, '\xaa')));
  EXPECT_EQ(trust.telemetry_key, std::string(32, 'T'));
  // A policy that its schema does not know is an error, never half a policy.
  repository_.AddTarget("policy", kPolicyPath, R"({"version":1,"allow":"*"})");
  repository_.PublishAll();
  Refresh();
  EXPECT_THAT(BuildFleetTrust(*updater_, &repository_),
              FailsBecause("bad_policy"));
}

}  // namespace
}  // namespace shoal::signing
