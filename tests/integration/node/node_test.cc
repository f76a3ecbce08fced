// Real storage nodes: what they keep, how it comes back, what they serve.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/files.h"
#include "dht/records/record.h"
#include "dht/swarm/origin_server.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "tests/integration/node/cluster.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

using records::v1::RECORD_KIND_PROVIDER;
using records::v1::RECORD_KIND_TELEMETRY;
using ::testing::Contains;
using ::testing::IsSupersetOf;

// Puts `count` telemetry records of one device; the digests of those that were
// acknowledged in full.
std::set<std::string> PutTelemetry(Cluster& cluster, dht::Network& client,
                                   const TestIdentity& device, int count,
                                   uint64_t first = 1) {
  std::set<std::string> digests;
  for (uint64_t i = first; i < first + count; ++i) {
    auto record = cluster.fleet().IdentityRecord(device, RECORD_KIND_TELEMETRY,
                                                 HexEncode(device.id) + "/0", i,
                                                 fmt::format("batch {}", i));
    EXPECT_OK(record);
    const auto put = client.PutBlocking(*record);
    EXPECT_OK(put);
    if (put.ok() && !put->under_replicated) {
      digests.insert(dht::RecordDigest(*record));
    }
  }
  return digests;
}

TEST(StorageNodes, T63_AcknowledgedRecordsSurviveTheStopOfAllNodes) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(3));
  ASSERT_OK_AND_ASSIGN(const auto device, cluster->fleet().IssueDevice());
  std::set<std::string> digests;
  {
    ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
    digests = PutTelemetry(*cluster, *client, device, 20);
    ASSERT_EQ(digests.size(), 20u);
  }
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto held, cluster->Digests(i));
    EXPECT_THAT(held, IsSupersetOf(digests)) << "node " << i;
  }
  for (size_t i = 0; i < 3; ++i) {
    if (i == 0) {
      cluster->node(i).Kill(SIGTERM);
      EXPECT_THAT(cluster->node(i).Log(),
                  ::testing::HasSubstr("event=stopped"));
    } else {
      cluster->node(i).Kill(SIGKILL);
    }
  }
  for (size_t i = 0; i < 3; ++i) ASSERT_OK(cluster->StartNode(i));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto held, cluster->Digests(i));
    EXPECT_THAT(held, IsSupersetOf(digests)) << "node " << i;
  }
  // Not on disk only: back in the DHT.
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  const dht::PlaceNamer places(cluster->fleet().network().place_key());
  EXPECT_OK(WaitFor("all records by a get", [&] {
    const auto found =
        client->GetBlocking(places.Telemetry(device.id, 0), absl::Seconds(5));
    return found.ok() && found->size() == 20;
  }));
}

TEST(StorageNodes, T40_AStrangersRecordIsOnNoDisk) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(3));
  ASSERT_OK_AND_ASSIGN(auto other, TestFleet::Create(cluster->dir().File("x")));
  ASSERT_OK_AND_ASSIGN(const auto stranger, other->IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto record,
                       cluster->fleet().IdentityRecord(
                           stranger, RECORD_KIND_TELEMETRY,
                           HexEncode(stranger.id) + "/0", 1, "junk"));
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  dht::PutOptions options;
  options.deadline = absl::Seconds(3);
  EXPECT_THAT(client->PutBlocking(record, options), FailsBecause("no_receipt"));
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto held, cluster->Digests(i));
    EXPECT_FALSE(held.contains(dht::RecordDigest(record)));
  }
}

TEST(StorageNodes, T52_ADecommissionedDeviceIsRefused) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(3));
  TestFleet& fleet = cluster->fleet();
  ASSERT_OK_AND_ASSIGN(const auto device, fleet.IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto other, fleet.IssueDevice());
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  EXPECT_EQ(PutTelemetry(*cluster, *client, device, 1).size(), 1u);
  trust::v1::DeviceRevocations list;
  list.set_device_type("gateway");
  list.add_device_ids(device.id);
  ASSERT_OK(fleet.AddDocument("director/gateway/revoked/devices",
                              list.SerializeAsString()));
  ASSERT_OK(fleet.Publish());
  ASSERT_OK_AND_ASSIGN(const auto records, fleet.PublicationRecords());
  for (const std::string& record : records) {
    ASSERT_OK(client->PutBlocking(record));
  }
  for (size_t i = 0; i < cluster->size(); ++i) {
    ASSERT_OK(cluster->node(i).WaitForLog("event=refreshed"));
  }
  ASSERT_OK_AND_ASSIGN(
      const auto late,
      fleet.IdentityRecord(device, RECORD_KIND_TELEMETRY,
                           HexEncode(device.id) + "/0", 2, "after"));
  dht::PutOptions options;
  options.deadline = absl::Seconds(3);
  EXPECT_THAT(client->PutBlocking(late, options), FailsBecause("no_receipt"));
  for (size_t i = 0; i < cluster->size(); ++i) {
    ASSERT_OK_AND_ASSIGN(const auto held, cluster->Digests(i));
    EXPECT_FALSE(held.contains(dht::RecordDigest(late)));
  }
  EXPECT_EQ(PutTelemetry(*cluster, *client, other, 1).size(), 1u);
}

