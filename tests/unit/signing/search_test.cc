// The search for a target through delegations (T09): which roles are asked, in
// which order, and by whose keys.
#include <set>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::FakeClock;
using ::shoal::testing::TempDir;

class Search : public ::testing::Test {
 protected:
  Search() {
    // Without the fleet's own delegations.
    repository_.roles = {{"targets", Targets()}};
    repository_.newest_.clear();
  }
  void Publish() {
    repository_.PublishAll();
    UpdaterOptions options;
    options.directory = dir_.File("store");
    options.fleet_id = repository_.fleet_id();
    auto updater = Updater::Open(options, RealFileSystem(), clock_);
    ASSERT_OK(updater);
    updater_ = *std::move(updater);
    ASSERT_OK(updater_->Refresh(repository_));
    repository_.requests.clear();
  }
  absl::StatusOr<TargetFile> Find(const std::string& path) {
    return updater_->GetTarget(&repository_, path);
  }
  // The roles that were fetched since Publish.
  std::vector<std::string> Asked() {
    std::vector<std::string> roles;
    for (const std::string& request : repository_.requests)
      roles.push_back(request.substr(request.find('.') + 1));
    return roles;
  }

  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
  std::unique_ptr<Updater> updater_;
};

struct Edge {
  const char* parent;
  const char* role;
  bool terminating = false;
  const char* pattern = "*";
};
struct Graph {
  const char* name;
  std::vector<Edge> edges;
  std::vector<std::string> asked;
};

TEST_F(Search, T09_RolesAreAskedInPreOrder) {
  const Graph graphs[] = {
      {"none", {}, {}},
      {"a row", {{"targets", "a"}, {"targets", "b"}}, {"a", "b"}},
      {"depth before breadth",
       {{"targets", "a"}, {"targets", "b"}, {"a", "c"}, {"c", "d"}},
       {"a", "c", "d", "b"}},
      {"terminating ends everything but its own subtree",
       {{"targets", "a"},
        {"targets", "b"},
        {"a", "c", true},
        {"a", "d"},
        {"c", "e"}},
       {"a", "c", "e"}},
      {"terminating counts only where it matches",
       {{"targets", "a", true, "*.py"}, {"targets", "b"}},
       {"b"}},
      {"what comes before a terminating one is still asked",
       {{"targets", "a"}, {"targets", "b", true}, {"targets", "c"}},
       {"a", "b"}},
      {"a subtree is closed by its first pattern",
       {{"targets", "a", false, "*.py"}, {"a", "c"}, {"targets", "b"}},
       {"b"}},
      {"a loop ends",
       {{"targets", "a"}, {"a", "b"}, {"b", "c"}, {"c", "a"}, {"c", "b"}},
       {"a", "b", "c"}},
      {"two ways to one role",
       {{"targets", "a"}, {"targets", "b"}, {"a", "c"}, {"b", "c"}},
       {"a", "c", "b"}},
  };
  for (const Graph& graph : graphs) {
    repository_.roles = {{"targets", Targets()}};
    repository_.newest_.clear();
    // Snapshots may not lose roles: every graph is another client's.
    ASSERT_OK(RealFileSystem().Remove(dir_.File("store/timestamp.json")));
    for (const char* role : {"a", "b", "c", "d", "e"})
      ASSERT_OK(RealFileSystem().Remove(
          dir_.File(std::string("store/") + role + ".json")));
    for (const Edge& edge : graph.edges)
      repository_.Delegate(edge.parent, edge.role, {edge.pattern},
                           edge.terminating);
    Publish();
    EXPECT_THAT(Find("missing"), FailsBecause("unknown_target")) << graph.name;
    EXPECT_THAT(Asked(), ::testing::ElementsAreArray(graph.asked))
        << graph.name;
  }
}

