// What the public Uptane test vectors try, in TUF 1.0 form: one row a case and
// role, offline and online roles alike. A device has refreshed once; then the
// repository's next state carries one fault. The device must say which rule it
// broke (the reason) and in which role's file (the message), and stay on what
// it trusted.
#include <functional>
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "signing/metadata/image_info.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using nlohmann::json;
using ::shoal::testing::FakeClock;
using ::shoal::testing::TempDir;

// Root asks for two, every other role for one.
std::vector<std::string> KeysOf(const std::string& role) {
  if (role == "root") return {"root-1", "root-2"};
  return {role};
}
bool IsDelegated(const std::string& role) {
  return role != "root" && role != "timestamp" && role != "snapshot" &&
         role != "targets";
}

class Attack {
 public:
  explicit Attack(TestRepository& repository) : repository_(repository) {}

  // The next version of everything, whole; what follows spoils it.
  void NextVersions() {
    repository_.PublishRoot({"root-1", "root-2"});
    repository_.PublishAll();
  }
  std::string FileName(const std::string& role) {
    if (role == "timestamp") return role;
    if (role == "root")
      return std::to_string(repository_.root.version) + ".root";
    if (role == "snapshot")
      return std::to_string(repository_.snapshot_version) + ".snapshot";
    return std::to_string(repository_.roles.at(role).version) + "." + role;
  }
  std::string& File(const std::string& role) {
    return repository_.file(FileName(role));
  }
  // Other content, signed by whom the role's keys belong to, and pinned by
  // whatever pins it: nothing but the content is wrong.
  void ChangeSigned(const std::string& role,
                    const std::function<void(json&)>& change) {
    json file = json::parse(File(role));
    change(file["signed"]);
    file["signatures"] = json::array();
    const std::string canonical =
        *CanonicalJson(file["signed"].dump(), 1 << 20);
    for (const std::string& name : KeysOf(role))
      file["signatures"].push_back(
          {{"keyid", repository_.public_key(name).id},
           {"sig", HexEncode(repository_.key(name).Sign(canonical))}});
    Replace(role, file.dump());
  }
  void ChangeSignatures(const std::string& role,
                        const std::function<void(json&)>& change) {
    json file = json::parse(File(role));
    change(file["signatures"]);
    Replace(role, file.dump());
  }
  void Replace(const std::string& role, const std::string& bytes) {
    File(role) = bytes;
    if (role == "root" || role == "timestamp") return;
    if (role != "snapshot") {
      repository_.newest_[role].bytes = bytes;
      repository_.PublishSnapshot();
    }
    repository_.PublishTimestamp();
  }
  TestRepository& repository() { return repository_; }

 private:
  TestRepository& repository_;
};

using Mutation = void (*)(Attack&, const std::string& role);

struct Row {
  const char* attack;
  const char* role;
  Mutation mutate;
  const char* reason;
};

// The mutations, by the names that the table uses.

