// What Prometheus reads of a real shoald and a real shoal-node, and that the
// alerts, the dashboard and the page name nothing else.
#include <grpcpp/generic/generic_stub.h>
#include <signal.h>

#include <chrono>
#include <set>
#include <string>

#include "tests/integration/server/shoald_fixture.h"
#include "tests/support/scrape.h"
#include "tests/support/source_path.h"

namespace shoal {
namespace {

using ::testing::HasSubstr;
using testing::MetricNames;
using testing::Scrape;
using testing::WaitFor;

class MetricsTest : public ShoaldTest {
 protected:
  MetricsTest() { settings_ = "\n[metrics]\nlisten = \"127.0.0.1:0\"\n"; }

  static std::string Source(const std::string& path) {
    auto text = RealFileSystem().Read(testing::SourcePath(path), 1 << 20);
    EXPECT_OK(text);
    return text.value_or("");
  }
};

TEST_F(MetricsTest, WhatIsServedIsWhatIsDocumented) {
  const auto trust = ann_->GetTrust();
  ASSERT_OK(trust);
  StartNode("node-1");
  nodes_.back()->Kill(SIGTERM);
  ASSERT_OK_AND_ASSIGN(const std::string toml, Read("node-1/node.toml"));
  ASSERT_OK(RealFileSystem().WriteAtomic(Path("node-1/node.toml"),
                                         toml + settings_, 0600));
  ASSERT_OK(nodes_.back()->Start());
  ASSERT_OK(nodes_.back()->WaitForLog("event=ready"));
  EXPECT_OK(WaitFor("the plane reaches its node", [&] {
    return Scrape(*shoald_).find("shoald_storage_nodes_reachable 1") !=
           std::string::npos;
  }));

  const std::string plane = Scrape(*shoald_);
  const std::string node = Scrape(*nodes_.back());
  EXPECT_THAT(plane, HasSubstr("shoald_api_call_seconds_count{"));
  EXPECT_THAT(plane, HasSubstr("method=\"Trust/GetTrust\""));
  EXPECT_THAT(plane, HasSubstr("process_resident_memory_bytes"));
  EXPECT_THAT(node, HasSubstr("shoal_node_records "));

  std::set<std::string> served = MetricNames(plane);
  served.merge(MetricNames(node));
  // A fleet without devices and rollouts has no samples of these.
  for (const char* name :
       {"shoald_devices", "shoald_devices_seen_24h", "shoald_rollouts",
        "shoald_rollout_open_phase", "shoald_rollout_outcomes",
        "shoald_api_stream_seconds"}) {
    served.insert(name);
  }
  // tests/integration/agent/agent_metrics_test.cc compares the agent's own.
  std::set<std::string> documented;
  for (const std::string& name :
       MetricNames(Source("docs/operations/monitoring.md"))) {
    if (!name.starts_with("shoal_agent_")) documented.insert(name);
  }
  EXPECT_EQ(served, documented);
  for (const char* path : {"deploy/monitoring/alerts.yml",
                           "deploy/monitoring/grafana-dashboard.json"}) {
    for (const std::string& name : MetricNames(Source(path))) {
      if (name.starts_with("shoal_agent_")) continue;
      EXPECT_TRUE(documented.contains(name)) << path << " names " << name;
    }
  }
}

TEST_F(MetricsTest, ACallIsFoundInTheLogByItsId) {
  grpc::GenericStub stub(Channel("eve"));
  grpc::ClientContext context;
  context.AddMetadata("shoal-request-id", "night-shift-7");
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(20));
  fleet::v1::DecommissionDeviceRequest request;
  const grpc::Slice slice(request.SerializeAsString());
  const grpc::ByteBuffer bytes(&slice, 1);
  grpc::ByteBuffer response;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(
      &context, "/shoal.fleet.v1.Devices/DecommissionDevice", bytes, &queue);
  call->StartCall();
  grpc::Status status;
  call->Finish(&response, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto id = trailing.find("shoal-request-id");
  ASSERT_NE(id, trailing.end());
  EXPECT_EQ(id->second, "night-shift-7");
  ASSERT_OK(shoald_->WaitForLog("request=night-shift-7"));
  EXPECT_THAT(shoald_->Log(),
              ::testing::ContainsRegex(
                  "event=call_refused action=device.decommission .*"
                  "permission_denied.* request=night-shift-7"));
}

}  // namespace
}  // namespace shoal
