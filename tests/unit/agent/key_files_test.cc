// The device's key is replaced while power may fail at any write: it goes on
// with one of the two, and always with the one that its credential names.
#include "agent/state/key_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "agent/link/signing_keys.h"
#include "agent/state/identity.h"
#include "common/crypto/box.h"
#include "signing/verify/key_change.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/agent/faulty_files.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;
using testing::FaultyFiles;
using testing::PowerLoss;
using Owner = SigningKeys::Owner;

Membership MemberWith(const std::string& public_key) {
  Membership membership;
  membership.fleet_id = std::string(32, 'f');
  membership.director_key = std::string(32, 'd');
  membership.grant.set_device_id(std::string(16, 'i'));
  records::v1::CredentialBody body;
  body.set_public_key(public_key);
  membership.grant.mutable_credential()->set_body(body.SerializeAsString());
  return membership;
}

DeviceKeys Load(const TempDir& dir) {
  auto keys = DeviceKeys::LoadOrCreate(RealFileSystem(), dir.path());
  EXPECT_OK(keys);
  return *std::move(keys);
}

// The switch as FleetLink makes it: the credential, then the key in use.
void Switch(FileSystem& fs, const TempDir& dir, const DeviceKeys& keys,
            Owner owner) {
  SigningKeys signing(&fs, dir.path(), keys);
  const crypto::SigningKey& to =
      owner == Owner::kNext ? *keys.next : *keys.previous;
  EXPECT_OK(SaveMembership(fs, dir.path(), MemberWith(to.public_key())));
  signing.Use(owner);
  EXPECT_EQ(signing.in_use()->public_key(), to.public_key());
}

struct Start {
  std::string first;
  std::string second;
};

// A paired device that has asked for another key.
Start Asked(const TempDir& dir) {
  Start start;
  start.first = Load(dir).signing.public_key();
  EXPECT_OK(
      SaveMembership(RealFileSystem(), dir.path(), MemberWith(start.first)));
  EXPECT_TRUE(*MakeNextKey(RealFileSystem(), dir.path()));
  EXPECT_FALSE(*MakeNextKey(RealFileSystem(), dir.path()));  // asked already
  start.second = Load(dir).next->public_key();
  return start;
}

