// A device replaces its key with the real programs, and uses it for TLS.
#include <sys/stat.h>

#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

class KeyChangePrograms : public IdentityPrograms {};

TEST_F(KeyChangePrograms, T56_AStolenKeyFileIsReplacedWithThePlaneAway) {
  ASSERT_NO_FATAL_FAILURE(StartFleet());
  auto device = Paired("device");
  const std::string old_print = device->Status().value("fingerprint", "");
  const std::string stolen = ReadText(device->data() + "/state/identity.key");

  const std::string stolen_box = ReadText(device->data() + "/state/box.key");

  fleet_->KillPlane();
  EXPECT_NE(Agent(*device, {"rotate-key"}).find("goes on with its old key"),
            std::string::npos);
  ASSERT_OK(device->process().WaitForLog("event=key_change_asked"));
  const std::string next_print = device->Status().value("next_fingerprint", "");
  ASSERT_NE(next_print, "");
  // Asked for once, whoever asks again and whenever power fails.
  EXPECT_NE(Agent(*device, {"rotate-key"}).find(next_print), std::string::npos);
  device->PowerOff();
  device->PowerOn();
  ASSERT_OK(device->process().WaitForLog("event=online"));
  EXPECT_EQ(device->Status().value("fingerprint", ""), old_print);
  EXPECT_EQ(device->Status().value("next_fingerprint", ""), next_print);

  ASSERT_OK(fleet_->StartPlane());
  ASSERT_OK(
      device->process().WaitForLog("event=key_changed", absl::Seconds(90)));
  EXPECT_EQ(device->Status().value("fingerprint", ""), next_print);
  EXPECT_FALSE(device->Status().contains("next_fingerprint"));
  ASSERT_OK(WaitFor(
      "the plane to know the new key",
      [&] {
        return Shown(*device, "fingerprint", "fingerprint") == next_print;
      },
      absl::Seconds(60)));
  // It is the same device, and nothing of what it said is missing.
  const int64_t seen = LastSeen(*device);
  EXPECT_GT(seen, 0);
  const auto telemetry =
      fleet_->Shoal({"telemetry", "status", "--output", "json"});
  ASSERT_OK(telemetry);
  EXPECT_NE(ReadText(device->data() + "/state/identity.key"), stolen);
  EXPECT_EQ(ReadText(device->data() + "/state/identity.previous"), stolen);
  // What is sealed to the device from now on, no copy of that day opens.
  EXPECT_NE(ReadText(device->data() + "/state/box.key"), stolen_box);
  EXPECT_EQ(ReadText(device->data() + "/state/box.previous"), stolen_box);

  // The other form of its credential, for the same key.
  const std::string crt = dir_.File("device.crt"),
                    key = dir_.File("device.key"),
                    ca = dir_.File("device-ca.pem");
  Agent(*device, {"certificate", "--out", crt, "--key-out", key});
  ASSERT_OK(fleet_->Shoal({"trust", "device-ca", "--out", ca}));
  int code = 0;
  std::string said = Openssl(
      {"verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, crt},
      &code);
  EXPECT_EQ(code, 0) << said;
  said = Openssl({"x509", "-in", crt, "-noout", "-text"}, &code);
  EXPECT_NE(said.find("URI:shoal:device/" + IdOf(*device)), said.npos) << said;
  EXPECT_EQ(Openssl({"x509", "-in", crt, "-noout", "-pubkey"}, &code),
            Openssl({"pkey", "-in", key, "-pubout"}, &code));
  struct stat info {};
  ASSERT_EQ(::stat(key.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  said = Agent(*device, {"certificate", "--csr", "--out", dir_.File("csr")});
  said = Openssl({"req", "-in", dir_.File("csr"), "-verify", "-noout"}, &code);
  EXPECT_EQ(code, 0) << said;

  // Once it has left, it changes its key no more.
  ASSERT_OK(fleet_->Shoal(
      {"device", "decommission", IdOf(*device), "--reason", "sold", "--yes"}));
  said = Agent(*device, {"rotate-key", "--wait", "5s"}, 1);
  EXPECT_NE(said.find("key_change_waits"), said.npos) << said;
  EXPECT_EQ(device->Status().value("fingerprint", ""), next_print);
  EXPECT_EQ(Shown(*device, "fingerprint", "fingerprint"), next_print);
}

}  // namespace
}  // namespace shoal::testing
