// docs/operations/ceremony.md rehearsed with the real shoal-sign: custodians
// who never share a machine, keys on sticks of their own, drafts that travel.
#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "signing/metadata/metadata.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::BinPath;
using ::shoal::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Not;

// root 2 of ann, ben, cleo; targets and policy ann; firmware 2 of ben, dora,
// eli. "office" is the machine where changes are put together; it holds the
// online keys too, so that `verify` can look at the whole as a device does.
class Ceremony : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(fs_.WriteAtomic(dir_.File("pass"), "open sesame\n", 0600));
    ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), std::string(70'000, 'i')));
    for (const char* who : {"ann", "ben", "cleo", "dora", "eli", "fay"})
      MakeKey(who, who);
  }
  void MakeKey(const std::string& who, const std::string& name) {
    Must({"key", "create", name, "--keys", Keys(who)});
  }
  std::string Keys(const std::string& who) { return dir_.File("keys-" + who); }
  std::string Pub(const std::string& who, const std::string& name = "") {
    return Keys(who) + "/" + (name.empty() ? who : name) + ".pub";
  }
  std::string Repo(const std::string& name = "repo") { return dir_.File(name); }

  CommandResult Run(std::vector<std::string> arguments) {
    const bool secret = std::find(arguments.begin(), arguments.end(),
                                  "--keys") != arguments.end();
    arguments.insert(arguments.begin(), BinPath("shoal-sign"));
    if (secret)
      for (const std::string& more :
           {std::string("--passphrase-file"), dir_.File("pass"),
            std::string("--kdf"), std::string("interactive")})
        arguments.push_back(more);
    auto result = shoal::testing::Run(std::move(arguments));
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : CommandResult{};
  }
  std::string Must(std::vector<std::string> arguments) {
    const std::string what = arguments[0] + " " + arguments[1];
    const CommandResult result = Run(std::move(arguments));
    EXPECT_TRUE(result.status.ok()) << what << ": " << result.output;
    return result.output;
  }
  void Refused(std::vector<std::string> arguments, const std::string& reason) {
    const CommandResult result = Run(std::move(arguments));
    EXPECT_FALSE(result.status.ok()) << result.output;
    EXPECT_THAT(result.output, HasSubstr("(" + reason + ")"));
  }
  CommandResult TrySign(const std::string& who, const std::string& repo) {
    std::vector<std::string> line = {"sign",   "--repo",  Repo(repo),
                                     "--keys", Keys(who), "--yes"};
    const CommandResult result = Run(line);
    return result;
  }
  std::string Sign(const std::string& who, const std::string& repo = "repo") {
    const CommandResult result = TrySign(who, repo);
    EXPECT_TRUE(result.status.ok()) << who << ": " << result.output;
    return result.output;
  }
  // A stick goes round: everything public is copied.
  void Copy(const std::string& from, const std::string& to) {
    const auto result =
        shoal::testing::Run({"/bin/cp", "-rT", Repo(from), Repo(to)});
    ASSERT_OK(result);
    ASSERT_TRUE(result->status.ok()) << result->output;
  }
  void Found() {
    Must({"init", "--repo", Repo(), "--keys", Keys("office"), "--root-key",
          Pub("ann"), "--root-key", Pub("ben"), "--root-key", Pub("cleo"),
          "--root-threshold", "2", "--targets-key", Pub("ann"), "--policy-key",
          Pub("ann")});
    for (const char* who : {"ann", "ben", "cleo"}) Sign(who);
    Must({"device-type", "add", "gateway", "--repo", Repo(), "--key",
          Pub("ben"), "--key", Pub("dora"), "--key", Pub("eli"), "--threshold",
          "2"});
    for (const char* who : {"ann", "ben", "dora"}) Sign(who);
    Must({"image", "add", "--repo", Repo(), "--type", "gateway", "--version",
          "1.0", "--counter", "1", dir_.File("image")});
    for (const char* who : {"dora", "eli"}) Sign(who);
    fleet_id_ = FleetId("repo");
  }
  std::string FleetId(const std::string& repo) {
    const auto root = fs_.Read(Repo(repo) + "/metadata/1.root.json", 512'000);
    EXPECT_OK(root);
    return root.ok() ? HexEncode(crypto::Sha256Digest(*root)) : "";
  }
  // What a device that has seen only root 1 makes of the repository now.
  void DevicesFollow() {
    Must({"publish", "--repo", Repo(), "--keys", Keys("office")});
    const std::string output =
        Must({"verify", Repo(), "--fleet-id", fleet_id_});
    EXPECT_THAT(output, HasSubstr("fw-gateway version"));
    EXPECT_THAT(output, HasSubstr("verified; valid until"));
  }
  std::string Status() { return Must({"status", "--repo", Repo()}); }

  TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  std::string fleet_id_;
};