void Unsigned(Attack& a, const std::string& role) {
  a.ChangeSignatures(role, [](json& s) { s = json::array(); });
}
void OneSignatureTooFew(Attack& a, const std::string& role) {
  a.ChangeSignatures(role, [](json& s) { s.erase(s.begin()); });
}
void SignatureOfOtherContent(Attack& a, const std::string& role) {
  a.ChangeSignatures(role,
                     [](json& s) { s[0]["sig"] = std::string(128, 'a'); });
}
void SignedTwiceByOneKey(Attack& a, const std::string& role) {
  a.ChangeSignatures(role, [](json& s) { s.push_back(s[0]); });
}
void SignatureUnderAKeyIdOfNobody(Attack& a, const std::string& role) {
  a.ChangeSignatures(role,
                     [](json& s) { s[0]["keyid"] = std::string(64, '0'); });
}
void SignedByTheWrongRole(Attack& a, const std::string& role) {
  const std::string thief = role == "director" ? "timestamp" : "director";
  const std::string canonical =
      *CanonicalJson(json::parse(a.File(role))["signed"].dump(), 1 << 20);
  a.ChangeSignatures(role, [&](json& s) {
    s = {{{"keyid", a.repository().public_key(thief).id},
          {"sig", HexEncode(a.repository().key(thief).Sign(canonical))}}};
  });
}
void Expired(Attack& a, const std::string& role) {
  a.ChangeSigned(role, [](json& s) { s["expires"] = "2025-12-31T23:59:59Z"; });
}
void WrongType(Attack& a, const std::string& role) {
  a.ChangeSigned(role, [&](json& s) {
    s["_type"] = role == "snapshot" ? "targets" : "snapshot";
  });
}
void NoVersion(Attack& a, const std::string& role) {
  a.ChangeSigned(role, [](json& s) { s.erase("version"); });
}
void FutureSpecification(Attack& a, const std::string& role) {
  a.ChangeSigned(role, [](json& s) { s["spec_version"] = "2.0.0"; });
}
// Not pinned anew: what was signed is another file. The length that is signed
// bounds what is read at all.
void OneByteMore(Attack& a, const std::string& role) { a.File(role) += " "; }
void OneByteLess(Attack& a, const std::string& role) {
  a.File(role).pop_back();
}
void OneByteOther(Attack& a, const std::string& role) {
  std::string& file = a.File(role);
  file[file.find("spec_version") + 1] ^= 1;
}
void Oversized(Attack& a, const std::string& role) {
  a.File(role).append(6'000'000, ' ');
}
void AnotherRolesFile(Attack& a, const std::string& role) {
  a.File(role) = a.File(role == "targets" ? "snapshot" : "targets");
}
void Missing(Attack& a, const std::string& role) {
  a.repository().Erase(a.FileName(role));
}

// Root and delegations: who may sign `role`.
json& KeysEntry(json& signed_part, const std::string& role) {
  if (!IsDelegated(role)) return signed_part["roles"][role];
  for (json& one : signed_part["delegations"]["roles"])
    if (one["name"] == role) return one;
  abort();
}
json& KeysTable(json& signed_part, const std::string& role) {
  return IsDelegated(role) ? signed_part["delegations"]["keys"]
                           : signed_part["keys"];
}
std::string Delegator(const std::string& role) {
  if (!IsDelegated(role)) return "root";
  return role == "director-a" ? "director" : "targets";
}
void ThresholdZero(Attack& a, const std::string& role) {
  a.ChangeSigned(Delegator(role),
                 [&](json& s) { KeysEntry(s, role)["threshold"] = 0; });
}
void ThresholdOfNone(Attack& a, const std::string& role) {
  a.ChangeSigned(Delegator(role),
                 [&](json& s) { KeysEntry(s, role).erase("threshold"); });
}
void ThresholdTwoSignedByOne(Attack& a, const std::string& role) {
  a.ChangeSigned(Delegator(role), [&](json& s) {
    const Key other = a.repository().public_key("another");
    KeysTable(s, role)[other.id] = {
        {"keytype", "ed25519"},
        {"scheme", "ed25519"},
        {"keyval", {{"public", HexEncode(other.public_key)}}}};
    KeysEntry(s, role)["keyids"].push_back(other.id);
    KeysEntry(s, role)["threshold"] = 2;
  });
}
void ThresholdTwoByOneKeyUnderTwoIds(Attack& a, const std::string& role) {
  a.ChangeSigned(Delegator(role), [&](json& s) {
    const std::string id = a.repository().public_key(role).id;
    json twin = KeysTable(s, role)[id];
    twin["alias"] = "twin";
    const std::string twin_id =
        HexEncode(crypto::Sha256Digest(*CanonicalJson(twin.dump(), 1 << 16)));
    KeysTable(s, role)[twin_id] = twin;
    KeysEntry(s, role)["keyids"].push_back(twin_id);
    KeysEntry(s, role)["threshold"] = 2;
  });
  // Both ids sign, by one key.
  const std::string twin_id = [&] {
    json s = json::parse(a.File(Delegator(role)))["signed"];
    return KeysEntry(s, role)["keyids"][1].get<std::string>();
  }();
  a.ChangeSignatures(role, [&](json& s) {
    s.push_back({{"keyid", twin_id}, {"sig", s[0]["sig"]}});
  });
}
void KeyUnderAForgedId(Attack& a, const std::string& role) {
  a.ChangeSigned(Delegator(role), [&](json& s) {
    const std::string id = a.repository().public_key(role).id;
    const std::string forged(64, 'f');
    KeysTable(s, role)[forged] = KeysTable(s, role)[id];
    KeysTable(s, role).erase(id);
    KeysEntry(s, role)["keyids"] = {forged};
  });
  a.ChangeSignatures(role,
                     [](json& s) { s[0]["keyid"] = std::string(64, 'f'); });
}