TEST_F(Search, T09_TheFirstRoleThatNamesThePathWins) {
  repository_.Delegate("targets", "a", {"*"});
  repository_.Delegate("targets", "b", {"*"});
  repository_.Delegate("a", "c", {"x*"});
  repository_.AddTarget("b", "x1", "of b");
  repository_.AddTarget("c", "x1", "of c");
  repository_.AddTarget("c", "y1", "of c, which may not");
  repository_.AddTarget("b", "y1", "of b!");
  Publish();
  ASSERT_OK_AND_ASSIGN(const TargetFile x, Find("x1"));
  EXPECT_EQ(x.sha256, crypto::Sha256Digest("of c"));
  ASSERT_OK_AND_ASSIGN(const TargetFile y, Find("y1"));
  EXPECT_EQ(y.sha256, crypto::Sha256Digest("of b!"));
}

TEST_F(Search, T09_ACachedRoleIsJudgedByWhoDelegatesNow) {
  repository_.Delegate("targets", "a", {"a/*"});
  repository_.Delegate("targets", "b", {"b/*"});
  repository_.Delegate("a", "shared", {"a/*"});
  // b means another key by that name.
  repository_.Delegate("b", "shared", {"b/*"}, false, "shared-of-b");
  repository_.AddTarget("shared", "a/x", "right");
  repository_.AddTarget("shared", "b/x", "wrong");
  Publish();
  EXPECT_OK(Find("a/x"));
  EXPECT_THAT(Find("b/x"), FailsBecause("bad_signature"));
  // Neither order nor a look-up in between changes that.
  EXPECT_OK(Find("a/x"));
  EXPECT_THAT(Find("b/x"), FailsBecause("bad_signature"));
}

TEST_F(Search, T09_ATakenKeyDoesNotLiveOnInTheStore) {
  repository_.Delegate("targets", "a", {"*"});
  repository_.AddTarget("a", "x", "old key");
  Publish();
  ASSERT_OK(Find("x"));
  // The same file under the same pin, but targets gives the role another key.
  Delegations& delegations = *repository_.roles["targets"].delegations;
  const Key fresh = repository_.public_key("a-2");
  delegations.keys = {{fresh.id, fresh}};
  delegations.roles[0].keys.key_ids = {fresh.id};
  repository_.PublishRole("targets");
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  ASSERT_OK(updater_->Refresh(repository_));
  EXPECT_THAT(Find("x"), FailsBecause("bad_signature"));
}

TEST_F(Search, T09_ThresholdsOfDelegationsCount) {
  repository_.Delegate("targets", "a", {"*"});
  repository_.AddTarget("a", "x", "x");
  Delegations& delegations = *repository_.roles["targets"].delegations;
  const Key second = repository_.public_key("a-2");
  delegations.keys.emplace(second.id, second);
  delegations.roles[0].keys = {
      {delegations.roles[0].keys.key_ids[0], second.id}, 2};
  Publish();
  EXPECT_THAT(Find("x"), FailsBecause("bad_signature"));
}

TEST_F(Search, T03_ARoleThatTheSnapshotLacksIsNotFetched) {
  repository_.Delegate("targets", "a", {"*"});
  repository_.PublishAll();
  repository_.newest_.erase("a");
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  repository_.roles.erase("a");
  Publish();
  EXPECT_THAT(Find("x"), FailsBecause("metadata_missing"));
  EXPECT_TRUE(repository_.requests.empty());
}

TEST_F(Search, T02_ASearchThroughEndlessDelegationsIsCut) {
  std::string parent = "targets";
  for (int i = 0; i < 40; ++i) {
    const std::string role = "r" + std::to_string(i);
    repository_.Delegate(parent, role, {"*"});
    parent = role;
  }
  repository_.AddTarget("r31", "near", "32 roles deep");
  repository_.AddTarget("r32", "far", "33 roles deep");
  Publish();
  EXPECT_OK(Find("near"));
  EXPECT_THAT(Find("far"), Fails(absl::StatusCode::kResourceExhausted,
                                 "too_many_delegations"));
}