TEST_F(Ceremony, TheFirstRootIsTheSameWhereverItIsPutTogether) {
  Must({"init", "--repo", Repo(), "--keys", Keys("office"), "--root-key",
        Pub("ann"), "--root-key", Pub("ben"), "--root-key", Pub("cleo"),
        "--root-threshold", "2", "--targets-key", Pub("ann"), "--policy-key",
        Pub("ann")});
  // Three sticks at once; two of three would do for any later root.
  for (const char* who : {"ann", "ben", "cleo"}) Copy("repo", who);
  for (const char* who : {"ann", "ben", "cleo"})
    EXPECT_THAT(Sign(who, who), Not(HasSubstr("fleet id")));
  Must({"merge", Repo("cleo"), "--repo", Repo()});
  Must({"merge", Repo("ann"), "--repo", Repo()});
  EXPECT_THAT(Must({"merge", Repo("ben"), "--repo", Repo()}),
              HasSubstr("fleet id: "));
  Must({"merge", Repo("ben"), "--repo", Repo("ann")});
  Must({"merge", Repo("cleo"), "--repo", Repo("ann")});
  EXPECT_EQ(FleetId("repo"), FleetId("ann"));
  EXPECT_THAT(Status(), HasSubstr("root 1: 2 of: ann ben cleo"));
}

TEST_F(Ceremony, T01_T08_FirmwareNeedsTwoOfItsThree) {
  Found();
  DevicesFollow();
  ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), std::string(70'000, 'j')));
  const std::string proposed =
      Must({"image", "add", "--repo", Repo(), "--keys", Keys("dora"), "--type",
            "gateway", "--version", "2.0", "--counter", "2", "--min-counter",
            "1", dir_.File("image")});
  EXPECT_THAT(proposed, HasSubstr("fw-gateway 3 against 2"));
  EXPECT_THAT(proposed, HasSubstr("+ fw/gateway/2.0/image 70000 bytes"));
  EXPECT_THAT(proposed, HasSubstr("counter 2, min_counter 1"));
  EXPECT_THAT(proposed, HasSubstr("1 of 2 signatures, by dora"));
  EXPECT_THAT(proposed, HasSubstr("1 more of: ben, eli"));
  EXPECT_FALSE(fs_.Exists(Repo() + "/metadata/3.fw-gateway.json"));
  // Signing twice is not signing by two, and a stranger's key is none.
  EXPECT_FALSE(TrySign("dora", "repo").status.ok());
  EXPECT_THAT(TrySign("fay", "repo").output, HasSubstr("(not_enough_keys)"));
  EXPECT_FALSE(fs_.Exists(Repo() + "/metadata/3.fw-gateway.json"));
  EXPECT_THAT(Sign("ben"), HasSubstr("fw-gateway 3: in force"));
  DevicesFollow();
}