TEST(KeyFiles, ANewKeyIsPrivateAndInUseOnceItIsCertified) {
  TempDir dir;
  const Start start = Asked(dir);
  struct stat info {};
  ASSERT_EQ(::stat(dir.File("identity.next").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(Load(dir).signing.public_key(), start.first);

  Switch(RealFileSystem(), dir, Load(dir), Owner::kNext);
  const DeviceKeys after = Load(dir);
  EXPECT_EQ(after.signing.public_key(), start.second);
  EXPECT_FALSE(after.next.has_value());
  ASSERT_TRUE(after.previous.has_value());
  EXPECT_EQ(after.previous->public_key(), start.first);
  EXPECT_FALSE(RealFileSystem().Exists(dir.File("identity.next")));
}

std::string Sealed(const std::string& box_key) {
  return *crypto::SealTo(box_key, "a network key");
}

TEST(KeyFiles, T54_T56_TheBoxKeyChangesWithTheSigningKey) {
  TempDir dir;
  Asked(dir);
  const DeviceKeys stolen = Load(dir);  // as in a copy of that day
  const std::string old_box = stolen.box->public_key();
  const DeviceKeys keys = Load(dir);
  Switch(RealFileSystem(), dir, keys, Owner::kNext);
  // While it runs, and after a restart.
  for (const auto& box : {keys.box, Load(dir).box}) {
    EXPECT_NE(box->public_key(), old_box);
    EXPECT_OK(box->Open(Sealed(box->public_key())));
    EXPECT_OK(box->Open(Sealed(old_box)));  // was under way
    EXPECT_THAT(stolen.box->Open(Sealed(box->public_key())),
                FailsBecause("not_decryptable"));
  }
  const std::string new_box = keys.box->public_key();
  EXPECT_EQ(Load(dir).box->public_key(), new_box);
  for (const char* file : {"box.key", "box.previous"}) {
    struct stat info {};
    ASSERT_EQ(::stat(dir.File(file).c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  EXPECT_FALSE(RealFileSystem().Exists(dir.File("box.next")));
  // Back to the signing key before (a plane that was set back) is no reason to
  // go back to a box key that leaked.
  Switch(RealFileSystem(), dir, Load(dir), Owner::kPrevious);
  EXPECT_EQ(Load(dir).box->public_key(), new_box);
  EXPECT_OK(Load(dir).box->Open(Sealed(old_box)));
}

TEST(KeyFiles, T60_PowerMayFailAtAnyWriteOfAChange) {
  for (const bool back : {false, true}) {
    for (const bool takes_effect : {false, true}) {
      int fail_at = 1;
      for (bool lost = true; lost; ++fail_at) {
        SCOPED_TRACE("write " + std::to_string(fail_at) +
                     (takes_effect ? " done" : " not done") +
                     (back ? ", back" : ""));
        TempDir dir;
        const Start start = Asked(dir);
        if (back) Switch(RealFileSystem(), dir, Load(dir), Owner::kNext);
        const std::string from = back ? start.second : start.first;
        const std::string to = back ? start.first : start.second;
        const std::string box = Load(dir).box->public_key();
        FaultyFiles files;
        files.fail_at = fail_at;
        files.takes_effect = takes_effect;
        lost = false;
        try {
          Switch(files, dir, Load(dir), back ? Owner::kPrevious : Owner::kNext);
        } catch (const PowerLoss&) {
          lost = true;
        }
        // One of the two, by what the credential says.
        const bool certified = fail_at > 1 || takes_effect || !lost;
        const DeviceKeys keys = Load(dir);
        EXPECT_EQ(keys.signing.public_key(), certified ? to : from);
        // The next start ends what was begun, and nothing is lost on the way.
        SigningKeys signing(&RealFileSystem(), dir.path(), keys);
        signing.Settle();
        const DeviceKeys settled = Load(dir);
        EXPECT_EQ(settled.signing.public_key(), certified ? to : from);
        const auto& other = certified == back ? settled.next : settled.previous;
        ASSERT_TRUE(other.has_value());
        EXPECT_EQ(other->public_key(), certified ? from : to);
        // What was sealed to the box key before is opened still, and a change
        // that went through has another.
        EXPECT_OK(settled.box->Open(Sealed(box)));
        EXPECT_EQ(settled.box->public_key() != box, certified && !back);
        EXPECT_FALSE(RealFileSystem().Exists(dir.File("box.next")));
        EXPECT_EQ(Load(dir).box->public_key(), settled.box->public_key());
      }
      EXPECT_GT(fail_at, 3);
    }
  }
}

TEST(KeyFiles, AFullDiskLeavesTheChangeForTheNextStart) {
  TempDir dir;
  const Start start = Asked(dir);
  FaultyFiles files;
  files.disk_full = true;
  files.fail_at = 2;  // behind the credential
  Switch(files, dir, Load(dir), Owner::kNext);
  EXPECT_EQ(Load(dir).signing.public_key(), start.second);
}

TEST(KeyFiles, ACredentialForNoKeyOfTheDeviceIsDamage) {
  TempDir dir;
  Load(dir);
  ASSERT_OK(SaveMembership(RealFileSystem(), dir.path(),
                           MemberWith(std::string(32, 'x'))));
  EXPECT_THAT(DeviceKeys::LoadOrCreate(RealFileSystem(), dir.path()),
              FailsBecause("bad_identity"));
}

TEST(SigningKeysTest, SaysWhatItChangedAndWhatItAsksFor) {
  TempDir dir;
  const Start start = Asked(dir);
  const std::string fleet(32, 'f'), id(16, 'i');
  SigningKeys signing(&RealFileSystem(), dir.path(), Load(dir));
  ASSERT_EQ(signing.Changes(fleet, id).size(), 1u);
  EXPECT_OK(signing::VerifyKeyChange(signing.Changes(fleet, id)[0], fleet, id));
  EXPECT_EQ(signing.Changes(fleet, id)[0].new_key(), start.second);
  signing.Use(Owner::kNext);
  ASSERT_EQ(signing.Changes(fleet, id).size(), 1u);
  EXPECT_EQ(signing.Changes(fleet, id)[0].old_key(), start.first);
  // Asked for again, while it runs.
  ASSERT_TRUE(*MakeNextKey(RealFileSystem(), dir.path()));
  signing.LookForNext();
  ASSERT_EQ(signing.Changes(fleet, id).size(), 2u);
  EXPECT_EQ(signing.Changes(fleet, id)[1].old_key(), start.second);
}

TEST(KeyChange, T20_NeedsBothKeysForThisDeviceOfThisFleet) {
  const auto old_key = crypto::SigningKey::Generate();
  const auto new_key = crypto::SigningKey::Generate();
  const std::string fleet(32, 'f'), id(16, 'i');
  const auto good = signing::SignKeyChange(old_key, new_key, fleet, id);
  EXPECT_OK(signing::VerifyKeyChange(good, fleet, id));
  EXPECT_THAT(signing::VerifyKeyChange(good, std::string(32, 'g'), id),
              FailsBecause("bad_signature"));
  EXPECT_THAT(signing::VerifyKeyChange(good, fleet, std::string(16, 'j')),
              FailsBecause("bad_signature"));
  auto bad = good;
  bad.set_old_signature(good.new_signature());
  EXPECT_THAT(signing::VerifyKeyChange(bad, fleet, id),
              FailsBecause("bad_signature"));
  bad = good;
  bad.clear_new_signature();
  EXPECT_THAT(signing::VerifyKeyChange(bad, fleet, id),
              FailsBecause("bad_signature"));
  bad = good;
  bad.set_new_key(good.old_key());
  EXPECT_THAT(signing::VerifyKeyChange(bad, fleet, id),
              FailsBecause("bad_key_change"));
  bad = good;
  bad.set_new_key(good.new_key() + "x");
  EXPECT_THAT(signing::VerifyKeyChange(bad, fleet, id),
              FailsBecause("bad_key_change"));
}

}  // namespace
}  // namespace shoal::agent
