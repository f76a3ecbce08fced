// What only other people's repositories have: names and digests that a fleet
// never uses, and keys that a device never counts.
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/sha512.h"
#include "common/files.h"
#include "signing/metadata/json.h"
#include "signing/verify/target_check.h"
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

std::string Envelope(const std::string& type, const std::string& rest) {
  return R"({"signatures":[],"signed":{"_type":")" + type +
         R"(","spec_version":"1.0.31","version":1,)"
         R"("expires":"2026-05-01T00:00:00Z",)" +
         rest + "}}";
}

std::string TargetsWith(const std::string& path, const std::string& hashes) {
  return Envelope("targets", R"("targets":{")" + path +
                                 R"(":{"length":1,"hashes":{)" + hashes +
                                 "}}}");
}

std::string Role(const std::string& name) {
  return Envelope(
      "targets", R"("targets":{},"delegations":{"keys":{},"roles":[{"name":")" +
                     name +
                     R"(","keyids":[],"threshold":1,"terminating":false,)"
                     R"("paths":["*"]}]})");
}

const std::string kSha256 = "\"sha256\":\"" + std::string(64, 'a') + "\"";
const std::string kSha512 = "\"sha512\":\"" + std::string(128, 'b') + "\"";

TEST(Stock, T34_RoleNamesOfAnyTextAreOneFileName) {
  for (const char* name : {"?", "#", "/role", "../role", "a b", "%2F", "ä"}) {
    EXPECT_THAT(ParseTargets(Role(name)), FailsBecause("bad_metadata")) << name;
    ASSERT_OK_AND_ASSIGN(const ParsedTargets parsed,
                         ParseTargetsAs(Dialect::kStock, Role(name)));
    EXPECT_EQ(parsed.value.delegations->roles[0].name, name);
    const std::string file = MetadataFileName(name, 7);
    EXPECT_EQ(file.find_first_of("/?# "), file.npos) << file;
  }
  // Quoting is one to one, and leaves nothing that a directory would mean.
  EXPECT_EQ(MetadataFileName("../r", 1), "1...%2Fr.json");
  EXPECT_EQ(MetadataFileName("%2F", std::nullopt), "%252F.json");
  EXPECT_EQ(MetadataFileName("ä", std::nullopt), "%C3%A4.json");
  // The names of the four, none, and what no file name should hold.
  for (const char* name :
       {"root", "targets", "snapshot", "timestamp", "", "a\\nb", "a\\u007fb"})
    EXPECT_THAT(ParseTargetsAs(Dialect::kStock, Role(name)),
                FailsBecause("bad_metadata"))
        << name;
  EXPECT_THAT(ParseTargetsAs(Dialect::kStock, Role(std::string(129, 'x'))),
              FailsBecause("bad_metadata"));
}

TEST(Stock, PathsNeedNotBeAscii) {
  const std::string text = TargetsWith("grün/日本 🐟", kSha256);
  EXPECT_THAT(ParseTargets(text), FailsBecause("bad_metadata"));
  EXPECT_OK(ParseTargetsAs(Dialect::kStock, text));
}

TEST(Stock, T34_ControlCharactersInKeysAreRefusedEverywhere) {
  for (const char* path : {"a\\nb", "a\\u0001", "a\\u007f", "a\\u0000"})
    EXPECT_THAT(ParseTargetsAs(Dialect::kStock, TargetsWith(path, kSha256)),
                FailsBecause("bad_metadata"));
}