TEST_F(Ceremony, T08_EachLostKeyHasItsWay) {
  Found();
  // A root key is lost: the other two replace it.
  MakeKey("fay", "fay-root");
  Must({"rotate", "root", "--remove", "cleo", "--add", Pub("fay", "fay-root"),
        "--repo", Repo()});
  EXPECT_THAT(Must({"diff", "root", "--repo", Repo()}),
              HasSubstr("- key cleo"));
  Sign("ann");
  Sign("ben");
  EXPECT_THAT(Status(), HasSubstr("root 2: 2 of: ann ben fay-root"));
  DevicesFollow();
  // The targets key is lost: root names another, which signs what is there.
  Must({"rotate", "targets", "--add", Pub("ben"), "--repo", Repo()});
  Sign("ann");
  EXPECT_THAT(Sign("ben"), HasSubstr("targets 3: in force"));
  DevicesFollow();
  // A firmware key is lost, and the policy's: targets names others.
  Must({"rotate", "fw-gateway", "--remove", "eli", "--add", Pub("fay"),
        "--repo", Repo()});
  Must({"rotate", "policy", "--add", Pub("cleo"), "--repo", Repo()});
  Sign("ben");
  Sign("fay");
  Sign("cleo");
  EXPECT_THAT(Status(), HasSubstr("fw-gateway 3: 2 of: ben dora fay"));
  EXPECT_THAT(Status(), HasSubstr("policy 2: 1 of: cleo"));
  DevicesFollow();
}

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

