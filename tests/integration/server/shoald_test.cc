// The real shoald with real storage nodes, driven as operators do.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/bytes.h"
#include "common/files.h"
#include "fmt/format.h"
#include "signing/log/directory.h"
#include "signing/metadata/metadata.h"
#include "tests/integration/server/shoald_fixture.h"
#include "tests/support/status_matchers.h"

namespace shoal {
namespace {

using testing::Fails;
using testing::FailsBecause;
using testing::WaitFor;

TEST_F(ShoaldTest, T55_RightsAreCheckedBeforeAnyWork) {
  auto eve = Client("eve");
  EXPECT_OK(eve->ListDevices({}));
  EXPECT_THAT(eve->CreateClaimTicket({}),
              Fails(absl::StatusCode::kPermissionDenied, "permission_denied"));
  EXPECT_THAT(eve->CreateRollout({}),
              Fails(absl::StatusCode::kPermissionDenied, "permission_denied"));
  Must({BinPath("shoal"), "operator", "create", "mallory", "--out",
        Path("mallory"), "--role", "admin"});
  EXPECT_THAT(Client("mallory")->ListDevices({}),
              Fails(absl::StatusCode::kUnauthenticated, "unknown_operator"));
  EXPECT_THAT(ann_->GetDevice({}), FailsBecause("bad_name"));
}

TEST_F(ShoaldTest, T55_WhatIsNoMessageAtAllGetsAReasonToo) {
  grpc::GenericStub stub(Channel("ann"));
  // A field of nine bytes that says it has 127, and text that is not UTF-8.
  for (const std::string bytes : {"\x0a\x7fxxxxxxx", "\x0a\x02\xff\xfe"}) {
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    auto call = stub.PrepareUnaryCall(
        &context, "/shoal.fleet.v1.Devices/GetDevice", request, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&response, &status, &queue);
    void* tag = nullptr;
    bool ok = false;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    const auto& trailing = context.GetServerTrailingMetadata();
    const auto reason = trailing.find("shoal-reason");
    ASSERT_NE(reason, trailing.end());
    EXPECT_EQ(reason->second, "malformed_request");
  }
  EXPECT_OK(ann_->ListDevices({}));
}

TEST_F(ShoaldTest, ThePortThatNobodyNamedIsNoneOfOutgoingConnections) {
  const auto address = [&] {
    return shoald_->LogValue("event=ready", "api").value_or("");
  };
  const std::string first = address();
  const size_t colon = first.rfind(':');
  ASSERT_NE(colon, std::string::npos) << shoald_->Log();
  EXPECT_LT(std::stoi(first.substr(colon + 1)), 32768);
  shoald_->Kill(SIGKILL);
  ASSERT_OK(shoald_->Start());
  ASSERT_OK(shoald_->WaitForLog("event=ready"));
  EXPECT_EQ(address(), first);
}

TEST_F(ShoaldTest, T55_OneOperatorsWatchesLeaveRoomForTheOthers) {
  grpc::GenericStub stub(Channel("eve"));
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  // One more than an operator may have. They stay open, so the one that is
  // refused is the only one that ends.
  constexpr int kWatches = 33;
  grpc::CompletionQueue queue;
  struct Watch {
    grpc::ClientContext context;
    grpc::Status status;
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
  };
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < kWatches; ++i) {
    auto watch = std::make_unique<Watch>();
    watch->context.set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::seconds(static_cast<int>(30 * testing::TimeoutScale())));
    watch->call = stub.PrepareCall(
        &watch->context, "/shoal.fleet.v1.Devices/WatchDevices", &queue);
    void* tag = nullptr;
    bool ok = false;
    watch->call->StartCall(nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok));
    watch->call->WriteLast(request, grpc::WriteOptions(), nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok));
    watches.push_back(std::move(watch));
  }
  for (const auto& watch : watches) {
    watch->call->Finish(&watch->status, watch.get());
  }
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  const auto* refused = static_cast<Watch*>(tag);
  EXPECT_EQ(refused->status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED)
      << refused->status.error_message();
  const auto& trailing = refused->context.GetServerTrailingMetadata();
  const auto reason = trailing.find("shoal-reason");
  ASSERT_NE(reason, trailing.end());
  EXPECT_EQ(reason->second, "too_many_watches");
  EXPECT_OK(ann_->ListDevices({}));
  for (const auto& watch : watches) watch->context.TryCancel();
  for (int i = 0; i < kWatches - 1; ++i) ASSERT_TRUE(queue.Next(&tag, &ok));
}

