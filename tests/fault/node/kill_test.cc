// kill -9 at any time loses nothing that was acknowledged.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <random>
#include <thread>

#include "common/bytes.h"
#include "dht/records/record.h"
#include "tests/integration/node/cluster.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

TEST(StorageNodeFaults, T63_KilledAtAnyMomentNoAcknowledgedRecordIsLost) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(3));
  ASSERT_OK_AND_ASSIGN(const auto device, cluster->fleet().IssueDevice());
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());

  std::mutex mutex;
  std::set<std::string> acknowledged;  // with at least one receipt
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> written{0};
  std::thread writer([&] {
    for (uint64_t i = 1; !stop; ++i) {
      auto record = cluster->fleet().IdentityRecord(
          device, records::v1::RECORD_KIND_TELEMETRY,
          HexEncode(device.id) + "/" + std::to_string(i % 8), i,
          std::string(200, 't'));
      ASSERT_OK(record);
      dht::PutOptions options;
      options.wanted_receipts = 1;
      options.deadline = absl::Seconds(5);
      const auto put = client->PutBlocking(*record, options);
      if (put.ok() && put->receipts >= 1) {
        std::lock_guard lock(mutex);
        acknowledged.insert(dht::RecordDigest(*record));
      }
      ++written;
    }
  });

  // Always one at a time, at a moment that the writer's progress decides.
  std::minstd_rand random(20260101);
  for (int round = 0; round < 6; ++round) {
    const uint64_t until = written + 5 + random() % 20;
    EXPECT_OK(WaitFor(
        "the writer gets on", [&] { return written >= until; },
        absl::Seconds(40)));
    const size_t victim = random() % cluster->size();
    cluster->node(victim).Kill(SIGKILL);
    ASSERT_OK(cluster->StartNode(victim));
  }
  stop = true;
  writer.join();
  ASSERT_GT(acknowledged.size(), 20u);

  // Also when all are killed together: each receipt was a disk's.
  for (size_t i = 0; i < cluster->size(); ++i) cluster->node(i).Kill(SIGKILL);
  for (size_t i = 0; i < cluster->size(); ++i) ASSERT_OK(cluster->StartNode(i));
  std::set<std::string> all;
  for (size_t i = 0; i < cluster->size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const auto held, cluster->Digests(i));
    all.insert(held.begin(), held.end());
  }
  EXPECT_THAT(all, ::testing::IsSupersetOf(acknowledged));
  // And repair brings each to all three.
  EXPECT_OK(WaitFor(
      "three copies of every acknowledged record",
      [&] { return cluster->FewestCopies(acknowledged) == 3; },
      absl::Seconds(30)));
}

}  // namespace
}  // namespace shoal::testing