TEST(StorageNodes, T43_AFloodingDeviceIsStoppedAndOthersGoOn) {
  ASSERT_OK_AND_ASSIGN(auto cluster,
                       Cluster::Start(3,
                                      "\n[quota]\ndevice_records = 5\n"
                                      "\n[repair]\ninterval = \"500ms\"\n"));
  ASSERT_OK_AND_ASSIGN(const auto flood, cluster->fleet().IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto good, cluster->fleet().IssueDevice());
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  EXPECT_EQ(PutTelemetry(*cluster, *client, flood, 5).size(), 5u);
  ASSERT_OK_AND_ASSIGN(
      const auto more,
      cluster->fleet().IdentityRecord(flood, RECORD_KIND_TELEMETRY,
                                      HexEncode(flood.id) + "/0", 6, "more"));
  dht::PutOptions options;
  options.deadline = absl::Seconds(3);
  EXPECT_THAT(client->PutBlocking(more, options), FailsBecause("no_receipt"));
  EXPECT_EQ(PutTelemetry(*cluster, *client, good, 2).size(), 2u);
}

TEST(StorageNodes, T64_TwoOfFiveDisksDestroyedThenTwoMore) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(5));
  std::set<std::string> digests;
  {
    ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
    // Three of five nodes hold a place. Twenty places: that one node has no
    // share in any of them happens once in 10^8 runs.
    for (int i = 0; i < 20; ++i) {
      ASSERT_OK_AND_ASSIGN(const auto device, cluster->fleet().IssueDevice());
      digests.merge(PutTelemetry(*cluster, *client, device, 2));
    }
    ASSERT_EQ(digests.size(), 40u);
  }
  EXPECT_OK(WaitFor("three copies of every record",
                    [&] { return cluster->FewestCopies(digests) >= 3; }));
  for (const auto& [a, b] : {std::pair<size_t, size_t>{0, 1}, {2, 3}}) {
    cluster->Wipe(a);
    cluster->Wipe(b);
    const absl::Time begin = absl::Now();
    ASSERT_OK(cluster->StartNode(a));
    ASSERT_OK(cluster->StartNode(b));
    EXPECT_OK(WaitFor(
        "three copies of every record again",
        [&] { return cluster->FewestCopies(digests) >= 3; },
        absl::Seconds(40)));
    // Not only untouched copies: the new disks took their share.
    EXPECT_OK(WaitFor("records on the new disks", [&] {
      const auto one = cluster->Status(a);
      const auto two = cluster->Status(b);
      return one.ok() && two.ok() && one->repaired() > 0 && two->repaired() > 0;
    }));
    RecordProperty(
        fmt::format("repair_ms_{}", a),
        static_cast<int>(absl::ToInt64Milliseconds(absl::Now() - begin)));
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
}

TEST(StorageNodes, T64_ANewNodeGetsEverythingAndIsKnownToTheOthers) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(2));
  ASSERT_OK_AND_ASSIGN(const auto device, cluster->fleet().IssueDevice());
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  auto digests = PutTelemetry(*cluster, *client, device, 10);
  ASSERT_EQ(digests.size(), 10u);
  ASSERT_OK(cluster->AddNode());
  ASSERT_OK_AND_ASSIGN(const auto directory,
                       cluster->fleet().DirectoryRecord());
  ASSERT_OK(client->PutBlocking(directory));
  digests.insert(dht::RecordDigest(directory));
  EXPECT_OK(WaitFor("the old nodes know the new directory", [&] {
    return cluster->node(0).Log().find("nodes=3") != std::string::npos &&
           cluster->node(1).Log().find("nodes=3") != std::string::npos;
  }));
  EXPECT_OK(WaitFor("everything on three disks",
                    [&] { return cluster->FewestCopies(digests) == 3; }));
}