TEST_F(Search, T05_AnExpiredDelegatedRoleSaysNothing) {
  repository_.Delegate("targets", "a", {"*"});
  repository_.AddTarget("a", "x", "x");
  repository_.PublishAll();
  repository_.expires = clock_.WallNow() - absl::Hours(1);
  repository_.PublishRole("a");
  repository_.expires = clock_.WallNow() + absl::Hours(1);
  repository_.PublishRole("targets");
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  UpdaterOptions options;
  options.directory = dir_.File("store");
  options.fleet_id = repository_.fleet_id();
  ASSERT_OK_AND_ASSIGN(updater_,
                       Updater::Open(options, RealFileSystem(), clock_));
  ASSERT_OK(updater_->Refresh(repository_));
  EXPECT_THAT(Find("x"), FailsBecause("expired_metadata"));
  EXPECT_FALSE(RealFileSystem().Exists(dir_.File("store/a.json")));
}

TEST_F(Search, T09_SuccinctBinsDivideAllPaths) {
  for (const uint32_t bits : {1u, 3u, 4u, 5u, 9u, 32u}) {
    const SuccinctRoles bins{{{"k"}, 1}, bits, "bin"};
    Delegations delegations;
    delegations.succinct = bins;
    for (int i = 0; i < 200; ++i) {
      const std::string path = "path/" + std::to_string(i);
      const auto roles = RolesFor(delegations, path);
      ASSERT_EQ(roles.size(), 1u);
      // The bin may speak for it, by the same rule as any other role,…
      EXPECT_TRUE(DelegationMatches(roles[0], path)) << roles[0].name;
      EXPECT_TRUE(roles[0].terminating);
      // …and is found by its name.
      const auto found = FindDelegation(delegations, roles[0].name);
      ASSERT_TRUE(found.has_value()) << roles[0].name;
      EXPECT_EQ(found->path_hash_prefixes, roles[0].path_hash_prefixes);
    }
    const size_t digits = (bits + 3) / 4;
    for (const std::string& name :
         {std::string("bin"), std::string("bin-"),
          "bin-" + std::string(digits, 'g'),
          "bin-" + std::string(digits + 1, '0'),
          "nib-" + std::string(digits, '0'), "bin-" + std::string(digits, 'F')})
      EXPECT_FALSE(FindDelegation(delegations, name)) << name;
  }
  // Every bin of a small number, once.
  Delegations delegations;
  delegations.succinct = SuccinctRoles{{{"k"}, 1}, 5, "bin"};
  std::set<std::string> prefixes;
  for (uint32_t index = 0; index < 32; ++index) {
    const DelegatedRole bin = SuccinctBin(*delegations.succinct, index);
    EXPECT_EQ(bin.path_hash_prefixes.size(), 8u);
    prefixes.insert(bin.path_hash_prefixes.begin(),
                    bin.path_hash_prefixes.end());
  }
  EXPECT_EQ(prefixes.size(), 256u);
}

// TAP 15's own example of a name, and one worked out by hand: SHA-256("alpha")
// begins with 8ed3, 1000'1110'1101….
TEST_F(Search, SuccinctBinsHaveTheNamesThatOthersExpect) {
  ASSERT_EQ(HexEncode(crypto::Sha256Digest("alpha")).substr(0, 4), "8ed3");
  Delegations delegations;
  delegations.succinct = SuccinctRoles{{{"k"}, 1}, 8, "alice.hbd"};
  EXPECT_EQ(RolesFor(delegations, "alpha")[0].name, "alice.hbd-8e");
  delegations.succinct->bit_length = 3;
  EXPECT_EQ(RolesFor(delegations, "alpha")[0].name, "alice.hbd-4");
  delegations.succinct->bit_length = 14;
  EXPECT_EQ(RolesFor(delegations, "alpha")[0].name, "alice.hbd-23b4");
}

