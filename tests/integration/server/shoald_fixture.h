// A real shoald with an admin (ann) and a viewer (eve), and storage nodes on
// demand.
#ifndef SHOAL_TESTS_INTEGRATION_SERVER_SHOALD_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_SERVER_SHOALD_FIXTURE_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "server/cli/plane_client.h"
#include "tests/support/process_harness.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal {

using testing::BinPath;
using testing::HarnessProcess;

class ShoaldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Must({BinPath("shoald"), "init", "--data", Path("plane"), "--fleet", "t"});
    ASSERT_OK(RealFileSystem().WriteAtomic(Path("pass"), "secret\n", 0600));
    Sign({"init", "--kdf", "interactive", "--online",
          Path("plane/online-public.json")});
    Sign({"device-type", "add", "gateway", "--kdf", "interactive"});
    Must({BinPath("shoal"), "operator", "create", "ann", "--out", Path("ann"),
          "--role", "admin"});
    Must({BinPath("shoal"), "operator", "create", "eve", "--out", Path("eve"),
          "--role", "viewer"});
    ASSERT_OK_AND_ASSIGN(std::string ann, Read("ann/operator.json"));
    ASSERT_OK_AND_ASSIGN(std::string eve, Read("eve/operator.json"));
    const std::string policy =
        "{\"version\":\"1\",\"operators\":[" + ann + "," + eve +
        "],\"rules\":[{\"name\":\"admin\",\"principals\":[\"role:admin\"],"
        "\"actions\":[\"*\"]},{\"name\":\"view\",\"principals\":"
        "[\"role:viewer\"],\"actions\":[\"device.read\"]}]}";
    ASSERT_OK(RealFileSystem().WriteAtomic(Path("access.json"), policy));
    Sign({"policy", "set", Path("access.json")});
    Must({BinPath("shoald"), "import", "--data", Path("plane"), Path("repo")});
    if (!settings_.empty()) {
      ASSERT_OK_AND_ASSIGN(const std::string toml, Read("plane/shoald.toml"));
      ASSERT_OK(RealFileSystem().WriteAtomic(Path("plane/shoald.toml"),
                                             toml + settings_, 0600));
    }
    shoald_ = std::make_unique<HarnessProcess>(
        "shoald",
        std::vector<std::string>{BinPath("shoald"), "--config",
                                 Path("plane/shoald.toml")},
        dir_);
    ASSERT_OK(shoald_->Start());
    ASSERT_OK(shoald_->WaitForLog("event=ready"));
    ann_ = Client("ann");
  }

  std::string Path(const std::string& name) const { return dir_.File(name); }
  absl::StatusOr<std::string> Read(const std::string& name) {
    return RealFileSystem().Read(Path(name), 1 << 20);
  }
  void Must(std::vector<std::string> arguments) {
    auto result = testing::Run(std::move(arguments));
    ASSERT_OK(result);
    ASSERT_TRUE(result->status.ok()) << result->output;
  }
  void Sign(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), BinPath("shoal-sign"));
    for (const auto& extra :
         {std::string("--keys"), Path("keys"), std::string("--repo"),
          Path("repo"), std::string("--passphrase-file"), Path("pass")}) {
      arguments.push_back(extra);
    }
    Must(std::move(arguments));
  }
  std::unique_ptr<cli::PlaneClient> Client(const std::string& name) {
    cli::PlaneOptions options;
    auto address = Read("plane/address");
    auto server = Read("plane/server.crt");
    auto cert = Read(name + "/tls.crt");
    auto key = Read(name + "/tls.key");
    EXPECT_OK(address);
    EXPECT_OK(server);
    EXPECT_OK(cert);
    EXPECT_OK(key);
    options.address = address->substr(0, address->find('\n'));
    options.server_cert_pem = *server;
    options.client_cert_pem = *cert;
    options.client_key_pem = *key;
    auto client = cli::PlaneClient::Open(std::move(options));
    EXPECT_OK(client);
    return *std::move(client);
  }
  // What any gRPC client would open, without our own client's manners.
  std::shared_ptr<grpc::Channel> Channel(const std::string& name) {
    const auto part = [this](const std::string& file) {
      auto text = Read(file);
      EXPECT_OK(text);
      return text.value_or("");
    };
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = part("plane/server.crt");
    tls.pem_cert_chain = part(name + "/tls.crt");
    tls.pem_private_key = part(name + "/tls.key");
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    return grpc::CreateCustomChannel(AddressOfPlane(),
                                     grpc::SslCredentials(tls), arguments);
  }
  void StartNode(const std::string& name) {
    auto trust = ann_->GetTrust();
    ASSERT_OK(trust);
    Must({BinPath("shoal-node"), "init", "--data", Path(name), "--id", name,
          "--fleet", trust->fleet_id()});
    if (nodes_.empty()) {
      Must({BinPath("shoal"), "--context-dir", Path("ctx"), "context", "add",
            "t", "--server", AddressOfPlane(), "--server-cert",
            Path("plane/server.crt"), "--operator", Path("ann")});
    }
    Must({BinPath("shoal"), "--context-dir", Path("ctx"), "node", "enroll",
          "--request", Path(name + "/enroll-request.json"), "--out",
          Path(name + "/bundle.pb")});
    nodes_.push_back(std::make_unique<HarnessProcess>(
        name,
        std::vector<std::string>{BinPath("shoal-node"), "--config",
                                 Path(name + "/node.toml")},
        dir_));
    ASSERT_OK(nodes_.back()->Start());
    ASSERT_OK(nodes_.back()->WaitForLog("event=ready"));
  }
  std::string AddressOfPlane() {
    auto address = Read("plane/address");
    EXPECT_OK(address);
    return address->substr(0, address->find('\n'));
  }
  absl::StatusOr<release::v1::Release> Upload(const std::string& metadata,
                                              const std::string& bytes) {
    release::v1::CreateReleaseHeader header;
    header.set_device_type("gateway");
    header.set_version("1.0");
    header.set_metadata(metadata);
    bool sent = false;
    return ann_->CreateRelease(header, [&]() -> absl::StatusOr<std::string> {
      if (sent) return "";
      sent = true;
      return bytes;
    });
  }
  void SignImage(const std::string& bytes) {
    ASSERT_OK(RealFileSystem().WriteAtomic(Path("image"), bytes));
    Sign({"image", "add", "--type", "gateway", "--version", "1.0", "--counter",
          "1", Path("image")});
  }

  // More of shoald.toml; set before SetUp().
  std::string settings_;
  testing::TempDir dir_;
  std::unique_ptr<HarnessProcess> shoald_;
  std::vector<std::unique_ptr<HarnessProcess>> nodes_;
  std::unique_ptr<cli::PlaneClient> ann_;
};

}  // namespace shoal

#endif  // SHOAL_TESTS_INTEGRATION_SERVER_SHOALD_FIXTURE_H_
