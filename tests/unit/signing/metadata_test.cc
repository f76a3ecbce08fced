#include "signing/metadata/metadata.h"

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/fetcher.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

TEST(Metadata, KeyIdIsWhatPythonTufComputes) {
  // SHA-256 of {"keytype":"ed25519","keyval":{"public":"d75a…"},"scheme":
  // "ed25519"}, computed with another program.
  const Key key = MakeEd25519Key(
      HexDecode(
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
          .value());
  EXPECT_EQ(key.id,
            "74c181c7ad8a0855d4b55e44d2ba87aabdddb196832571f15f92fece332e4916");
}

TEST(Metadata, EveryTypeSurvivesFormatAndParse) {
  TestRepository repository(kNow);
  ASSERT_OK_AND_ASSIGN(const ParsedRoot root,
                       ParseRoot(repository.file("1.root")));
  EXPECT_EQ(FormatRoot(root.value), FormatRoot(repository.root));
  ASSERT_OK_AND_ASSIGN(const ParsedTargets targets,
                       ParseTargets(repository.newest("targets")));
  EXPECT_EQ(FormatTargets(targets.value),
            FormatTargets(repository.roles["targets"]));
  EXPECT_EQ(targets.value.fleet_keys->telemetry, std::string(32, 'T'));
  ASSERT_OK_AND_ASSIGN(const ParsedTimestamp timestamp,
                       ParseTimestamp(repository.file("timestamp")));
  EXPECT_EQ(timestamp.value.snapshot.version, 1u);
  EXPECT_EQ(timestamp.value.expires, repository.expires);
}

TEST(Metadata, UnknownFieldsAreTolerated) {
  const std::string text =
      R"({"signatures":[],"extra":1,"signed":{"_type":"timestamp",)"
      R"("spec_version":"1.0.31","version":3,"expires":"2026-05-01T00:00:00Z",)"
      R"("x":{"y":[]},"meta":{"snapshot.json":{"version":2,"z":0}}}})";
  ASSERT_OK_AND_ASSIGN(const ParsedTimestamp parsed, ParseTimestamp(text));
  EXPECT_EQ(parsed.value.version, 3u);
  // …and are covered by the signature.
  EXPECT_NE(parsed.envelope.canonical_signed.find("\"x\":{\"y\":[]}"),
            std::string::npos);
}

TEST(Metadata, T12_WrongFormsAreRefused) {
  const std::string good =
      R"({"signatures":[],"signed":{"_type":"timestamp",)"
      R"("spec_version":"1.0.31","version":3,"expires":"2026-05-01T00:00:00Z",)"
      R"("meta":{"snapshot.json":{"version":2}}}})";
  ASSERT_OK(ParseTimestamp(good));
  const std::pair<const char*, const char*> edits[] = {
      {"\"timestamp\"", "\"snapshot\""},
      {"1.0.31", "2.0.0"},
      {"1.0.31", "1.01"},
      {"\"version\":3", "\"version\":0"},
      {"\"version\":3", "\"version\":-1"},
      {"\"version\":3", "\"version\":\"3\""},
      {"2026-05-01T00:00:00Z", "2026-13-01T00:00:00Z"},
      {"2026-05-01T00:00:00Z", "2026-05-01T00:00:00+01:00"},
      {"2026-05-01T00:00:00Z", "2026-02-30T00:00:00Z"},
      {"snapshot.json", "other.json"},
      {"\"signatures\":[]", "\"signatures\":{}"}};
  for (const auto& [from, to] : edits) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    EXPECT_THAT(ParseTimestamp(text),
                Fails(absl::StatusCode::kInvalidArgument, "bad_metadata"))
        << to;
  }
}

TEST(Metadata, T11_OneKeyUnderTwoIdsCountsOnce) {
  TestRepository repository(kNow);
  // The same public key with one more field has another, honest, id.
  Key twin = repository.public_key("root-1");
  twin.id = std::string(64, 'a');
  RoleKeys role{{repository.public_key("root-1").id, twin.id}, 2};
  const std::map<std::string, Key> keys = {
      {role.key_ids[0], repository.public_key("root-1")}, {twin.id, twin}};
  SignedBytes envelope;
  envelope.canonical_signed = "{}";
  const std::string signature = repository.key("root-1").Sign("{}");
  envelope.signatures = {{role.key_ids[0], signature},
                         {role.key_ids[1], signature},
                         {role.key_ids[0], signature}};
  EXPECT_THAT(VerifySignatures(envelope, keys, role, "root"),
              Fails(absl::StatusCode::kPermissionDenied, "bad_signature"));
  role.threshold = 1;
  EXPECT_OK(VerifySignatures(envelope, keys, role, "root"));
}