TEST_F(Ceremony, T01_WhatFailsVerificationIsNotSigned) {
  Found();
  Refused({"rotate", "fw-gateway", "--threshold", "4", "--repo", Repo()},
          "bad_threshold");
  Refused({"rotate", "root", "--remove", "dora", "--repo", Repo()},
          "no_such_key");
  Refused({"rotate", "root", "--remove", "ann", "--remove", "ben", "--repo",
           Repo()},
          "bad_threshold");
  Refused({"device-type", "add", "x", "--repo", Repo(), "--key", Pub("ann"),
           "--key", Pub("ann"), "--threshold", "2"},
          "bad_threshold");
  EXPECT_FALSE(fs_.Exists(Repo() + "/drafts/2.root.json"));
  // The image was exchanged on the way to the second custodian.
  ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), std::string(70'000, 'j')));
  Must({"image", "add", "--repo", Repo(), "--keys", Keys("dora"), "--type",
        "gateway", "--version", "2.0", "--counter", "2", dir_.File("image")});
  const std::string bytes(70'000, 'j');
  const std::string path = Repo() + "/targets/fw/gateway/2.0/" +
                           HexEncode(crypto::Sha256Digest(bytes)) + ".image";
  ASSERT_OK(fs_.WriteAtomic(path, "J" + bytes.substr(1)));
  EXPECT_THAT(TrySign("eli", "repo").output, HasSubstr("(hash_mismatch)"));
  ASSERT_OK(fs_.WriteAtomic(path, bytes));
  // A draft that says something else of an image that is signed already.
  const std::string draft = Repo() + "/drafts/3.fw-gateway.json";
  ASSERT_OK_AND_ASSIGN(const std::string honest, fs_.Read(draft, 1 << 20));
  std::string forged = honest;
  const size_t at = forged.find("\\\"counter\\\":1") == forged.npos
                        ? forged.find("\"counter\":1")
                        : forged.find("\\\"counter\\\":1");
  ASSERT_NE(at, forged.npos);
  forged.replace(forged.find('1', at), 1, "9");
  ASSERT_OK(fs_.WriteAtomic(draft, forged));
  EXPECT_THAT(TrySign("eli", "repo").output, HasSubstr("(image_changed)"));
  // Two drafts of one version can't both be signed.
  Copy("repo", "stick");
  ASSERT_OK(fs_.WriteAtomic(draft, honest));
  Refused({"merge", Repo("stick"), "--repo", Repo()}, "other_content");
  Must({"drop", "fw-gateway", "--repo", Repo()});
  EXPECT_FALSE(fs_.Exists(draft));
  DevicesFollow();
}

TEST_F(Ceremony, ADryRunAndALookChangeNothing) {
  Found();
  const std::string before = Status();
  for (std::vector<std::string> line : std::vector<std::vector<std::string>>{
           {"renew", "root", "--keys", Keys("ann")},
           {"rotate", "root", "--remove", "cleo", "--new", "1", "--keys",
            Keys("ann")},
           {"image", "add", "--type", "gateway", "--version", "9", "--counter",
            "9", dir_.File("image"), "--keys", Keys("dora")},
           {"device-type", "add", "camera", "--keys", Keys("ann")},
           {"publish", "--keys", Keys("office")}}) {
    line.insert(line.end(), {"--repo", Repo(), "--dry-run"});
    EXPECT_THAT(Must(line), HasSubstr("dry run"));
  }
  EXPECT_EQ(Status(), before);
  EXPECT_FALSE(fs_.Exists(Repo() + "/drafts/2.root.json"));
  Must({"publish", "--repo", Repo(), "--keys", Keys("office")});
  for (const char* name :
       {"1.root.json", "1.snapshot.json", "timestamp.json", "2.targets.json",
        "2.fw-gateway.json", "1.policy.json", "1.director.json"})
    EXPECT_THAT(Must({"inspect", Repo() + "/metadata/" + name}),
                HasSubstr("version"));
}

TEST_F(Ceremony, ExpiringRolesArePreparedAhead) {
  Found();
  EXPECT_THAT(Must({"renew", "--within-days", "30", "--repo", Repo()}),
              HasSubstr("nothing expires"));
  const std::string proposed =
      Must({"renew", "--within-days", "400", "--expires-days", "500", "--repo",
            Repo()});
  for (const char* role : {"root 2", "targets 3", "policy 2", "fw-gateway 3"})
    EXPECT_THAT(proposed, HasSubstr(role));
  // Each signs what is theirs, in any order, on any copy.
  Copy("repo", "stick");
  for (const char* who : {"eli", "dora"}) Sign(who, "stick");
  for (const char* who : {"ben", "ann", "office"}) Sign(who);
  EXPECT_THAT(Must({"merge", Repo("stick"), "--repo", Repo()}),
              HasSubstr("in force"));
  EXPECT_THAT(Status(), HasSubstr("root 2"));
  EXPECT_THAT(Status(), Not(HasSubstr("more of")));
  DevicesFollow();
}

// Storage nodes make their time keys themselves; the targets custodians, and
// nobody online, say which of them count.
TEST_F(Ceremony, T26_TimeKeysComeAndGo) {
  Found();
  std::vector<std::string> add = {"rotate", "time", "--repo", Repo()};
  for (const std::string node : {"node-1", "node-2", "node-3"}) {
    const auto made = shoal::testing::Run({BinPath("shoal-node"), "init",
                                           "--data", dir_.File(node), "--id",
                                           node, "--fleet", fleet_id_});
    ASSERT_OK(made);
    ASSERT_TRUE(made->status.ok()) << made->output;
    add.push_back("--add");
    add.push_back(dir_.File(node) + "/" + node + "-time.pub");
  }
  const auto time_keys = [&] {
    const std::string text = Status();  // it names the version in force
    size_t version = 0;
    while (fs_.Exists(Repo() + "/metadata/" + std::to_string(version + 1) +
                      ".targets.json"))
      ++version;
    const auto bytes = fs_.Read(
        Repo() + "/metadata/" + std::to_string(version) + ".targets.json",
        1 << 20);
    EXPECT_OK(bytes);
    const auto targets = ParseTargets(bytes.ok() ? *bytes : "");
    EXPECT_OK(targets) << text;
    return targets.ok() ? targets->value.fleet_keys->time
                        : std::vector<std::string>();
  };
  Must(add);
  EXPECT_TRUE(time_keys().empty());  // a draft counts for nothing
  Sign("ann");
  EXPECT_EQ(time_keys().size(), 3u);
  DevicesFollow();

  // A key that a node has already stays; its public half can be had again.
  const std::string pub = dir_.File("node-1") + "/node-1-time.pub";
  ASSERT_OK_AND_ASSIGN(const std::string before, fs_.Read(pub, 1000));
  const auto again = shoal::testing::Run(
      {BinPath("shoal-node"), "time-key", "--data", dir_.File("node-1")});
  ASSERT_OK(again);
  ASSERT_TRUE(again->status.ok()) << again->output;
  ASSERT_OK_AND_ASSIGN(const std::string after, fs_.Read(pub, 1000));
  EXPECT_EQ(before, after);

  // One was stolen.
  Must({"rotate", "time", "--repo", Repo(), "--remove", "node-2-time"});
  Sign("ann");
  EXPECT_EQ(time_keys().size(), 2u);
  DevicesFollow();
  Refused({"rotate", "time", "--repo", Repo(), "--remove", "node-2-time"},
          "no_such_key");
}

}  // namespace
}  // namespace shoal::signing
