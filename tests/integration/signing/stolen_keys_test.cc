// docs/operations/ceremony.md rehearsed: what to do when somebody else has a
// key.
#include "tests/integration/signing/ceremony_fixture.h"

namespace shoal::signing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StolenKeys : public Ceremony {
 protected:
  using Operators = std::vector<std::pair<std::string, char>>;
  // An access policy of these operators; keys are one digit over and over.
  void WritePolicy(int version, const Operators& operators,
                   const std::string& revoked = "") {
    std::string list;
    for (const auto& [name, digit] : operators)
      list += std::string(list.empty() ? "" : ",") + R"({"name":")" + name +
              R"(","publicKey":")" + std::string(64, digit) + R"("})";
    ASSERT_OK(fs_.WriteAtomic(
        dir_.File("access.json"),
        R"({"version":")" + std::to_string(version) + R"(","operators":[)" +
            list + R"(],"revocations":{"operatorKeys":[)" + revoked + "]}}"));
  }
  void SetPolicy(int version, const Operators& operators,
                 const std::string& keys, const std::string& revoked = "") {
    WritePolicy(version, operators, revoked);
    Must({"policy", "set", dir_.File("access.json"), "--repo", Repo(), "--keys",
          keys});
  }
  // What `inspect` says of the newest version of a role that is in force.
  std::string Newest(const std::string& role) {
    const auto path = [&](int version) {
      return Repo() + "/metadata/" + std::to_string(version) + "." + role +
             ".json";
    };
    int version = 1;
    while (fs_.Exists(path(version + 1))) ++version;
    return Must({"inspect", path(version)});
  }
  void AddImage(const std::string& bytes, const std::string& version,
                const std::vector<std::string>& more) {
    ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), bytes));
    std::vector<std::string> line = {"image",  "add",     "--repo",    Repo(),
                                     "--type", "gateway", "--version", version};
    line.insert(line.end(), more.begin(), more.end());
    line.push_back(dir_.File("image"));
    Must(line);
  }
};

TEST_F(Ceremony, T08_EachStolenKeyIsWorthNothingAfterwards) {
  Found();
  // Whoever stole eli's firmware key can't sign with what took its place.
  Must({"rotate", "fw-gateway", "--remove", "eli", "--add", Pub("fay"),
        "--repo", Repo(), "--keys", Keys("ann")});
  Sign("dora");
  Sign("fay");
  Must({"renew", "fw-gateway", "--repo", Repo()});
  EXPECT_THAT(TrySign("eli", "repo").output, HasSubstr("(not_enough_keys)"));
  Sign("dora");
  Sign("ben");
  DevicesFollow();
  // One root key is stolen: alone it signs nothing, and then it is gone.
  MakeKey("fay", "fay-root");
  Must({"rotate", "root", "--remove", "ben", "--add", Pub("fay", "fay-root"),
        "--repo", Repo(), "--keys", Keys("ben")});
  EXPECT_FALSE(fs_.Exists(Repo() + "/metadata/2.root.json"));
  Sign("ann");
  EXPECT_FALSE(fs_.Exists(Repo() + "/metadata/2.root.json"));
  Sign("cleo");
  EXPECT_TRUE(fs_.Exists(Repo() + "/metadata/2.root.json"));
  DevicesFollow();
  // The plane is stolen: every key that it held, in one go.
  std::string json = "{";
  for (const char* name : {"director", "snapshot", "timestamp", "device_ca",
                           "node_ca", "telemetry"}) {
    // The plane's new keys; here the office has them, to publish with.
    MakeKey("office", std::string("new-") + name);
    ASSERT_OK_AND_ASSIGN(
        const std::string pub,
        fs_.Read(Pub("office", std::string("new-") + name), 4096));
    const size_t at = pub.find("\"public\":\"") + 10;
    json += std::string(json.size() > 1 ? "," : "") + "\"" + name + "\":\"" +
            pub.substr(at, 64) + "\"";
  }
  ASSERT_OK(fs_.WriteAtomic(dir_.File("online.json"), json + "}"));
  const std::string proposed =
      Must({"rotate", "online", "--online", dir_.File("online.json"), "--repo",
            Repo(), "--keys", Keys("office")});
  for (const char* line :
       {"~ role snapshot: other keys", "~ role timestamp: other keys",
        "~ role director: other keys", "- device_ca", "+ node_ca",
        "- telemetry"})
    EXPECT_THAT(proposed, HasSubstr(line));
  Sign("ann");
  Sign("cleo");
  DevicesFollow();
  // Storage nodes' time keys come and go one at a time.
  Must({"rotate", "time", "--add", Pub("dora"), "--add", Pub("eli"), "--repo",
        Repo()});
  Sign("ann");
  const std::string gone =
      Must({"rotate", "time", "--remove", "eli", "--repo", Repo()});
  EXPECT_THAT(gone, HasSubstr("- time eli"));
  Sign("ann");
  DevicesFollow();
}

