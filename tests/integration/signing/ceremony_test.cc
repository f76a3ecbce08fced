// docs/operations/ceremony.md rehearsed: founding, the days after, lost keys.
#include "signing/metadata/metadata.h"
#include "tests/integration/signing/ceremony_fixture.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::BinPath;
using ::testing::HasSubstr;
using ::testing::Not;

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
  // A draft that somebody changed so that the online director answers for the
  // access policy, in forms that stock clients know (review_test.cc has more).
  Must({"renew", "targets", "--repo", Repo()});
  const std::string top = Repo() + "/drafts/3.targets.json";
  ASSERT_OK_AND_ASSIGN(const std::string good, fs_.Read(top, 1 << 20));
  const std::string own = R"("paths":["director/*/*/*"])";
  ASSERT_NE(good.find(own), good.npos);
  for (const char* other :
       {R"("path_hash_prefixes":[""])", R"("paths":["*/*"])",
        R"("paths":["director/*/*/*","policy/*"])"}) {
    std::string bad = good;
    ASSERT_OK(
        fs_.WriteAtomic(top, bad.replace(bad.find(own), own.size(), other)));
    EXPECT_THAT(TrySign("ann", "repo").output, HasSubstr("(bad_delegation)"));
  }
  std::string bad = good;
  const std::string flag = R"("terminating":false)";
  ASSERT_NE(good.find(flag), good.npos);
  bad.replace(bad.find(flag), flag.size(), R"("terminating":true)");
  ASSERT_OK(fs_.WriteAtomic(top, bad));
  EXPECT_THAT(TrySign("ann", "repo").output, HasSubstr("(bad_delegation)"));
  EXPECT_FALSE(fs_.Exists(Repo() + "/metadata/3.targets.json"));
  Must({"drop", "targets", "--repo", Repo()});
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
