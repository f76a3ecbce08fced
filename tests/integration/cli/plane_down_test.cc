// The real tool against real storage nodes while no management plane exists:
// commands, halts and the nodes' status go on without it.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <mutex>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/keyfile.h"
#include "dht/records/place.h"
#include "server/cli/context.h"
#include "server/cli/fleet_view.h"
#include "shoal/records/v1/payloads.pb.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "tests/integration/node/cluster.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using records::v1::RECORD_KIND_COMMAND_RESULT;
using records::v1::RECORD_KIND_DEVICE_REPORT;

// A device in this process: reports itself and answers commands.
class Device {
 public:
  static absl::StatusOr<std::unique_ptr<Device>> Start(Cluster& cluster) {
    SHOAL_ASSIGN_OR_RETURN(auto identity, cluster.fleet().IssueDevice());
    SHOAL_ASSIGN_OR_RETURN(auto network, cluster.Client());
    std::unique_ptr<Device> device(
        new Device(cluster, std::move(identity), std::move(network)));
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_box_key(device->box_.public_key());
    SHOAL_ASSIGN_OR_RETURN(const std::string record,
                           cluster.fleet().IdentityRecord(
                               device->identity_, RECORD_KIND_DEVICE_REPORT,
                               device->id(), 1, report.SerializeAsString()));
    SHOAL_RETURN_IF_ERROR(device->network_->PutBlocking(record));
    Device* self = device.get();
    device->network_->Listen(
        device->places_.Command(device->identity_.id),
        [self](const dht::VerifiedRecord& r) { self->OnCommand(r); });
    return device;
  }

  std::string id() const { return HexEncode(identity_.id); }
  const std::string& raw_id() const { return identity_.id; }
  std::string public_key() const { return identity_.key.public_key(); }
  // What the next answers say.
  void Answer(const std::string& reason, int exit_code) {
    std::lock_guard lock(mutex_);
    reason_ = reason;
    exit_code_ = exit_code;
  }
  std::string last_operator() {
    std::lock_guard lock(mutex_);
    return last_operator_;
  }

 private:
  Device(Cluster& cluster, TestIdentity identity,
         std::unique_ptr<dht::Network> network)
      : cluster_(cluster),
        identity_(std::move(identity)),
        places_(cluster.fleet().network().place_key()),
        network_(std::move(network)) {}

  void OnCommand(const dht::VerifiedRecord& record) {
    const auto plain = box_.Open(record.body.payload());
    records::v1::Command command;
    if (!plain.ok() || !command.ParseFromString(*plain)) return;
    records::v1::CommandResult result;
    {
      std::lock_guard lock(mutex_);
      last_operator_ = record.writer.public_key;
      result.set_reason(reason_);
      result.set_exit_code(exit_code_);
    }
    result.set_command_id(command.id());
    result.set_device_id(identity_.id);
    std::string output = command.name() + ":";
    for (const auto& argument : command.arguments()) output += " " + argument;
    result.set_output(output + "\n");
    const auto sealed =
        crypto::SealTo(command.reply_key(), result.SerializeAsString());
    if (!sealed.ok()) return;
    const auto reply =
        cluster_.fleet().IdentityRecord(identity_, RECORD_KIND_COMMAND_RESULT,
                                        HexEncode(command.id()), 1, *sealed);
    if (reply.ok()) {
      network_->Put(*reply, {}, [](const absl::StatusOr<dht::PutResult>&) {});
    }
  }

  Cluster& cluster_;
  const TestIdentity identity_;
  const dht::PlaceNamer places_;
  const crypto::BoxKey box_ = crypto::BoxKey::Generate();
  std::mutex mutex_;
  std::string reason_ = "ok";
  int exit_code_ = 0;
  std::string last_operator_;
  std::unique_ptr<dht::Network> network_;  // last: its callbacks use the rest
};

class PlaneDownTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = Cluster::Start(3);
    ASSERT_OK(cluster);
    cluster_ = std::move(*cluster);
    TestFleet& fleet = cluster_->fleet();
    FileSystem& fs = RealFileSystem();
    const std::string keys = cluster_->dir().File("admin");
    ASSERT_OK(fs.MakeDirectories(keys, 0700));
    ASSERT_OK(crypto::WriteSecretFile(fs, keys + "/operator.key",
                                      fleet.admin().key.seed()));
    ASSERT_OK(crypto::WriteSecretFile(fs, keys + "/tls.key",
                                      fleet.admin().tls.key_pem));
    ASSERT_OK(fs.WriteAtomic(keys + "/tls.crt", fleet.admin().tls.cert_pem));

    cli::ContextStore store(fs, cluster_->dir().File("contexts"));
    cli::Context context;
    context.name = "home";
    context.directory = store.DirectoryOf("home");
    context.server = "127.0.0.1:1";  // nobody listens there
    context.operator_dir = keys;
    context.fleet_id = fleet.fleet_id();
    context.server_cert_pem = fleet.plane_tls().cert_pem;
    ASSERT_OK_AND_ASSIGN(
        const auto bundle,
        fleet.BundleFor(fleet.directory().nodes(0).public_key()));
    fleet::v1::GetNetworkResponse network;
    network.set_fleet_id(fleet.fleet_id());
    *network.mutable_network() = bundle.network();
    *network.mutable_directory() = fleet.directory();
    *network.mutable_roots() = bundle.roots();
    *network.mutable_metadata() = bundle.metadata();
    network.set_policy(bundle.policy());
    ASSERT_OK(fs.MakeDirectories(context.directory, 0700));
    ASSERT_OK(cli::VerifyNetwork(context, network, fs, SystemClock()));
    ASSERT_OK(store.SaveNetwork(context, network));
    ASSERT_OK(store.Save(context));
    ASSERT_OK(store.Use("home"));
  }

  // The plane's last word before it went: newer than what the context holds.
  void Revoke(const std::vector<std::string>& ids,
              const std::vector<std::string>& keys) {
    trust::v1::DeviceRevocations list;
    list.set_device_type("gateway");
    for (const std::string& id : ids) list.add_device_ids(id);
    for (const std::string& key : keys) {
      auto& one = *list.add_superseded();
      one.set_key_digest(signing::KeyDigest(key));
      one.set_since(absl::ToUnixMillis(absl::Now()));
    }
    TestFleet& fleet = cluster_->fleet();
    ASSERT_OK(fleet.AddDocument(signing::DeviceRevocationsPath("gateway"),
                                list.SerializeAsString()));
    ASSERT_OK(fleet.Publish());
    ASSERT_OK_AND_ASSIGN(const auto records, fleet.PublicationRecords());
    ASSERT_OK_AND_ASSIGN(auto plane, cluster_->Client());
    for (const std::string& record : records)
      ASSERT_OK(plane->PutBlocking(record));
  }

  CommandResult Shoal(std::vector<std::string> words) {
    words.insert(words.begin(), {BinPath("shoal"), "--context-dir",
                                 cluster_->dir().File("contexts")});
    auto result = shoal::testing::Run(words);
    EXPECT_OK(result);
    return result.ok() ? *result : CommandResult{};
  }

  std::unique_ptr<Cluster> cluster_;
};

TEST_F(PlaneDownTest, T53_T54_ACommandReachesTheDeviceAndItsAnswerComesBack) {
  auto started = Device::Start(*cluster_);
  ASSERT_OK(started);
  Device& device = **started;
  CommandResult result =
      Shoal({"command", "run", device.id(), "echo", "a", "b c"});
  EXPECT_EQ(result.status.code, 0) << result.output;
  EXPECT_NE(result.output.find("echo: a b c\n"), std::string::npos)
      << result.output;
  EXPECT_NE(result.output.find("sent: 3 of 3 storage nodes"), std::string::npos)
      << result.output;
  EXPECT_EQ(device.last_operator(), cluster_->fleet().admin().key.public_key());

  device.Answer("exit_nonzero", 7);
  result = Shoal({"command", "run", device.id(), "echo"});
  EXPECT_EQ(result.status.code, 1) << result.output;
  EXPECT_NE(result.output.find("exit code 7"), std::string::npos);

  device.Answer("permission_denied", 0);
  result = Shoal({"command", "run", device.id(), "echo"});
  EXPECT_EQ(result.status.code, 4) << result.output;

  result = Shoal(
      {"command", "run", std::string(32, 'a'), "echo", "--timeout", "5s"});
  EXPECT_EQ(result.status.code, 5) << result.output;
  EXPECT_NE(result.output.find("no_device_report"), std::string::npos);
}

TEST_F(PlaneDownTest, T52_T56_WhatALostDeviceOrKeyWroteIsNotTaken) {
  auto sold = Device::Start(*cluster_);
  ASSERT_OK(sold);
  auto copied = Device::Start(*cluster_);
  ASSERT_OK(copied);
  for (Device* device : {sold->get(), copied->get()})
    EXPECT_EQ(Shoal({"command", "run", device->id(), "echo"}).status.code, 0);

  // Their reports lie on every node still, with the key to which commands are
  // sealed: that of whoever has the device, or the copy of its key, now.
  ASSERT_NO_FATAL_FAILURE(
      Revoke({(*sold)->raw_id()}, {(*copied)->public_key()}));
  for (Device* device : {sold->get(), copied->get()}) {
    const CommandResult result =
        Shoal({"command", "run", device->id(), "echo", "--timeout", "10s"});
    EXPECT_EQ(result.status.code, 5) << result.output;
    EXPECT_NE(result.output.find("no_device_report"), std::string::npos)
        << result.output;
    EXPECT_EQ(result.output.find("sent:"), std::string::npos) << result.output;
  }
  // Nobody else left.
  auto honest = Device::Start(*cluster_);
  ASSERT_OK(honest);
  const CommandResult result =
      Shoal({"command", "run", (*honest)->id(), "echo"});
  EXPECT_EQ(result.status.code, 0) << result.output;
}