// Rotation.
void VersionSkipped(Attack& a, const std::string& role) {
  a.ChangeSigned(role,
                 [](json& s) { s["version"] = s["version"].get<int>() + 1; });
}
void VersionUnchanged(Attack& a, const std::string& role) {
  a.ChangeSigned(role,
                 [](json& s) { s["version"] = s["version"].get<int>() - 1; });
}
void NotSignedByTheKeysBefore(Attack& a, const std::string&) {
  a.repository().root.version -= 1;
  a.repository().RotateKey("root", "root-new");
  a.repository().PublishRoot({"root-new"});
}
void NotSignedByTheKeysToCome(Attack& a, const std::string&) {
  a.repository().root.version -= 1;
  a.repository().RotateKey("root", "root-new");
  a.repository().PublishRoot({"root-1", "root-2"});
}

const Row kRows[] = {
    // attack, role, mutation, the rule that is broken
    {"Unsigned", "root", Unsigned, "bad_signature"},
    {"Unsigned", "targets", Unsigned, "bad_signature"},
    {"Unsigned", "fw-a", Unsigned, "bad_signature"},
    {"Unsigned", "snapshot", Unsigned, "bad_signature"},
    {"Unsigned", "timestamp", Unsigned, "bad_signature"},
    {"Unsigned", "director", Unsigned, "bad_signature"},
    {"OneSignatureTooFew", "root", OneSignatureTooFew, "bad_signature"},
    {"BadSignature", "root", SignatureOfOtherContent, "bad_signature"},
    {"BadSignature", "targets", SignatureOfOtherContent, "bad_signature"},
    {"BadSignature", "fw-a", SignatureOfOtherContent, "bad_signature"},
    {"BadSignature", "snapshot", SignatureOfOtherContent, "bad_signature"},
    {"BadSignature", "timestamp", SignatureOfOtherContent, "bad_signature"},
    {"BadSignature", "director", SignatureOfOtherContent, "bad_signature"},
    {"DuplicateSignature", "root", SignedTwiceByOneKey, "bad_metadata"},
    {"DuplicateSignature", "targets", SignedTwiceByOneKey, "bad_metadata"},
    {"DuplicateSignature", "fw-a", SignedTwiceByOneKey, "bad_metadata"},
    {"DuplicateSignature", "snapshot", SignedTwiceByOneKey, "bad_metadata"},
    {"DuplicateSignature", "timestamp", SignedTwiceByOneKey, "bad_metadata"},
    {"DuplicateSignature", "director", SignedTwiceByOneKey, "bad_metadata"},
    {"KeyIdOfNobody", "root", SignatureUnderAKeyIdOfNobody, "bad_signature"},
    {"KeyIdOfNobody", "targets", SignatureUnderAKeyIdOfNobody, "bad_signature"},
    {"KeyIdOfNobody", "fw-a", SignatureUnderAKeyIdOfNobody, "bad_signature"},
    {"KeyIdOfNobody", "snapshot", SignatureUnderAKeyIdOfNobody,
     "bad_signature"},
    {"KeyIdOfNobody", "timestamp", SignatureUnderAKeyIdOfNobody,
     "bad_signature"},
    {"KeyIdOfNobody", "director", SignatureUnderAKeyIdOfNobody,
     "bad_signature"},
    {"WrongRolesKey", "root", SignedByTheWrongRole, "bad_signature"},
    {"WrongRolesKey", "targets", SignedByTheWrongRole, "bad_signature"},
    {"WrongRolesKey", "fw-a", SignedByTheWrongRole, "bad_signature"},
    {"WrongRolesKey", "snapshot", SignedByTheWrongRole, "bad_signature"},
    {"WrongRolesKey", "timestamp", SignedByTheWrongRole, "bad_signature"},
    {"WrongRolesKey", "director", SignedByTheWrongRole, "bad_signature"},

    {"ThresholdZero", "root", ThresholdZero, "bad_metadata"},
    {"ThresholdMissing", "root", ThresholdOfNone, "bad_metadata"},
    {"ThresholdZero", "targets", ThresholdZero, "bad_metadata"},
    {"ThresholdZero", "fw-a", ThresholdZero, "bad_metadata"},
    {"ThresholdZero", "snapshot", ThresholdZero, "bad_metadata"},
    {"ThresholdZero", "timestamp", ThresholdZero, "bad_metadata"},
    {"ThresholdZero", "director", ThresholdZero, "bad_metadata"},
    {"ThresholdMissing", "timestamp", ThresholdOfNone, "bad_metadata"},
    {"ThresholdMissing", "fw-a", ThresholdOfNone, "bad_metadata"},
    {"ThresholdUnmet", "targets", ThresholdTwoSignedByOne, "bad_signature"},
    {"ThresholdUnmet", "fw-a", ThresholdTwoSignedByOne, "bad_signature"},
    {"ThresholdUnmet", "snapshot", ThresholdTwoSignedByOne, "bad_signature"},
    {"ThresholdUnmet", "timestamp", ThresholdTwoSignedByOne, "bad_signature"},
    {"ThresholdUnmet", "director", ThresholdTwoSignedByOne, "bad_signature"},
    {"OneKeyTwoIds", "targets", ThresholdTwoByOneKeyUnderTwoIds,
     "bad_signature"},
    {"OneKeyTwoIds", "fw-a", ThresholdTwoByOneKeyUnderTwoIds, "bad_signature"},
    {"OneKeyTwoIds", "timestamp", ThresholdTwoByOneKeyUnderTwoIds,
     "bad_signature"},
    {"OneKeyTwoIds", "director", ThresholdTwoByOneKeyUnderTwoIds,
     "bad_signature"},
    {"ForgedKeyId", "targets", KeyUnderAForgedId, "bad_signature"},
    {"ForgedKeyId", "fw-a", KeyUnderAForgedId, "bad_signature"},
    {"ForgedKeyId", "timestamp", KeyUnderAForgedId, "bad_signature"},
    {"ForgedKeyId", "director", KeyUnderAForgedId, "bad_signature"},

    {"Expired", "root", Expired, "expired_metadata"},
    {"Expired", "targets", Expired, "expired_metadata"},
    {"Expired", "fw-a", Expired, "expired_metadata"},
    {"Expired", "snapshot", Expired, "expired_metadata"},
    {"Expired", "timestamp", Expired, "expired_metadata"},
    {"Expired", "director", Expired, "expired_metadata"},

    {"RotationSkipped", "root", VersionSkipped, "wrong_version"},
    {"RotationUnchanged", "root", VersionUnchanged, "wrong_version"},
    {"NoCrossSignature", "root", NotSignedByTheKeysBefore, "bad_signature"},
    {"NoOwnSignature", "root", NotSignedByTheKeysToCome, "bad_signature"},
    {"WrongVersion", "targets", VersionSkipped, "wrong_version"},
    {"WrongVersion", "fw-a", VersionSkipped, "wrong_version"},
    {"WrongVersion", "snapshot", VersionSkipped, "wrong_version"},
    {"WrongVersion", "director", VersionUnchanged, "wrong_version"},

    {"SizeMismatch", "targets", OneByteMore, "metadata_too_large"},
    {"SizeMismatch", "fw-a", OneByteMore, "metadata_too_large"},
    {"SizeMismatch", "snapshot", OneByteMore, "metadata_too_large"},
    {"SizeMismatch", "director", OneByteMore, "metadata_too_large"},
    {"Truncated", "targets", OneByteLess, "hash_mismatch"},
    {"Truncated", "fw-a", OneByteLess, "hash_mismatch"},
    {"Truncated", "snapshot", OneByteLess, "hash_mismatch"},
    {"Truncated", "director", OneByteLess, "hash_mismatch"},
    {"Truncated", "root", OneByteLess, "bad_metadata"},
    {"Truncated", "timestamp", OneByteLess, "bad_metadata"},
    {"HashMismatch", "targets", OneByteOther, "hash_mismatch"},
    {"HashMismatch", "fw-a", OneByteOther, "hash_mismatch"},
    {"HashMismatch", "snapshot", OneByteOther, "hash_mismatch"},
    {"HashMismatch", "director", OneByteOther, "hash_mismatch"},
    {"Oversized", "root", Oversized, "metadata_too_large"},
    {"Oversized", "timestamp", Oversized, "metadata_too_large"},
    {"Oversized", "targets", Oversized, "metadata_too_large"},
    {"Oversized", "fw-a", Oversized, "metadata_too_large"},
    {"Oversized", "snapshot", Oversized, "metadata_too_large"},
    {"Oversized", "director", Oversized, "metadata_too_large"},

    {"WrongType", "root", WrongType, "bad_metadata"},
    {"WrongType", "targets", WrongType, "bad_metadata"},
    {"WrongType", "fw-a", WrongType, "bad_metadata"},
    {"WrongType", "snapshot", WrongType, "bad_metadata"},
    {"WrongType", "timestamp", WrongType, "bad_metadata"},
    {"WrongType", "director", WrongType, "bad_metadata"},
    {"AnotherRolesFile", "root", AnotherRolesFile, "bad_metadata"},
    {"AnotherRolesFile", "timestamp", AnotherRolesFile, "bad_metadata"},
    {"NoVersion", "root", NoVersion, "bad_metadata"},
    {"NoVersion", "targets", NoVersion, "bad_metadata"},
    {"NoVersion", "fw-a", NoVersion, "bad_metadata"},
    {"NoVersion", "timestamp", NoVersion, "bad_metadata"},
    {"NoVersion", "director", NoVersion, "bad_metadata"},
    {"FutureSpecification", "root", FutureSpecification, "bad_metadata"},
    {"FutureSpecification", "fw-a", FutureSpecification, "bad_metadata"},
    {"FutureSpecification", "timestamp", FutureSpecification, "bad_metadata"},
    {"Missing", "targets", Missing, "metadata_missing"},
    {"Missing", "fw-a", Missing, "metadata_missing"},
    {"Missing", "snapshot", Missing, "metadata_missing"},
    {"Missing", "timestamp", Missing, "metadata_missing"},
    {"Missing", "director", Missing, "metadata_missing"},
};

