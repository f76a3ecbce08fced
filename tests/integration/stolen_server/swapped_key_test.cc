// The thief of the management plane wants a device's identity: it answers the
// device's own change of keys, with keys of its own and with worse, and tells
// the fleet that the device gave up the key that it has. It can silence the
// device until the recovery; it gets no device to use a key that the device did
// not make, nor to go back to one that it gave up.
#include <filesystem>

#include "agent/state/identity.h"
#include "tests/integration/stolen_server/stolen_server_fixture.h"

namespace shoal::testing {
namespace {

class SwappedKey : public StolenServer {
 protected:
  // What is on the device's disk now.
  agent::DeviceKeys KeysOf(const std::string& copy) {
    std::filesystem::copy(device().data() + "/state", dir_.File(copy),
                          std::filesystem::copy_options::recursive);
    auto keys =
        agent::DeviceKeys::LoadOrCreate(RealFileSystem(), dir_.File(copy));
    EXPECT_OK(keys);
    return *std::move(keys);
  }
  std::string Fingerprint() {
    return device().Status().value("fingerprint", "");
  }
  size_t Waiting() {
    const auto names = RealFileSystem().List(device().data() + "/spool");
    return names.ok() ? names->size() : 0;
  }
};

TEST_F(SwappedKey, T20_T52_T56_AThiefSilencesADeviceAndNeverBecomesIt) {
  ASSERT_NO_FATAL_FAILURE(TakeOver());
  const auto stranger = crypto::SigningKey::Generate();
  const std::string refused = "event=record_refused reason=bad_grant";
  const std::string first = Fingerprint();

  // The device asks for another key of its own.
  ASSERT_OK(shoal::testing::Run(
      {BinPath("shoal-agent"), "rotate-key", "--config", device().config()}));
  ASSERT_OK(device().process().WaitForLog("event=key_change_asked"));
  const agent::DeviceKeys before = KeysOf("before");
  ASSERT_TRUE(before.next.has_value());
  ASSERT_NO_FATAL_FAILURE(
      Refused("an answer to the change with the thief's key", refused,
              [&] { Grant(stranger.public_key()); }));
  EXPECT_EQ(Fingerprint(), first);
  // What it asked for a thief may give: the key is the device's own.
  ASSERT_NO_FATAL_FAILURE(Grant(before.next->public_key()));
  ASSERT_OK(device().process().WaitForLog("event=key_changed"));
  const std::string second = Fingerprint();
  EXPECT_NE(second, first);
  NothingHappened();

  // "The device gave that key up": to storage nodes it is silent.
  const size_t changes = TimesLogged("event=trust_changed");
  ASSERT_NO_FATAL_FAILURE(Supersede(before.next->public_key()));
  ASSERT_OK(thief_->Publish());
  ASSERT_OK(WaitFor("the device to hear of it", [&] {
    return TimesLogged("event=trust_changed") > changes;
  }));
  // It keeps what nobody takes, and is neither led back to the key that it
  // replaced (which may have leaked: that is why) nor on to another's.
  ASSERT_NO_FATAL_FAILURE(Grant(before.signing.public_key()));
  ASSERT_NO_FATAL_FAILURE(
      Refused("a key for the one that it is said to have lost", refused,
              [&] { Grant(stranger.public_key()); }));
  EXPECT_EQ(Fingerprint(), second);
  ASSERT_OK(WaitFor(
      "records to wait", [&] { return Waiting() >= 4; }, absl::Seconds(60)));
  // Among signed images it may move it, as ever.
  ASSERT_NO_FATAL_FAILURE(Roll(thief_->Rollout("fw/gateway/4.0/image")));
  ASSERT_NO_FATAL_FAILURE(Runs("4.0"));

  // The way back, without a visit. The backup is from before the change, so
  // that the device comes in with the key of that day and replaces it again.
  ASSERT_OK(fleet_->Recover());
  ASSERT_OK(device().process().WaitForLog("event=credential_renewed",
                                          absl::Seconds(90)));
  ASSERT_OK(fleet_->plane().WaitForLog("event=key_changed", absl::Seconds(90)));
  EXPECT_EQ(Fingerprint(), second);
  ASSERT_OK(WaitFor(
      "the fleet to take what waited", [&] { return Waiting() == 0; },
      absl::Seconds(60)));
  ASSERT_OK(fleet_->Shoal({"rollout", "create", "--id", "after", "--release",
                           "gateway/5.0", "--phase", "all:percent=100"}));
  ASSERT_NO_FATAL_FAILURE(Runs("5.0"));
  ASSERT_OK(fleet_->Shoal({"rollout", "watch", "after", "--timeout", "60s"}));
}

}  // namespace
}  // namespace shoal::testing