// The thief's signature counted until now; with the new key it counts no more.
TEST_F(StolenKeys, T08_AStolenPolicyKey) {
  Found();
  SetPolicy(1, {{"ann", 'a'}}, Keys("ann"));
  DevicesFollow();
  SetPolicy(2, {{"ann", 'a'}, {"thief", 'b'}}, Keys("ann"));
  DevicesFollow();

  // Targets names another key; the right policy goes above the thief's.
  Must({"rotate", "policy", "--add", Pub("cleo"), "--repo", Repo(), "--keys",
        Keys("ann")});
  Sign("cleo");
  WritePolicy(2, {{"ann", 'a'}});
  Refused({"policy", "set", dir_.File("access.json"), "--repo", Repo()},
          "rollback");
  SetPolicy(3, {{"ann", 'a'}}, Keys("cleo"));
  DevicesFollow();
  WritePolicy(4, {{"thief", 'b'}});
  Must({"policy", "set", dir_.File("access.json"), "--repo", Repo()});
  EXPECT_THAT(TrySign("ann", "repo").output, HasSubstr("(not_enough_keys)"));
}

// Two of three firmware keys: forged images are signed and stay so. The floor
// of a clean one above them is what keeps a device from going back to one.
TEST_F(StolenKeys, T01_T08_StolenFirmwareKeysAtTheThreshold) {
  Found();
  AddImage("evil", "9.0", {"--counter", "9"});
  Sign("dora");
  Sign("eli");
  DevicesFollow();
  Must({"rotate", "fw-gateway", "--remove", "dora", "--remove", "eli", "--add",
        Pub("fay"), "--add", Pub("cleo"), "--repo", Repo(), "--keys",
        Keys("ann")});
  Sign("fay");
  Sign("cleo");
  DevicesFollow();
  AddImage("clean", "10.0", {"--counter", "10", "--min-counter", "10"});
  Sign("fay");
  Sign("cleo");
  DevicesFollow();
  EXPECT_THAT(Newest("fw-gateway"), HasSubstr(R"("min_counter":10)"));
  // The thief's keys are worth nothing now, together neither.
  AddImage("evil again", "11.0", {"--counter", "11"});
  for (const char* thief : {"dora", "eli"})
    EXPECT_THAT(TrySign(thief, "repo").output, HasSubstr("(not_enough_keys)"));
}

// It names firmware keys of the thief's; root takes the role away from it, and
// the new targets key what the thief named.
TEST_F(StolenKeys, T08_AStolenTargetsKeyAtItsThreshold) {
  Found();
  Must({"rotate", "fw-gateway", "--remove", "ben", "--add", Pub("fay"),
        "--repo", Repo(), "--keys", Keys("ann")});
  EXPECT_THAT(Status(), HasSubstr("dora eli fay"));
  DevicesFollow();

  MakeKey("cleo", "cleo-targets");
  Must({"rotate", "targets", "--add", Pub("cleo", "cleo-targets"), "--repo",
        Repo(), "--keys", Keys("ben")});
  Sign("cleo");
  Must({"rotate", "fw-gateway", "--remove", "fay", "--add", Pub("ben"),
        "--repo", Repo(), "--keys", Keys("cleo")});
  EXPECT_THAT(Status(), HasSubstr("dora eli ben"));
  EXPECT_THAT(Newest("targets"), Not(HasSubstr("fay")));
  DevicesFollow();
  Must({"rotate", "fw-gateway", "--remove", "eli", "--add", Pub("fay"),
        "--repo", Repo()});
  EXPECT_THAT(TrySign("ann", "repo").output, HasSubstr("(not_enough_keys)"));
}

TEST_F(StolenKeys, T28_AStolenOperatorKeyIsRevokedInThePolicy) {
  Found();
  SetPolicy(1, {{"ann", 'a'}, {"bob", 'b'}}, Keys("ann"));
  DevicesFollow();
  WritePolicy(2, {{"ann", 'a'}}, '"' + std::string(64, 'b') + '"');
  Must({"policy", "set", dir_.File("access.json"), "--repo", Repo()});
  EXPECT_THAT(Must({"diff", "policy", "--repo", Repo()}),
              HasSubstr(std::string(64, 'b')));
  Sign("ann");
  DevicesFollow();
}

}  // namespace
}  // namespace shoal::signing