TEST(Stock, T01_EveryDigestThatIsSignedMustFit) {
  const std::string bytes = "content";
  TargetFile target{"t", bytes.size(), crypto::Sha256Digest(bytes), "",
                    crypto::Sha512Digest(bytes)};
  EXPECT_OK(CheckTarget(target, bytes));
  EXPECT_THAT(CheckTarget(target, "contend"),
              Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
  TargetFile one = target;
  one.sha512 = std::string(64, 'x');
  EXPECT_THAT(CheckTarget(one, bytes), FailsBecause("hash_mismatch"));
  one = target;
  one.sha256 = std::string(32, 'x');
  EXPECT_THAT(CheckTarget(one, bytes), FailsBecause("hash_mismatch"));
  one.sha256.clear();
  EXPECT_OK(CheckTarget(one, bytes));
  one.sha512.clear();
  EXPECT_THAT(CheckTarget(one, bytes),
              Fails(absl::StatusCode::kFailedPrecondition, "unsupported_hash"));
}

TEST(Stock, T02_TheFirstByteTooManyIsRefused) {
  TargetCheck check({"t", 4, crypto::Sha256Digest("1234"), ""});
  EXPECT_OK(check.Update("12"));
  EXPECT_OK(check.Update("34"));
  EXPECT_THAT(check.Update("5"),
              Fails(absl::StatusCode::kDataLoss, "length_mismatch"));
  TargetCheck shorter({"t", 4, crypto::Sha256Digest("123"), ""});
  EXPECT_OK(shorter.Update("123"));
  EXPECT_THAT(shorter.Finish(), FailsBecause("length_mismatch"));
}

TEST(Stock, DigestsByDialect) {
  EXPECT_OK(ParseTargets(TargetsWith("t", kSha256 + "," + kSha512)));
  EXPECT_THAT(ParseTargets(TargetsWith("t", kSha512)),
              FailsBecause("bad_metadata"));
  ASSERT_OK_AND_ASSIGN(
      ParsedTargets parsed,
      ParseTargetsAs(Dialect::kStock, TargetsWith("t", kSha512)));
  EXPECT_EQ(parsed.value.targets.at("t").sha512, std::string(64, '\xbb'));
  // No known digest: nothing can be that target, but the others are no worse.
  ASSERT_OK_AND_ASSIGN(
      parsed,
      ParseTargetsAs(Dialect::kStock, TargetsWith("t", "\"md5\":\"00\"")));
  EXPECT_EQ(parsed.value.targets.at("t").sha256, "");
  // A digest of a known algorithm and a wrong length is no digest.
  EXPECT_THAT(
      ParseTargetsAs(Dialect::kStock, TargetsWith("t", "\"sha256\":\"aa\"")),
      FailsBecause("bad_metadata"));
}

TEST(Stock, T06_APinOfUnknownDigestsIsNeverMet) {
  const auto meta = [](const std::string& hashes) {
    return Envelope("timestamp", R"("meta":{"snapshot.json":{"version":1,)"
                                 R"("hashes":{)" +
                                     hashes + "}}}");
  };
  ASSERT_OK_AND_ASSIGN(ParsedTimestamp parsed,
                       ParseTimestampAs(Dialect::kStock, meta("\"md5\":\"\"")));
  EXPECT_TRUE(parsed.value.snapshot.unknown_hashes);
  ASSERT_OK_AND_ASSIGN(parsed,
                       ParseTimestampAs(Dialect::kStock, meta(kSha512)));
  EXPECT_FALSE(parsed.value.snapshot.unknown_hashes);
  EXPECT_EQ(parsed.value.snapshot.sha512, std::string(64, '\xbb'));
}

TEST(Stock, SpecVersionsByMajor) {
  const auto with = [](const std::string& version) {
    std::string text = TargetsWith("t", kSha256);
    return ParseTargets(text.replace(text.find("1.0.31"), 6, version));
  };
  for (const char* good : {"1.0", "1.0.0", "1.0.99", "1.1.0", "1.27"})
    EXPECT_OK(with(good)) << good;
  for (const char* bad : {"1", "2.0.0", "0.9", "1.", "1.0.", "1.x", "1.0.0.0",
                          "1.00", "11.0", "v1.0", " 1.0", "1.-1", ""})
    EXPECT_THAT(with(bad), FailsBecause("bad_metadata")) << bad;
}

TEST(Stock, T12_FormsOfDelegations) {
  const std::string head = R"("targets":{},"delegations":{"keys":{},)";
  const std::string bins =
      R"("succinct_roles":{"keyids":["k"],"threshold":1,"bit_length":8,)"
      R"("name_prefix":"bin"})";
  ASSERT_OK_AND_ASSIGN(const ParsedTargets parsed,
                       ParseTargets(Envelope("targets", head + bins + "}")));
  EXPECT_EQ(parsed.value.delegations->succinct->bit_length, 8u);
  EXPECT_EQ(ParseTargets(Envelope("targets", head + bins + R"(,"roles":[]})"))
                .status()
                .code(),
            absl::StatusCode::kInvalidArgument);
  const std::pair<const char*, const char*> edits[] = {
      {"\"bit_length\":8", "\"bit_length\":0"},
      {"\"bit_length\":8", "\"bit_length\":33"},
      {"\"bit_length\":8", "\"bit_length\":-8"},
      {"\"bin\"", "\"a/b\""},
      {"\"threshold\":1", "\"threshold\":0"}};
  for (const auto& [from, to] : edits) {
    std::string text = Envelope("targets", head + bins + "}");
    text.replace(text.find(from), std::string(from).size(), to);
    EXPECT_THAT(ParseTargets(text), FailsBecause("bad_metadata")) << to;
  }
}

TEST(Stock, T02_CapsWithinAFile) {
  std::string signatures;
  for (int i = 0; i <= 64; ++i)
    signatures += (i == 0 ? "" : ",") + std::string(R"({"sig":"","keyid":")") +
                  std::to_string(i) + "\"}";
  std::string text = TargetsWith("t", kSha256);
  text.insert(text.find("[]") + 1, signatures);
  EXPECT_THAT(ParseTargets(text), FailsBecause("bad_metadata"));
  std::string keys;
  for (size_t i = 0; i <= kMaxKeysOfRole; ++i)
    keys += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\"";
  text = Role("r");
  text.insert(text.find("\"keyids\":[") + 10, keys);
  EXPECT_THAT(ParseTargets(text), FailsBecause("bad_metadata"));
  // A megabyte of the smallest values there are.
  std::string values = "[0";
  for (size_t i = 0; i <= kMaxJsonValues; ++i) values += ",0";
  EXPECT_THAT(CanonicalJson(values + "]", kMaxTargetsBytes),
              Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"));
}

TEST(Stock, T11_UnreadableKeysAndSignaturesCountForNothing) {
  TestRepository repository(absl::FromUnixSeconds(1767225600));
  std::string text = repository.file("1.root");
  // More signatures, none of which anybody can read.
  text.insert(text.find('[') + 1,
              R"({"keyid":"x","sig":"not hex"},{"keyid":"y","sig":""},)");
  ASSERT_OK_AND_ASSIGN(const ParsedRoot root, ParseRoot(text));
  EXPECT_OK(VerifySignatures(root.envelope, root.value.keys,
                             root.value.roles.at("root"), "root"));
  // Keys of other types, or of no sensible form, are tolerated and unsupported.
  const std::string odd =
      R"("targets":{},"delegations":{"roles":[],"keys":{"k":)";
  for (const char* key :
       {R"({"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"00"}})",
        R"({"keytype":"sigstore-oidc","scheme":"Fulcio",)"
        R"("keyval":{"identity":"a@b","issuer":"c"}})"})
    EXPECT_OK(ParseTargets(Envelope("targets", odd + std::string(key) + "}}")))
        << key;
}

