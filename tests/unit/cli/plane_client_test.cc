// The client against a real gRPC server on this machine: who is trusted, what
// becomes of errors, how streams end.
#include "server/cli/plane_client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "common/crypto/hash.h"
#include "common/crypto/x509.h"
#include "server/cli/node_client.h"
#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "shoal/node/v1/node_service.grpc.pb.h"
#include "shoal/release/v1/release_service.grpc.pb.h"
#include "tests/support/status_matchers.h"

namespace shoal::cli {
namespace {

using testing::Fails;
using testing::FailsBecause;

// As shoald makes its own: a CA of one certificate, both in the file.
crypto::TlsKeyPair Certificate(bool server) {
  const absl::Time from = absl::Now() - absl::Hours(1);
  const absl::Time until = absl::Now() + absl::Hours(1);
  const auto ca = crypto::MakeCertificateAuthority("test", from, until);
  EXPECT_OK(ca);
  crypto::CertificateRequest request;
  request.common_name = server ? "shoald" : "alice";
  if (server) request.names = {"localhost", "127.0.0.1"};
  request.server = server;
  request.client = !server;
  request.not_before = from;
  request.not_after = until;
  auto leaf = crypto::IssueCertificate(*ca, request);
  EXPECT_OK(leaf);
  leaf->cert_pem += ca->cert_pem;
  return std::move(*leaf);
}

class Devices final : public fleet::v1::Devices::Service {
 public:
  grpc::Status GetDevice(grpc::ServerContext* context,
                         const fleet::v1::GetDeviceRequest* request,
                         fleet::v1::Device* device) override {
    if (request->name() == "devices/denied") {
      context->AddTrailingMetadata("shoal-reason", "not_allowed");
      return {grpc::StatusCode::PERMISSION_DENIED, "no rule allows it"};
    }
    const auto identity = context->auth_context()->FindPropertyValues(
        GRPC_X509_PEM_CERT_PROPERTY_NAME);
    if (identity.empty()) return {grpc::StatusCode::UNAUTHENTICATED, "who?"};
    device->set_name(request->name());
    device->set_public_key(std::string(identity[0].data(), identity[0].size()));
    return grpc::Status::OK;
  }
  grpc::Status WatchDevices(
      grpc::ServerContext*, const fleet::v1::WatchDevicesRequest*,
      grpc::ServerWriter<fleet::v1::Device>* writer) override {
    fleet::v1::Device device;
    for (int i = 0; i < 3; ++i) {
      device.set_name("devices/" + std::to_string(i));
      writer->Write(device);
    }
    return grpc::Status::OK;
  }
};

class Releases final : public release::v1::Releases::Service {
 public:
  grpc::Status CreateRelease(
      grpc::ServerContext* context,
      grpc::ServerReader<release::v1::CreateReleaseRequest>* reader,
      release::v1::Release* release) override {
    release::v1::CreateReleaseRequest request;
    std::string bytes;
    while (reader->Read(&request)) {
      if (request.has_header()) {
        release->set_version(request.header().version());
        if (request.header().version() == "bad") {
          context->AddTrailingMetadata("shoal-reason", "bad_signature");
          return {grpc::StatusCode::PERMISSION_DENIED, "not signed"};
        }
      }
      bytes += request.chunk();
    }
    release->set_length(bytes.size());
    return grpc::Status::OK;
  }
};

class NodeRecords final : public node::v1::Records::Service {
 public:
  grpc::Status GetStatus(grpc::ServerContext*,
                         const node::v1::GetStatusRequest*,
                         node::v1::GetStatusResponse* response) override {
    response->set_records(7);
    return grpc::Status::OK;
  }
};

class PlaneClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    grpc::SslServerCredentialsOptions tls(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
    tls.pem_key_cert_pairs.push_back(
        {std::string(server_cert_.key_pem.view()), server_cert_.cert_pem});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls),
                             &port);
    builder.RegisterService(&devices_);
    builder.RegisterService(&releases_);
    builder.RegisterService(&records_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  void TearDown() override {
    if (server_) server_->Shutdown();
  }
  std::unique_ptr<PlaneClient> Connect(const std::string& server_cert) {
    PlaneOptions options;
    options.address = address_;
    options.server_cert_pem = server_cert;
    options.client_cert_pem = client_cert_.cert_pem;
    options.client_key_pem = std::string(client_cert_.key_pem.view());
    options.timeout = absl::Seconds(5);
    auto client = PlaneClient::Open(std::move(options));
    EXPECT_OK(client);
    return std::move(*client);
  }
  absl::StatusOr<fleet::v1::Device> Get(PlaneClient& client,
                                        const std::string& name) {
    fleet::v1::GetDeviceRequest request;
    request.set_name(name);
    return client.GetDevice(request);
  }
  absl::StatusOr<node::v1::GetStatusResponse> AskNode(const std::string& spki) {
    NodeClientOptions options;
    options.node.set_grpc_address(address_);
    options.node.set_tls_spki_sha256(spki);
    options.client_cert_pem = client_cert_.cert_pem;
    options.client_key_pem = std::string(client_cert_.key_pem.view());
    options.timeout = absl::Seconds(5);
    SHOAL_ASSIGN_OR_RETURN(auto client, NodeClient::Open(std::move(options)));
    return client->GetStatus();
  }

  const crypto::TlsKeyPair server_cert_ = Certificate(true);
  const crypto::TlsKeyPair client_cert_ = Certificate(false);
  Devices devices_;
  Releases releases_;
  NodeRecords records_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(PlaneClientTest, ShowsItsCertificateToThePinnedServer) {
  const auto client = Connect(server_cert_.cert_pem);
  EXPECT_FALSE(client->reached());
  ASSERT_OK_AND_ASSIGN(const auto device, Get(*client, "devices/a"));
  EXPECT_EQ(device.name(), "devices/a");
  EXPECT_EQ(*crypto::SpkiSha256(device.public_key()),
            *crypto::SpkiSha256(client_cert_.cert_pem));
  EXPECT_TRUE(client->reached());
}

TEST_F(PlaneClientTest, T55_AnotherServersCertificateIsRefused) {
  const auto client = Connect(Certificate(true).cert_pem);
  EXPECT_THAT(Get(*client, "devices/a"),
              Fails(absl::StatusCode::kUnavailable, "unreachable"));
  EXPECT_FALSE(client->reached());
}

TEST_F(PlaneClientTest, KeepsCodeAndReason) {
  const auto client = Connect(server_cert_.cert_pem);
  EXPECT_THAT(Get(*client, "devices/denied"),
              Fails(absl::StatusCode::kPermissionDenied, "not_allowed"));
  EXPECT_TRUE(client->reached());
  EXPECT_THAT(client->GetTrust(),
              Fails(absl::StatusCode::kUnimplemented, "unspecified"));
}

TEST_F(PlaneClientTest, SaysWhenNobodyListens) {
  const auto client = Connect(server_cert_.cert_pem);
  server_->Shutdown();
  server_->Wait();
  server_.reset();
  const auto device = Get(*client, "devices/a");
  EXPECT_THAT(device, Fails(absl::StatusCode::kUnavailable, "unreachable"));
  EXPECT_NE(std::string(device.status().message()).find(address_),
            std::string::npos);
}

TEST_F(PlaneClientTest, StreamsEndAsTheReaderWants) {
  const auto client = Connect(server_cert_.cert_pem);
  int seen = 0;
  EXPECT_OK(client->WatchDevices({}, [&](const fleet::v1::Device&) {
    ++seen;
    return absl::OkStatus();
  }));
  EXPECT_EQ(seen, 3);
  seen = 0;
  EXPECT_OK(client->WatchDevices({}, [&](const fleet::v1::Device&) {
    ++seen;
    return StopStream();
  }));
  EXPECT_EQ(seen, 1);
  EXPECT_THAT(client->WatchDevices({},
                                   [&](const fleet::v1::Device&) {
                                     return DataLoss("broken", "here");
                                   }),
              FailsBecause("broken"));
}

TEST_F(PlaneClientTest, UploadsInChunksAndHearsWhyNot) {
  const auto client = Connect(server_cert_.cert_pem);
  release::v1::CreateReleaseHeader header;
  header.set_version("1.0.0");
  int chunks = 3;
  ASSERT_OK_AND_ASSIGN(
      const auto release,
      client->CreateRelease(header, [&]() -> absl::StatusOr<std::string> {
        return chunks-- > 0 ? std::string(1 << 20, 'x') : "";
      }));
  EXPECT_EQ(release.length(), 3u << 20);
  header.set_version("bad");
  chunks = 3;
  EXPECT_THAT(client->CreateRelease(header,
                                    [&]() -> absl::StatusOr<std::string> {
                                      return chunks-- > 0
                                                 ? std::string(1 << 20, 'x')
                                                 : "";
                                    }),
              Fails(absl::StatusCode::kPermissionDenied, "bad_signature"));
  header.set_version("1.0.0");
  EXPECT_THAT(client->CreateRelease(header,
                                    [&]() -> absl::StatusOr<std::string> {
                                      return DataLoss("hash_mismatch",
                                                      "changed on disk");
                                    }),
              FailsBecause("hash_mismatch"));
}

TEST_F(PlaneClientTest, T55_NodesAreKnownByTheirKey) {
  ASSERT_OK_AND_ASSIGN(const std::string spki,
                       crypto::SpkiSha256(server_cert_.cert_pem));
  ASSERT_OK_AND_ASSIGN(const auto status, AskNode(spki));
  EXPECT_EQ(status.records(), 7u);
  EXPECT_THAT(AskNode(crypto::Sha256Digest("another key")),
              Fails(absl::StatusCode::kUnavailable, "unreachable"));
  EXPECT_THAT(AskNode(""), FailsBecause("no_node_api"));
}

}  // namespace
}  // namespace shoal::cli
