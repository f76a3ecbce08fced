// The real shoal-sign from the first key to a repository that clients accept.
#include <sys/stat.h>

#include "common/bytes.h"
#include "common/crypto/ed25519.h"
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

class ShoalSign : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(fs_.WriteAtomic(dir_.File("pass"), "open sesame\n", 0600));
    ASSERT_OK(fs_.WriteAtomic(dir_.File("image"), std::string(100000, 'i')));
    ASSERT_OK(fs_.WriteAtomic(
        dir_.File("policy.json"),
        R"({"version":"1","operators":[{"name":"alice","publicKey":")" +
            std::string(64, 'a') + R"(","roles":["admin"]}]})"));
  }
  CommandResult Plain(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), BinPath("shoal-sign"));
    auto result = shoal::testing::Run(std::move(arguments));
    EXPECT_OK(result);
    return result.ok() ? *std::move(result) : CommandResult{};
  }
  CommandResult Sign(std::vector<std::string> arguments) {
    for (const std::string& more :
         {std::string("--keys"), dir_.File("keys"), std::string("--repo"),
          dir_.File("repo"), std::string("--passphrase-file"),
          dir_.File("pass"), std::string("--kdf"), std::string("interactive")})
      arguments.push_back(more);
    return Plain(std::move(arguments));
  }
  void MakeFleet() {
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{
             {"init"},
             {"device-type", "add", "gateway"},
             {"image", "add", "--type", "gateway", "--version", "1.0.0",
              "--counter", "1", dir_.File("image")},
             {"policy", "set", dir_.File("policy.json")},
             {"publish"}}) {
      const CommandResult result = Sign(step);
      ASSERT_TRUE(result.status.ok()) << step[0] << ": " << result.output;
      if (step[0] == "init") {
        const size_t at = result.output.find("fleet id: ");
        ASSERT_NE(at, std::string::npos) << result.output;
        fleet_id_ = result.output.substr(at + 10, 64);
      }
    }
  }
  std::string Repo(const std::string& name) {
    return dir_.File("repo") + "/" + name;
  }
  TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  std::string fleet_id_;
};

TEST_F(ShoalSign, FromTheFirstKeyToAVerifiedRepository) {
  ASSERT_NO_FATAL_FAILURE(MakeFleet());
  CommandResult result =
      Plain({"verify", dir_.File("repo"), "--fleet-id", fleet_id_});
  EXPECT_TRUE(result.status.ok()) << result.output;
  EXPECT_THAT(result.output, HasSubstr("fw-gateway version 2: 1 targets"));
  EXPECT_THAT(result.output, HasSubstr("policy version 2: 1 targets"));
  ASSERT_OK_AND_ASSIGN(const std::string root,
                       fs_.Read(Repo("metadata/1.root.json"), 512000));
  EXPECT_EQ(HexEncode(crypto::Sha256Digest(root)), fleet_id_);
  result = Plain({"inspect", Repo("metadata/2.fw-gateway.json")});
  EXPECT_THAT(result.output, HasSubstr("fw/gateway/1.0.0/image 100000 bytes"));
  result =
      Plain({"verify", dir_.File("repo"), "--fleet-id", std::string(64, '0')});
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.output, HasSubstr("wrong_fleet"));
}

TEST_F(ShoalSign, T01_AChangedImageOrMetadataIsRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeFleet());
  const std::string image = std::string(100000, 'i');
  const std::string path =
      Repo("targets/fw/gateway/1.0.0/" +
           HexEncode(crypto::Sha256Digest(image)) + ".image");
  ASSERT_OK(fs_.WriteAtomic(path, "I" + image.substr(1)));
  CommandResult result = Plain({"verify", dir_.File("repo")});
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.output, HasSubstr("hash_mismatch"));
  ASSERT_OK(fs_.WriteAtomic(path, image));
  const std::string timestamp = Repo("metadata/timestamp.json");
  ASSERT_OK_AND_ASSIGN(std::string bytes, fs_.Read(timestamp, 16384));
  bytes.replace(bytes.find("\"expires\":\"20"), 13, "\"expires\":\"21");
  ASSERT_OK(fs_.WriteAtomic(timestamp, bytes));
  result = Plain({"verify", dir_.File("repo")});
  EXPECT_THAT(result.output, HasSubstr("bad_signature"));
}

