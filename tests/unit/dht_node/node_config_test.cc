#include "dht/node/node_config.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>

#include "common/crypto/ed25519.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::dht::node {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;

InitOptions Options(const TempDir& dir) {
  InitOptions options;
  options.data_dir = dir.File("node");
  options.id = "node-0";
  options.fleet_id = std::string(32, 'f');
  return options;
}

TEST(NodeInit, MakesAConfigurationAndAProvenRequest) {
  TempDir dir;
  const InitOptions options = Options(dir);
  ASSERT_OK(InitNode(options, RealFileSystem()));
  ASSERT_OK_AND_ASSIGN(const NodeConfig config,
                       LoadNodeConfig(options.data_dir + "/node.toml"));
  EXPECT_EQ(config.id, "node-0");
  ASSERT_OK_AND_ASSIGN(
      const std::string json,
      RealFileSystem().Read(options.data_dir + "/enroll-request.json", 65536));
  fleet::v1::EnrollNodeRequest request;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(json, &request).ok());
  EXPECT_EQ(request.dht_address(), config.dht_listen);
  EXPECT_EQ(request.grpc_address(), config.grpc_listen);
  EXPECT_TRUE(crypto::Ed25519Verify(
      request.public_key(),
      crypto::SigningInput("shoal.node.enroll.v1", options.fleet_id, "node-0"),
      request.signature()));
  EXPECT_THAT(LoadNodeFiles(config, RealFileSystem()),
              FailsBecause("not_enrolled"));
}

TEST(NodeInit, NeverReplacesKeys) {
  TempDir dir;
  ASSERT_OK(InitNode(Options(dir), RealFileSystem()));
  EXPECT_THAT(InitNode(Options(dir), RealFileSystem()),
              FailsBecause("already_initialised"));
}

TEST(NodeInit, RefusesWhatIsNoNumericAddress) {
  TempDir dir;
  InitOptions options = Options(dir);
  options.address = "example.org";
  EXPECT_THAT(InitNode(options, RealFileSystem()), FailsBecause("bad_address"));
}

TEST(NodeConfigFile, AMisspeltKeyIsAnError) {
  TempDir dir;
  ASSERT_OK(InitNode(Options(dir), RealFileSystem()));
  const std::string path = dir.File("node/node.toml");
  ASSERT_OK_AND_ASSIGN(std::string text, RealFileSystem().Read(path, 65536));
  ASSERT_OK(RealFileSystem().WriteAtomic(
      path, text + "\n[repair]\nintervall = \"1s\"\n"));
  EXPECT_THAT(LoadNodeConfig(path), FailsBecause("bad_config"));
}

}  // namespace
}  // namespace shoal::dht::node