class Anchored : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Updater>> Open() {
    UpdaterOptions options;
    options.directory = dir_.File("store");
    options.anchored_by_root = true;
    options.policy.dialect = Dialect::kStock;
    return Updater::Open(options, RealFileSystem(), clock_);
  }
  absl::Status Install(const std::string& root) {
    return Updater::InstallRoot(dir_.File("store"), root, VerifierPolicy(),
                                RealFileSystem());
  }
  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
};

TEST_F(Anchored, T08_ARootOfAnyVersionMayBeTheAnchor) {
  repository_.PublishRoot({"root-1", "root-2"});
  repository_.PublishRoot({"root-1", "root-2"});
  EXPECT_THAT(Open(),
              Fails(absl::StatusCode::kFailedPrecondition, "not_initialised"));
  ASSERT_OK(Install(repository_.file("2.root")));
  EXPECT_TRUE(repository_.requests.empty());
  ASSERT_OK_AND_ASSIGN(auto updater, Open());
  ASSERT_OK(updater->Refresh(repository_));
  EXPECT_THAT(repository_.requests,
              ::testing::ElementsAre("3.root", "4.root", "timestamp",
                                     "1.snapshot", "1.targets"));
}

TEST_F(Anchored, T01_AnAnchorThatDoesNotSignItselfIsRefused) {
  std::string root = repository_.file("1.root");
  root.replace(root.find("\"version\":1"), 11, "\"version\":2");
  EXPECT_THAT(Install(root), FailsBecause("bad_signature"));
  EXPECT_THAT(Install("{}"), FailsBecause("bad_metadata"));
  // One that changed on the disk is an error, not a reason to ask the network.
  ASSERT_OK(Install(repository_.file("1.root")));
  ASSERT_OK(RealFileSystem().WriteAtomic(dir_.File("store/root.json"), root));
  EXPECT_THAT(Open(), FailsBecause("bad_signature"));
}

TEST_F(Anchored, AFleetIsNeverAnchoredByWhatLiesInADirectory) {
  ASSERT_OK(Install(repository_.file("1.root")));
  UpdaterOptions options;
  options.directory = dir_.File("store");
  EXPECT_THAT(Updater::Open(options, RealFileSystem(), clock_),
              FailsBecause("bad_fleet_id"));
  options.anchored_by_root = true;
  options.fleet_id = repository_.fleet_id();
  EXPECT_THAT(Updater::Open(options, RealFileSystem(), clock_),
              FailsBecause("bad_fleet_id"));
}

TEST_F(Anchored, T04_ANewAnchorForgetsTheOldMetadata) {
  ASSERT_OK(Install(repository_.file("1.root")));
  ASSERT_OK((*Open())->Refresh(repository_));
  ASSERT_OK(Install(repository_.file("1.root")));
  ASSERT_OK_AND_ASSIGN(const auto names,
                       RealFileSystem().List(dir_.File("store")));
  EXPECT_THAT(names, ::testing::ElementsAre("root.json", "targets"));
}

}  // namespace
}  // namespace shoal::signing