TEST(StorageNodes, MirrorsWhatTheMetadataNamesAndServesItWithoutThePlane) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(3));
  TestFleet& fleet = cluster->fleet();
  std::string bytes = crypto::RandomBytes(300'000);
  ASSERT_OK_AND_ASSIGN(const auto image,
                       fleet.AddImage("gateway", "1.1.0", 2, 0, bytes));
  release::v1::DeltaIndex index;
  index.set_device_type("gateway");
  index.set_release_version("1.1.0");
  ASSERT_OK_AND_ASSIGN(*index.add_deltas(),
                       fleet.AddDelta(crypto::RandomBytes(20'000)));
  ASSERT_OK(fleet.AddDocument("director/gateway/deltas/1.1.0",
                              index.SerializeAsString()));
  ASSERT_OK(fleet.Publish());
  const std::string hex = HexEncode(image.target.sha256);
  const std::string delta_hex = HexEncode(index.deltas(0).sha256());
  {
    ASSERT_OK_AND_ASSIGN(
        auto plane, dht::OriginServer::Open("127.0.0.1:0", fleet.repository()));
    ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
    records::v1::Provider provider;
    provider.set_origin_url(plane->base_url());
    for (const std::string& name : {hex, delta_hex}) {
      ASSERT_OK_AND_ASSIGN(const auto record,
                           fleet.DirectorRecord(RECORD_KIND_PROVIDER, name, 1,
                                                provider.SerializeAsString()));
      ASSERT_OK(client->PutBlocking(record));
    }
    ASSERT_OK_AND_ASSIGN(const auto records, fleet.PublicationRecords());
    for (const std::string& record : records) {
      ASSERT_OK(client->PutBlocking(record));
    }
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_OK(WaitFor(
          fmt::format("node {} holds both artifacts", i),
          [&] {
            const auto status = cluster->Status(i);
            return status.ok() && status->artifacts_size() == 2;
          },
          absl::Seconds(40)));
    }
    // They say so where devices look.
    const dht::PlaceNamer places(fleet.network().place_key());
    EXPECT_OK(WaitFor("provider records of all nodes", [&] {
      const auto found = client->GetBlocking(
          places.Provider(image.target.sha256), absl::Seconds(5));
      std::set<std::string> writers;
      if (!found.ok()) return false;
      for (const auto& record : *found) writers.insert(record.writer.id);
      return writers.size() == 4;
    }));
  }
  // The plane is gone. A node whose disk is replaced gets all from the others.
  cluster->Wipe(1);
  ASSERT_OK(cluster->StartNode(1));
  EXPECT_OK(WaitFor(
      "the wiped node holds both artifacts",
      [&] {
        const auto status = cluster->Status(1);
        return status.ok() && status->artifacts_size() == 2;
      },
      absl::Seconds(60)));
  ASSERT_OK_AND_ASSIGN(
      const std::string blob,
      RealFileSystem().Read(cluster->dir().File("node-1/public/blobs/" + hex),
                            1 << 20));
  EXPECT_EQ(blob, bytes);
  ASSERT_OK_AND_ASSIGN(
      const std::string served,
      RealFileSystem().Read(cluster->dir().File("node-1/public/metadata/"
                                                "timestamp.json"),
                            1 << 20));
  ASSERT_OK_AND_ASSIGN(
      const std::string signed_by_fleet,
      RealFileSystem().Read(fleet.repository() + "/metadata/timestamp.json",
                            1 << 20));
  EXPECT_EQ(served, signed_by_fleet);
}

TEST(StorageNodes, WhatNoMetadataNamesAnyMoreIsDeleted) {
  ASSERT_OK_AND_ASSIGN(auto cluster, Cluster::Start(1));
  TestFleet& fleet = cluster->fleet();
  ASSERT_OK_AND_ASSIGN(const auto image,
                       fleet.AddImage("gateway", "1.0.0", 1, 0, "old image"));
  ASSERT_OK(fleet.Publish());
  ASSERT_OK_AND_ASSIGN(
      auto plane, dht::OriginServer::Open("127.0.0.1:0", fleet.repository()));
  ASSERT_OK_AND_ASSIGN(auto client, cluster->Client());
  records::v1::Provider provider;
  provider.set_origin_url(plane->base_url());
  ASSERT_OK_AND_ASSIGN(
      const auto offer,
      fleet.DirectorRecord(RECORD_KIND_PROVIDER, HexEncode(image.target.sha256),
                           1, provider.SerializeAsString()));
  ASSERT_OK(client->PutBlocking(offer));
  const auto publish = [&] {
    const auto records = fleet.PublicationRecords();
    ASSERT_OK(records);
    for (const std::string& record : *records) {
      ASSERT_OK(client->PutBlocking(record));
    }
  };
  publish();
  const std::string blob = cluster->dir().File("node-0/public/blobs/" +
                                               HexEncode(image.target.sha256));
  EXPECT_OK(WaitFor("the image is held", [&] {
    const auto status = cluster->Status(0);
    return status.ok() && status->artifacts_size() == 1;
  }));
  EXPECT_TRUE(RealFileSystem().Exists(blob));
  ASSERT_OK(fleet.RemoveImage("gateway", "1.0.0"));
  ASSERT_OK(fleet.Publish());
  publish();
  EXPECT_OK(WaitFor("the image is gone",
                    [&] { return !RealFileSystem().Exists(blob); }));
}

}  // namespace
}  // namespace shoal::testing