class Vectors : public ::testing::TestWithParam<Row> {
 protected:
  std::unique_ptr<Updater> Open() {
    UpdaterOptions options;
    options.directory = dir_.File("store");
    options.fleet_id = repository_.fleet_id();
    auto updater = Updater::Open(options, RealFileSystem(), clock_);
    EXPECT_OK(updater);
    return *std::move(updater);
  }
  // A whole refresh, with the delegated roles that a device reads.
  absl::Status Everything(Updater& updater) {
    SHOAL_RETURN_IF_ERROR(updater.Refresh(repository_));
    for (const char* role : {"fw-a", "policy", "director"})
      SHOAL_RETURN_IF_ERROR(updater.TargetsOf(&repository_, role).status());
    return absl::OkStatus();
  }

  // What the device's disk holds of the role; "" when nothing.
  std::string Kept(const std::string& role) {
    return RealFileSystem()
        .Read(dir_.File("store/" + role + ".json"), 10'000'000)
        .value_or("");
  }

  TempDir dir_;
  FakeClock clock_;
  TestRepository repository_{clock_.WallNow()};
};

// The delegator's file is signed by its keys, and only what it says of the role
// makes the role's own file wrong.
bool DelegatorIsTaken(const Row& row) {
  return row.mutate == ThresholdTwoSignedByOne ||
         row.mutate == ThresholdTwoByOneKeyUnderTwoIds ||
         row.mutate == KeyUnderAForgedId;
}
// The file that breaks the rule.
std::string Culprit(const Row& row) {
  return row.mutate == ThresholdZero || row.mutate == ThresholdOfNone
             ? Delegator(row.role)
             : row.role;
}