TEST(Metadata, T11_ForgedKeyIdIsDropped) {
  TestRepository repository(kNow);
  std::string text = repository.file("1.root");
  const std::string id = repository.public_key("root-1").id;
  const std::string forged(64, 'b');
  for (size_t at; (at = text.find(id)) != text.npos;)
    text.replace(at, id.size(), forged);
  ASSERT_OK_AND_ASSIGN(const ParsedRoot root, ParseRoot(text));
  EXPECT_FALSE(root.value.keys.contains(forged));
}

TEST(Metadata, T34_NamesThatArePathsAreRefused) {
  TestRepository repository(kNow);
  Targets& targets = repository.roles["targets"];
  for (const char* name :
       {"../root", "a/b", "", ".hidden", "root", "snapshot"}) {
    Targets forged = targets;
    forged.delegations->roles[0].name = name;
    EXPECT_THAT(SignTargets(forged, {&repository.key("targets")}),
                FailsBecause("bad_metadata"))
        << name;
  }
  Snapshot snapshot;
  snapshot.version = 1;
  snapshot.expires = repository.expires;
  snapshot.meta["../targets"] = {1, {}, {}};
  EXPECT_THAT(SignSnapshot(snapshot, {}), FailsBecause("bad_metadata"));
  for (const char* path : {"../x", "a/../b", "/etc/passwd", "a//b", "a/", ""}) {
    TargetFile target;
    target.path = path;
    target.sha256 = std::string(32, 'x');
    EXPECT_THAT(TargetFilePath(target),
                Fails(absl::StatusCode::kInvalidArgument, "bad_target_path"))
        << path;
  }
}

TEST(ImageInfo, RoundTripAndRefusals) {
  const ImageInfo info{"gateway", "1.4.0", "image", 7, 3, std::string(32, 'r'),
                       16384};
  TargetFile target;
  target.path = "fw/gateway/1.4.0/image";
  target.custom = FormatImageInfo(info);
  ASSERT_OK_AND_ASSIGN(const ImageInfo back, ParseImageInfo(target));
  EXPECT_EQ(back.device_type, "gateway");
  EXPECT_EQ(back.counter, 7u);
  EXPECT_EQ(back.min_counter, 3u);
  EXPECT_EQ(back.file_root, info.file_root);
  const auto bad = Fails(absl::StatusCode::kInvalidArgument, "bad_image_info");
  TargetFile other = target;
  other.path = "fw/kiosk/1.4.0/image";
  EXPECT_THAT(ParseImageInfo(other), bad);
  other = target;
  other.custom = "{}";
  EXPECT_THAT(ParseImageInfo(other), bad);
  ImageInfo wrong = info;
  wrong.min_counter = 8;
  other = target;
  other.custom = FormatImageInfo(wrong);
  EXPECT_THAT(ParseImageInfo(other), bad);
  wrong = info;
  wrong.piece_length = 20000;
  other.custom = FormatImageInfo(wrong);
  EXPECT_THAT(ParseImageInfo(other), bad);
}

TEST(Paths, T09_StarNeverCrossesASlash) {
  EXPECT_TRUE(PathMatches("fw/a/*/*", "fw/a/1/image"));
  EXPECT_FALSE(PathMatches("fw/a/*/*", "fw/a/1/2/image"));
  EXPECT_FALSE(PathMatches("fw/a/*/*", "fw/b/1/image"));
  EXPECT_FALSE(PathMatches("fw/*", "fw/a/1"));
  EXPECT_TRUE(PathMatches("*", "policy"));
  EXPECT_FALSE(PathMatches("*", "policy/x"));
  EXPECT_TRUE(PathMatches("a?c*", "abcdef"));
  EXPECT_FALSE(PathMatches("a?c", "a/c"));
  EXPECT_TRUE(PathMatches("*a*b", "xxaxxab"));
  EXPECT_FALSE(PathMatches("", "x"));
  DelegatedRole role;
  role.path_hash_prefixes = {
      HexEncode(crypto::Sha256Digest("some/path")).substr(0, 3)};
  EXPECT_TRUE(DelegationMatches(role, "some/path"));
  role.path_hash_prefixes = {"zz"};
  EXPECT_FALSE(DelegationMatches(role, "some/path"));
}

}  // namespace
}  // namespace shoal::signing