TEST_F(ShoaldTest, AReleaseIsPublishedMirroredAndSurvivesKill) {
  StartNode("n1");
  StartNode("n2");
  const std::string image(300000, 'i');
  SignImage(image);
  ASSERT_OK_AND_ASSIGN(std::string metadata,
                       Read("repo/metadata/2.fw-gateway.json"));
  EXPECT_THAT(Upload(metadata, std::string(300000, 'x')),
              FailsBecause("hash_mismatch"));
  ASSERT_OK(Upload(metadata, image));
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r1");
  request.set_release("releases/gateway/1.0");
  request.set_device_type("gateway");
  request.set_request_id("once");
  ASSERT_OK(ann_->CreateRollout(request));
  // Killed right after the acknowledgement: it goes on by itself.
  shoald_->Kill(SIGKILL);
  ASSERT_OK(shoald_->Start());
  ASSERT_OK(shoald_->WaitForLog("event=ready"));
  ann_ = Client("ann");
  ASSERT_OK(WaitFor(
      "the rollout to be published",
      [&] {
        rollout::v1::GetRolloutRequest get;
        get.set_name("rollouts/r1");
        auto rollout = ann_->GetRollout(get);
        return rollout.ok() && rollout->published_at() > 0 &&
               rollout->deltas().mirrors() >= 2;
      },
      absl::Seconds(40)));
  ASSERT_OK_AND_ASSIGN(auto again, ann_->CreateRollout(request));
  EXPECT_EQ(again.name(), "rollouts/r1");
  shoald_->Kill(SIGTERM);
}

TEST_F(ShoaldTest, T63_NoAcknowledgedChangeIsLostByKill) {
  StartNode("n1");
  std::vector<std::string> tickets;
  for (int i = 0; i < 4; ++i) {
    fleet::v1::CreateClaimTicketRequest request;
    request.set_device_type("gateway");
    request.set_request_id("ticket-" + std::to_string(i));
    ASSERT_OK_AND_ASSIGN(auto ticket, ann_->CreateClaimTicket(request));
    tickets.push_back(ticket.ticket());
    EXPECT_GT(ticket.qr().size(), 100u);
    shoald_->Kill(SIGKILL);
    ASSERT_OK(shoald_->Start());
    ASSERT_OK(shoald_->WaitForLog("event=ready"));
    ann_ = Client("ann");
  }
  for (int i = 0; i < 4; ++i) {
    fleet::v1::CreateClaimTicketRequest request;
    request.set_device_type("gateway");
    request.set_request_id("ticket-" + std::to_string(i));
    ASSERT_OK_AND_ASSIGN(auto ticket, ann_->CreateClaimTicket(request));
    EXPECT_EQ(ticket.ticket(), tickets[static_cast<size_t>(i)]);
  }
  ASSERT_OK_AND_ASSIGN(auto nodes, ann_->ListNodes());
  EXPECT_EQ(nodes.directory().nodes_size(), 1);
}

// Heads are signed all the time, and the plane dies at any moment of it. Every
// head that anybody may have seen is a beginning of the log that is left.
TEST_F(ShoaldTest, T46_NoKillLeavesTwoHeadsOfOneSize) {
  shoald_->Kill(SIGKILL);
  ASSERT_OK_AND_ASSIGN(std::string config, Read("plane/shoald.toml"));
  ASSERT_OK(RealFileSystem().WriteAtomic(
      Path("plane/shoald.toml"),
      config + "\n[trust]\ntimestamp_renewal = \"1s\"\n"));
  const auto start = [&] {
    ASSERT_OK(shoald_->Start());
    ASSERT_OK(shoald_->WaitForLog("event=ready"));
    ann_ = Client("ann");
  };
  ASSERT_NO_FATAL_FAILURE(start());
  ASSERT_NO_FATAL_FAILURE(StartNode("n1"));
  std::map<uint64_t, std::string> heads;
  const auto note = [&](const std::string& file) {
    const auto bytes = Read(file);
    if (!bytes.ok()) return;
    const auto timestamp = signing::ParseTimestamp(*bytes);
    ASSERT_OK(timestamp);
    ASSERT_TRUE(timestamp->value.log);
    const auto [it, fresh] =
        heads.emplace(timestamp->value.log->size, timestamp->value.log->root);
    ASSERT_EQ(it->second, timestamp->value.log->root);
  };
  std::mt19937 random(46);
  for (int round = 0; round < 5; ++round) {
    // Each is a claim credential, so an entry of the next head.
    std::atomic<bool> over = false;
    std::thread busy([&, client = Client("ann")] {
      for (int i = 0; !over; ++i) {
        fleet::v1::CreateClaimTicketRequest request;
        request.set_device_type("gateway");
        request.set_request_id(fmt::format("{}-{}", round, i));
        if (!client->CreateClaimTicket(request).ok()) return;
      }
    });
    const auto end = std::chrono::steady_clock::now() +
                     std::chrono::milliseconds(300 + random() % 1500);
    while (std::chrono::steady_clock::now() < end) {
      note("plane/public/metadata/timestamp.json");
      note("n1/public/metadata/timestamp.json");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    shoald_->Kill(SIGKILL);
    over = true;
    busy.join();
    ASSERT_NO_FATAL_FAILURE(start());
    note("plane/public/metadata/timestamp.json");
  }
  EXPECT_GT(heads.size(), 5u);
  const uint64_t newest = heads.rbegin()->first;
  ASSERT_OK_AND_ASSIGN(
      auto log,
      signing::LogDirectory::Open(RealFileSystem(), Path("plane/public/log")));
  ASSERT_GE(log->size(), newest);
  for (const auto& [size, root] : heads) {
    ASSERT_OK_AND_ASSIGN(const std::string said,
                         signing::LogRoot(size, log->Nodes()));
    EXPECT_EQ(said, root) << size;
  }
  // And the tool, from the node alone, finds nothing to say against it.
  Must({BinPath("shoal"), "--context-dir", Path("ctx"), "log", "verify"});
}

}  // namespace
}  // namespace shoal