TEST_P(Vectors, T01_T02_T05_T06_T08_T11_TheRuleAndTheRoleAreNamed) {
  const Row& row = GetParam();
  repository_.AddTarget("fw-a", "fw/a/1/image", "what is trusted");
  repository_.PublishAll();
  uint64_t trusted = 0;
  {
    const auto before = Open();
    ASSERT_OK(Everything(*before));
    trusted = before->timestamp().version;
  }
  std::map<std::string, std::string> kept;
  for (const char* role : {"root", "timestamp", "snapshot", "targets", "fw-a",
                           "policy", "director"}) {
    kept[role] = Kept(role);
    ASSERT_FALSE(kept[role].empty()) << role;
  }
  Attack attack(repository_);
  attack.NextVersions();
  row.mutate(attack, row.role);

  auto updater = Open();
  const absl::Status status = Everything(*updater);
  EXPECT_EQ(ReasonOf(status), row.reason) << status;
  const std::string culprit = Culprit(row);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr(culprit));

  // It stayed on what it trusted: nothing of the file that is wrong is kept, in
  // the very words that were there before…
  const bool by_root = !IsDelegated(row.role);
  // A root is kept once it is signed, since the next must follow it; expired,
  // nothing is acted upon until that one comes (5.3.10).
  const bool expired_root = row.mutate == Expired && culprit == "root";
  if (expired_root)
    EXPECT_NE(Kept(culprit), kept[culprit]);
  else if (DelegatorIsTaken(row) && by_root)
    // …but what root itself took the trust from, which may be forgotten.
    EXPECT_THAT(Kept(row.role), ::testing::AnyOf(kept[row.role], ""));
  else
    EXPECT_EQ(Kept(culprit), kept[culprit]);
  // …and the set that was whole is the one that it acts upon, unless the fault
  // lies below one that is whole, or root gave other keys.
  const absl::Status stored = updater->UseStored();
  if (expired_root) {
    EXPECT_EQ(ReasonOf(stored), "expired_metadata") << stored;
    ASSERT_OK(updater->UseStored(/*allow_expired=*/true));
    EXPECT_EQ(updater->timestamp().version, trusted);
  } else if (DelegatorIsTaken(row) && by_root) {
    EXPECT_EQ(ReasonOf(stored), "bad_signature") << stored;
  } else {
    ASSERT_OK(stored);
    if (IsDelegated(culprit)) {
      EXPECT_GT(updater->timestamp().version, trusted);
      EXPECT_FALSE(updater->TargetsOf(nullptr, culprit).ok());
    } else {
      EXPECT_EQ(updater->timestamp().version, trusted);
      ASSERT_OK_AND_ASSIGN(const TargetFile image,
                           updater->GetTarget(nullptr, "fw/a/1/image"));
      EXPECT_EQ(image.sha256, crypto::Sha256Digest("what is trusted"));
    }
  }

  // Mended, the same device goes on. A root that its keys did sign, foolish as
  // it was, is kept and bounds the next.
  TestRepository& r = repository_;
  r.signer.clear();
  r.root.roles["root"] = {
      {r.public_key("root-1").id, r.public_key("root-2").id}, 2};
  r.root.version = 1;
  attack.NextVersions();
  attack.NextVersions();
  EXPECT_OK(Everything(*Open()));
}

