// What a caller is refused at the edge, over real calls: before its quota is
// looked at, after the policy changed, and by the size of a field.
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "shoal/fleet/v1/device_service.grpc.pb.h"
#include "shoal/fleet/v1/group_service.grpc.pb.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"
#include "shoal/telemetry/v1/telemetry_service.grpc.pb.h"
#include "tests/integration/server/shoald_fixture.h"

namespace shoal {
namespace {

std::string ReasonIn(const grpc::ClientContext& context) {
  const auto& trailing = context.GetServerTrailingMetadata();
  const auto reason = trailing.find("shoal-reason");
  return reason == trailing.end()
             ? ""
             : std::string(reason->second.data(), reason->second.size());
}

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(
      std::chrono::system_clock::now() +
      std::chrono::seconds(static_cast<int>(30 * testing::TimeoutScale())));
}

class EdgeTest : public ShoaldTest {};

// An operator without the right to import, who has all the long calls that one
// may have: a refusal is work too, and takes a place.
TEST_F(EdgeTest, T55_WhatWillBeRefusedTakesAPlaceFirst) {
  const auto channel = Channel("eve");
  const auto telemetry = telemetry::v1::Telemetry::NewStub(channel);
  const auto devices = fleet::v1::Devices::NewStub(channel);
  const auto import =
      [&](const std::function<void(grpc::Status, std::string)>& answered) {
        grpc::ClientContext context;
        SetDeadline(context);
        fleet::v1::ImportDevicesResponse response;
        const auto writer = devices->ImportDevices(&context, &response);
        writer->WritesDone();
        const grpc::Status status = writer->Finish();
        answered(status, ReasonIn(context));
      };
  import([](const grpc::Status& status, const std::string& reason) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(reason, "permission_denied");
});
telemetry::v1::TailTelemetryRequest follow;
follow.set_follow(true);
std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
std::vector<
    std::unique_ptr<grpc::ClientReader<telemetry::v1::TailTelemetryResponse>>>
    tails;
for (int i = 0; i < 32; ++i) {
  contexts.push_back(std::make_unique<grpc::ClientContext>());
  SetDeadline(*contexts.back());
  tails.push_back(telemetry->TailTelemetry(contexts.back().get(), follow));
}
std::string reason;
  ASSERT_OK(testing::WaitFor(
      "all places to be taken",
      [&] {
        import([&](const grpc::Status&, const std::string& why) {
          reason = why;
        });
        return reason == "too_many_watches";
  },
      absl::Seconds(20)))
      << reason;
  EXPECT_OK(ann_->ListDevices({}));
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& tail : tails) (void)tail->Finish();
  }

  // eve leaves the policy while she watches.
  TEST_F(EdgeTest, T55_WhoeverIsRevokedWatchesNoLonger) {
    const auto channel = Channel("eve");
    const auto devices = fleet::v1::Devices::NewStub(channel);
    const auto telemetry = telemetry::v1::Telemetry::NewStub(channel);
    grpc::ClientContext watching, tailing;
    SetDeadline(watching);
    SetDeadline(tailing);
    const auto watch = devices->WatchDevices(&watching, {});
    telemetry::v1::TailTelemetryRequest follow;
    follow.set_follow(true);
    const auto tail = telemetry->TailTelemetry(&tailing, follow);
    // Both are open: one more of her calls is answered behind them.
    ASSERT_OK(Client("eve")->ListDevices({}));
    ASSERT_OK_AND_ASSIGN(const std::string ann, Read("ann/operator.json"));
    ASSERT_OK(RealFileSystem().WriteAtomic(
        Path("access.json"),
        "{\"version\":\"2\",\"operators\":[" + ann +
            "],\"rules\":[{\"name\":\"admin\",\"principals\":[\"role:admin\"],"
            "\"actions\":[\"*\"]}]}"));
    Sign({"policy", "set", Path("access.json")});
    Must({BinPath("shoal"), "--context-dir", Path("ctx"), "context", "add", "t",
          "--server", AddressOfPlane(), "--server-cert",
          Path("plane/server.crt"), "--operator", Path("ann")});
    Must({BinPath("shoal"), "--context-dir", Path("ctx"), "trust", "publish",
          Path("repo")});
    fleet::v1::Device device;
    while (watch->Read(&device)) {
    }
    EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(ReasonIn(watching), "unknown_operator");
    telemetry::v1::TailTelemetryResponse batch;
    while (tail->Read(&batch)) {
    }
    EXPECT_EQ(tail->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(ReasonIn(tailing), "unknown_operator");
  }

  // That the limits stand in the way of real calls, not only in a table.
  TEST_F(EdgeTest, AFieldThatHoldsTooMuchIsRefusedByEveryKindOfCall) {
    const auto channel = Channel("ann");
    const std::string large(100'000, 'x');
    const auto refused = [](const grpc::Status& status,
                            const grpc::ClientContext& context,
                            const char* call) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
          << call;
      EXPECT_EQ(ReasonIn(context), "field_too_large") << call;
    };
    {
      grpc::ClientContext context;
      SetDeadline(context);
      rollout::v1::GetRolloutRequest request;
      request.set_name(large);
      rollout::v1::Rollout response;
      refused(rollout::v1::Rollouts::NewStub(channel)->GetRollout(
                  &context, request, &response),
              context, "unary");
    }
    {
      grpc::ClientContext context;
      SetDeadline(context);
      fleet::v1::CreateGroupRequest request;
      request.mutable_group()->set_filter(large);
      fleet::v1::Group response;
      refused(fleet::v1::Groups::NewStub(channel)->CreateGroup(
                  &context, request, &response),
              context, "a message within the request");
    }
    {
      grpc::ClientContext context;
      SetDeadline(context);
      fleet::v1::WatchDevicesRequest request;
      request.set_resume_token(large);
      const auto watch =
          fleet::v1::Devices::NewStub(channel)->WatchDevices(&context, request);
      fleet::v1::Device device;
      EXPECT_FALSE(watch->Read(&device));
      refused(watch->Finish(), context, "watch");
    }
    {
      grpc::ClientContext context;
      SetDeadline(context);
      fleet::v1::ImportDevicesResponse response;
      const auto writer = fleet::v1::Devices::NewStub(channel)->ImportDevices(
          &context, &response);
      fleet::v1::ImportDevicesRequest request;
      request.mutable_device()->set_public_key(large);
      writer->Write(request);
      writer->WritesDone();
      refused(writer->Finish(), context, "import");
    }
  }

  }  // namespace
  }  // namespace shoal