TEST_F(ShoalSign, T56_KeysAreEncryptedAndPrivate) {
  ASSERT_NO_FATAL_FAILURE(MakeFleet());
  ASSERT_OK_AND_ASSIGN(const auto names, fs_.List(dir_.File("keys")));
  int keys = 0;
  for (const std::string& name : names) {
    if (name.find(".key") == name.npos) continue;
    ++keys;
    struct stat info {};
    ASSERT_EQ(stat((dir_.File("keys") + "/" + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u) << name;
  }
  EXPECT_EQ(keys, 12);  // 3 root, targets, policy, 6 online, fw-gateway
  ASSERT_OK(fs_.WriteAtomic(dir_.File("pass"), "guess\n", 0600));
  const CommandResult result = Sign({"publish"});
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.output, HasSubstr("wrong_passphrase"));
}

TEST_F(ShoalSign, T34_BadNamesAndRepeatsAreRefused) {
  ASSERT_NO_FATAL_FAILURE(MakeFleet());
  const auto expect = [&](std::vector<std::string> step, const char* reason) {
    const CommandResult result = Sign(std::move(step));
    EXPECT_FALSE(result.status.ok());
    EXPECT_THAT(result.output, HasSubstr(reason));
  };
  expect({"init"}, "fleet_exists");
  expect({"device-type", "add", "../x"}, "bad_name");
  expect({"device-type", "add", "gateway"}, "device_type_exists");
  expect({"image", "add", "--type", "gateway", "--version", "../../x",
          "--counter", "2", dir_.File("image")},
         "bad_name");
  expect({"image", "add", "--type", "gateway", "--version", "1.0.0",
          "--counter", "2", dir_.File("image")},
         "image_exists");
  expect({"image", "add", "--type", "gateway", "--version", "1.0.1",
          "--counter", "1", dir_.File("image")},
         "counter_used");
  expect({"image", "add", "--type", "gateway", "--version", "1.0.1",
          "--counter", "2", "--min-counter", "3", dir_.File("image")},
         "bad_counter");
  expect({"policy", "set", dir_.File("policy.json")}, "rollback");
  ASSERT_OK(fs_.WriteAtomic(dir_.File("policy.json"),
                            R"({"version":"2","everyone":"root"})"));
  expect({"policy", "set", dir_.File("policy.json")}, "bad_policy");
}

TEST_F(ShoalSign, T08_KeysRotate) {
  ASSERT_NO_FATAL_FAILURE(MakeFleet());
  for (const char* role : {"timestamp", "targets", "fw-gateway", "director"}) {
    const CommandResult result = Sign({"rotate", role, "--new", "1"});
    ASSERT_TRUE(result.status.ok()) << role << ": " << result.output;
  }
  CommandResult result =
      Sign({"rotate", "root", "--remove", "root-1", "--new", "1"});
  ASSERT_TRUE(result.status.ok()) << result.output;
  for (const char* role : {"root", "targets", "policy"}) {
    result = Sign({"renew", role});
    ASSERT_TRUE(result.status.ok()) << role << ": " << result.output;
  }
  ASSERT_TRUE(Sign({"publish"}).status.ok());
  result = Plain({"verify", dir_.File("repo"), "--fleet-id", fleet_id_});
  EXPECT_TRUE(result.status.ok()) << result.output;
  EXPECT_THAT(result.output, HasSubstr("root 5"));
}

TEST_F(ShoalSign, WithAPlaneOnlyThePlaneHoldsOnlineKeys) {
  std::string json = "{";
  for (const char* name : {"director", "snapshot", "timestamp", "device_ca",
                           "node_ca", "telemetry"})
    json += std::string(json.size() > 1 ? "," : "") + "\"" + name + "\":\"" +
            HexEncode(crypto::SigningKey::Generate().public_key()) + "\"";
  ASSERT_OK(fs_.WriteAtomic(dir_.File("online.json"), json + "}"));
  CommandResult result = Sign({"init", "--online", dir_.File("online.json")});
  ASSERT_TRUE(result.status.ok()) << result.output;
  EXPECT_FALSE(fs_.Exists(dir_.File("keys") + "/timestamp.key"));
  result = Sign({"publish"});
  EXPECT_FALSE(result.status.ok());
  EXPECT_THAT(result.output, HasSubstr("not_enough_keys"));
}

}  // namespace
}  // namespace shoal::signing