TEST_F(Search, T09_ATargetIsFoundInItsBinOnly) {
  const Key key = repository_.public_key("bins");
  Delegations& delegations = repository_.roles["targets"].delegations.emplace();
  delegations.keys = {{key.id, key}};
  delegations.succinct = SuccinctRoles{{{key.id}, 1}, 2, "bin"};
  for (uint32_t i = 0; i < 4; ++i) {
    const std::string bin = SuccinctBin(*delegations.succinct, i).name;
    repository_.roles[bin];
    repository_.signer[bin] = "bins";
  }
  // "alpha" belongs into bin 2 (8ed3…); bin-1 says so too, and is not asked.
  repository_.AddTarget("bin-1", "alpha", "elsewhere");
  Publish();
  EXPECT_THAT(Find("alpha"), FailsBecause("unknown_target"));
  EXPECT_THAT(Asked(), ::testing::ElementsAre("bin-2"));
  EXPECT_TRUE(updater_->TargetsOf(&repository_, "bin-1").value().empty());
  repository_.AddTarget("bin-2", "alpha", "here");
  Publish();
  EXPECT_OK(Find("alpha"));
  EXPECT_EQ(updater_->TargetsOf(&repository_, "bin-2").value().size(), 1u);
}

TEST_F(Search, T09_HashPrefixesDecide) {
  repository_.Delegate("targets", "low", {});
  repository_.Delegate("targets", "high", {});
  auto& roles = repository_.roles["targets"].delegations->roles;
  roles[0].path_hash_prefixes = {"0", "1", "2", "3", "4", "5", "6", "7"};
  roles[1].path_hash_prefixes = {"8", "9", "a", "b", "c", "d", "e", "f"};
  repository_.AddTarget("low", "alpha", "wrong bin");
  repository_.AddTarget("high", "alpha", "right bin");
  Publish();
  ASSERT_OK_AND_ASSIGN(const TargetFile target, Find("alpha"));
  EXPECT_EQ(target.sha256, crypto::Sha256Digest("right bin"));
  EXPECT_THAT(Asked(), ::testing::ElementsAre("high"));
}

TEST(Paths, T09_SetsInPatterns) {
  const std::tuple<const char*, const char*, bool> cases[] = {
      {"[abc].txt", "b.txt", true},
      {"[abc].txt", "d.txt", false},
      {"[a-c]x", "bx", true},
      {"[a-c]x", "-x", false},
      {"[!a-c]x", "dx", true},
      {"[^a-c]x", "ax", false},
      {"[]]x", "]x", true},
      {"[!]]x", "ax", true},
      {"[a-]x", "-x", true},
      {"a[!b]c", "a/c", false},
      {"a[/]c", "a/c", false},
      // Pattern and path are split at '/' first: no set goes beyond a segment.
      {"[a/b]c", "ac", false},
      {"[a/b]c", "bc", false},
      {"[a/b]c", "[a/b]c", true},
      {"a[/]c", "a[/]c", true},
      {"x[+-/]y", "x,y", false},
      {"[!a/b]", "c", false},
      {"[!a/b]", "[!a/b]", true},
      {"[a/[bc]", "[a/c", true},
      {"[abc", "[abc", true},
      {"[abc", "a", false},
      {"v[0-9]*/*", "v12/x", true},
      {"*[0-9]", "abc7", true},
      {"*[0-9]", "abc", false},
      {"foo-?.tgz", "foo-1.tgz", true},
      {"foo-?.tgz", "foo-10.tgz", false},
      {"README.md", "README.MD", false},
      {"*", "", true}};
  for (const auto& [pattern, path, matches] : cases)
    EXPECT_EQ(PathMatches(pattern, path), matches) << pattern << " " << path;
  // Hostile ones cost their product, not their power.
  std::string pattern;
  for (int i = 0; i < 2000; ++i) pattern += "*[!b]";
  EXPECT_FALSE(PathMatches(pattern + "c", std::string(4000, 'a')));
}

}  // namespace
}  // namespace shoal::signing