INSTANTIATE_TEST_SUITE_P(Table, Vectors, ::testing::ValuesIn(kRows),
                         [](const auto& row) {
                           std::string name = std::string(row.param.attack) +
                                              "_" + row.param.role;
                           std::erase(name, '-');
                           return name;
                         });

// Targets: wrong hardware, wrong device, and who may speak for what.

TEST(VectorsOfTargets, T23_AnImageSaysForWhichHardwareItIs) {
  TargetFile target;
  target.path = ImagePath("camera", "1.0", "image");
  target.length = 40'000;
  target.sha256 = std::string(32, 's');
  ImageInfo info;
  info.device_type = "gateway";  // but it lies under camera's path
  info.version = "1.0";
  info.artifact = "image";
  info.counter = 1;
  info.file_root = std::string(32, 'r');
  info.piece_length = 16'384;
  target.custom = FormatImageInfo(info);
  EXPECT_EQ(ReasonOf(ParseImageInfo(target).status()), "bad_image_info");

  // Revisions of the hardware; candidate_test.cc has what a device makes of
  // them ("wrong_hardware").
  info.device_type = "camera";
  info.hardware = {"rev-a", "rev-b"};
  target.custom = FormatImageInfo(info);
  ASSERT_OK_AND_ASSIGN(const ImageInfo read, ParseImageInfo(target));
  EXPECT_EQ(read.hardware, info.hardware);
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"rev a"},
        {"../x"},
        {""},
        std::vector<std::string>(33, "rev")}) {
    info.hardware = wrong;
    target.custom = FormatImageInfo(info);
    EXPECT_EQ(ReasonOf(ParseImageInfo(target).status()), "bad_image_info")
        << wrong.front();
  }
  // In a form that could be read as "any", it is none.
  for (const char* form : {"null", R"("rev-b")", "{}", "[1]", "[]"}) {
    json custom = json::parse(FormatImageInfo(info));
    custom["shoal"]["hardware"] = json::parse(form);
    target.custom = custom.dump();
    const auto odd = ParseImageInfo(target);
    EXPECT_TRUE(!odd.ok() || std::string(form) == "[]") << form;
  }
}

