// A storage node that the policy revokes loses the network; and the network key
// is replaced by hand, as docs/operations/stolen-server.md says in step 7.
#include "common/clock.h"
#include "common/status.h"
#include "dht/records/network.h"
#include "tests/integration/identity/identity_fixture.h"

namespace shoal::testing {
namespace {

class RevokedNodePrograms : public IdentityPrograms {
 protected:
  // Whether whoever holds the first network key gets an answer at node-1.
  bool FirstKeyOpens() {
    dht::NetworkOptions options;
    options.fleet_id = fleet_->fleet_id();
    pairing::v1::NetworkKey key;
    key.set_epoch(1);
    key.set_key(ReadText(fleet_->Path("plane/keys/network")));
    options.keys = {key};
    options.place_key = ReadText(fleet_->Path("plane/keys/place"));
    options.bootstrap = {
        fleet_->node("node-1").LogValue("event=ready", "dht").value_or("")};
    options.resolver = [](const dht::RecordBody&,
                          absl::Time) -> absl::StatusOr<dht::Writer> {
      return PermissionDenied("unknown_writer", "a stranger reads nothing");
    };
    options.clock = &SystemClock();
    auto network = dht::Network::Open(std::move(options));
    EXPECT_OK(network);
    return network.ok() &&
           (*network)->WaitUntilConnected(absl::Seconds(5)).ok();
  }
  std::string PublicKeyOf(const std::string& node) {
    const auto listed = fleet_->Shoal({"node", "list", "--output", "json"});
    EXPECT_OK(listed);
    const auto j = nlohmann::json::parse(*listed, nullptr, false);
    const auto& directory = j.contains("directory") ? j["directory"] : j;
    const std::string address =
        fleet_->node(node).LogValue("event=ready", "dht").value_or("?");
    for (const auto& one : directory["nodes"])
      for (const char* name : {"dht_address", "dhtAddress"})
        if (one.value(name, "") == address)
          for (const char* key : {"public_key", "publicKey"})
            if (one.contains(key)) return one[key].get<std::string>();
    ADD_FAILURE() << *listed;
    return "";
  }
  // JSON has bytes as base64.
  static std::string HexOfBase64(const std::string& text) {
    std::string hex;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
      static const std::string kAlphabet =
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      const size_t value = kAlphabet.find(c);
      if (value == std::string::npos) break;
      bits = (bits << 6 | static_cast<uint32_t>(value)) & 0xffffff;
      count += 6;
      if (count < 8) continue;
      count -= 8;
      const uint32_t byte = bits >> count & 0xff;
      hex += "0123456789abcdef"[byte >> 4];
      hex += "0123456789abcdef"[byte & 15];
    }
    return hex;
  }
};

TEST_F(RevokedNodePrograms, T45_T52_ARevokedNodeIsOutAndTheKeyIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(StartFleet("\n[network]\nkey_overlap = \"4s\"\n", 3));
  for (const std::string& name : fleet_->nodes()) {
    fleet_->AddNodeSettings(name, "\n[store]\nsweep_interval = \"500ms\"\n");
    ASSERT_OK(fleet_->RestartNode(name));
  }
  auto device = Paired("device");
  auto away = Paired("away");
  ASSERT_OK(WaitFor("its report", [&] { return LastSeen(*away) > 0; }));
  away->PowerOff();
  EXPECT_TRUE(FirstKeyOpens());

  // The policy officers revoke its key.
  const std::string key = PublicKeyOf("node-3");
  const std::string hex = key.size() == 64 ? key : HexOfBase64(key);
  ASSERT_EQ(hex.size(), 64u) << key;
  nlohmann::json access =
      nlohmann::json::parse(ReadText(fleet_->Path("access.json")));
  access["version"] = "2";
  access["revocations"] = {{"nodeKeys", {hex}}};
  WriteText(fleet_->Path("access.json"), access.dump());
  ASSERT_OK(fleet_->Sign({"policy", "set", fleet_->Path("access.json")}));
  ASSERT_OK(fleet_->Shoal({"trust", "publish", fleet_->Path("repo")}));

  // It is in no directory any more, and the key that it knows is replaced.
  ASSERT_OK(
      device->process().WaitForLog("event=network_keys", absl::Seconds(60)));
  ASSERT_OK(device->process().WaitForLog("event=directory_changed"));
  const auto listed = fleet_->Shoal({"node", "list", "--output", "json"});
  ASSERT_OK(listed);
  EXPECT_EQ(listed->find(key), std::string::npos) << *listed;
  for (const char* name : {"node-1", "node-2"})
    ASSERT_OK(fleet_->node(name).WaitForLog("in_force=2 retired=1",
                                            absl::Seconds(60)));
  // Nobody sealed the new one to it; with the old one nobody is answered.
  EXPECT_EQ(fleet_->NodeLog("node-3").find("event=network_keys"),
            std::string::npos);
  EXPECT_FALSE(FirstKeyOpens());
  // What is published from now on never reaches it, and the fleet goes on.
  const int64_t before = LastSeen(*device);
  device->PowerOff();
  device->PowerOn();
  ASSERT_OK(WaitFor(
      "a report without it", [&] { return LastSeen(*device) > before; },
      absl::Seconds(60)));
  ASSERT_OK(WaitFor(
      "two receipts to be enough", [&] { return SpoolEmpty(*device); },
      absl::Seconds(60)));

  // So does a device that was away meanwhile: the revoked node, which answers
  // it under the old key, is not taken for the fleet.
  const int64_t last_seen = LastSeen(*away);
  away->PowerOn();
  ASSERT_OK(
      away->process().WaitForLog("event=network_keys", absl::Seconds(60)));
  ASSERT_OK(WaitFor(
      "the report of the device that was away",
      [&] { return LastSeen(*away) > last_seen; }, absl::Seconds(60)));

  // By hand: the step of the recovery page, as it is written there.
  const auto rotated =
      fleet_->Shoal({"network", "rotate-key", "--reason", "plane stolen"});
  ASSERT_OK(rotated);
  EXPECT_NE(rotated->find("is sealed to the nodes and 2 devices"),
            std::string::npos)
      << *rotated;
  ASSERT_OK(fleet_->Shoal({"context", "refresh"}));
  for (const char* name : {"node-1", "node-2"})
    ASSERT_OK(fleet_->node(name).WaitForLog("in_force=2 retired=2",
                                            absl::Seconds(60)));
  // An operator that refreshed works on, without the plane.
  fleet_->KillPlane();
  EXPECT_OK(fleet_->Shoal({"node", "status"}));
  const auto unknown = fleet_->Shoal(
      {"command", "run", IdOf(*device), "nothing", "--timeout", "30s"});
  EXPECT_EQ(unknown.status().message().find("network_unreachable"),
            std::string::npos)
      << unknown.status();
}

}  // namespace
}  // namespace shoal::testing