TEST_F(PlaneDownTest, T52_AListTooLargeForARecordIsReadFromTheNodes) {
  auto sold = Device::Start(*cluster_);
  ASSERT_OK(sold);
  const std::vector<std::string> command = {
      "command", "run", (*sold)->id(), "echo", "--timeout", "10s"};
  EXPECT_EQ(Shoal(command).status.code, 0);
  std::vector<std::string> ids = {(*sold)->raw_id()};
  for (int i = 0; i < 2000; ++i) ids.push_back(crypto::RandomBytes(16));
  ASSERT_NO_FATAL_FAILURE(Revoke(ids, {}));
  // Nobody has it yet: what is known counts, and that is said.
  CommandResult result = Shoal(command);
  EXPECT_NE(result.output.find("what was known before counts, of: gateway"),
            std::string::npos)
      << result.output;
  // As nodes hold it that got it from the plane's origin: by its path, and by
  // its digest, which is what members ask for.
  namespace files = std::filesystem;
  int nodes = 0;
  for (const auto& one : files::directory_iterator(cluster_->dir().path())) {
    if (!files::exists(one.path() / "public" / "targets")) continue;
    for (const char* part : {"targets/director", "blobs"})
      files::copy(
          files::path(cluster_->fleet().repository()) / part,
          one.path() / "public" / part,
          files::copy_options::recursive | files::copy_options::skip_existing);
    ++nodes;
  }
  ASSERT_EQ(nodes, 3);
  result = Shoal(command);
  EXPECT_EQ(result.status.code, 5) << result.output;
  EXPECT_NE(result.output.find("no_device_report"), std::string::npos)
      << result.output;
}

TEST_F(PlaneDownTest, T28_AHaltIsSignedByTheOperatorAndKeptByTheNodes) {
  const CommandResult unknown = Shoal({"rollout", "halt", "r-1"});
  EXPECT_EQ(unknown.status.code, 5) << unknown.output;
  EXPECT_NE(unknown.output.find("--type"), std::string::npos);

  const CommandResult result = Shoal(
      {"rollout", "halt", "r-1", "--type", "gateway", "--reason", "it smokes"});
  EXPECT_EQ(result.status.code, 0) << result.output;
  EXPECT_NE(result.output.find("3 of 3 storage nodes"), std::string::npos)
      << result.output;
  ASSERT_OK_AND_ASSIGN(auto reader, cluster_->Client());
  const dht::PlaceNamer places(cluster_->fleet().network().place_key());
  ASSERT_OK_AND_ASSIGN(
      const auto records,
      reader->GetBlocking(places.Halt("gateway"), absl::Seconds(10)));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].writer.public_key,
            cluster_->fleet().admin().key.public_key());
  records::v1::Halt halt;
  ASSERT_TRUE(halt.ParseFromString(records[0].body.payload()));
  EXPECT_EQ(halt.rollout_id(), "r-1");
  EXPECT_EQ(halt.reason(), "it smokes");
  EXPECT_GT(halt.counter(), 0u);
}

TEST_F(PlaneDownTest, NodesSayHowTheyAre) {
  CommandResult result = Shoal({"node", "status"});
  EXPECT_EQ(result.status.code, 0) << result.output;
  cluster_->node(1).Kill(SIGKILL);
  result = Shoal({"node", "status", "--output", "json"});
  EXPECT_EQ(result.status.code, 3) << result.output;
  EXPECT_NE(result.output.find("\"reachable\":false"), std::string::npos);
  EXPECT_NE(result.output.find("\"reachable\":true"), std::string::npos);
}

TEST_F(PlaneDownTest, WhatNeedsThePlaneSaysSo) {
  const CommandResult result = Shoal({"device", "list"});
  EXPECT_EQ(result.status.code, 3) << result.output;
  EXPECT_NE(result.output.find("127.0.0.1:1"), std::string::npos);
  EXPECT_NE(result.output.find("unreachable"), std::string::npos);
}

}  // namespace
}  // namespace shoal::testing