struct Forbidden {
  const char* role;
  const char* path;
};
TEST(VectorsOfTargets, T09_NoRoleSpeaksForAnothersPaths) {
  for (const Forbidden& one : {
           Forbidden{"director", "fw/a/6.6.6/image"},  // online for offline
           Forbidden{"director", "policy/access.json"},
           Forbidden{"director-a", "fw/a/6.6.6/image"},
           Forbidden{"director-a", "director/b/rollout/x"},  // other hardware
           Forbidden{"fw-a", "fw/b/1/image"},
           Forbidden{"fw-a", "policy/access.json"},  // offline for offline
           Forbidden{"policy", "fw/a/1/image"},
       }) {
    TempDir dir;
    FakeClock clock;
    TestRepository repository(clock.WallNow());
    repository.AddTarget(one.role, one.path, "evil");
    repository.PublishAll();
    UpdaterOptions options;
    options.directory = dir.File("store");
    options.fleet_id = repository.fleet_id();
    ASSERT_OK_AND_ASSIGN(auto updater,
                         Updater::Open(options, RealFileSystem(), clock));
    ASSERT_OK(updater->Refresh(repository));
    EXPECT_EQ(ReasonOf(updater->GetTarget(&repository, one.path).status()),
              "unknown_target")
        << one.role << " speaks for " << one.path;
  }
}

}  // namespace
}  // namespace shoal::signing
