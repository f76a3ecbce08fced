// A storage node among records that a thief of the director's key wrote: at the
// places where it looks for newer metadata, under the highest numbers.
#include <gtest/gtest.h>

#include <limits>

#include "common/files.h"
#include "tests/integration/node/cluster.h"
#include "tests/support/status_matchers.h"

namespace shoal::testing {
namespace {

class HostileRecords : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = Cluster::Start(2);
    ASSERT_OK(cluster);
    cluster_ = std::move(*cluster);
    ASSERT_OK_AND_ASSIGN(client_, cluster_->Client());
    ASSERT_NO_FATAL_FAILURE(PublicationArrives());
  }
  TestFleet& fleet() { return cluster_->fleet(); }
  std::string File(const std::string& name) {
    const auto bytes = RealFileSystem().Read(
        fleet().repository() + "/metadata/" + name, 1u << 20);
    EXPECT_OK(bytes);
    return bytes.value_or("");
  }
  std::string Newest(const std::string& role) {
    return File(std::to_string(fleet().versions().at(role)) + "." + role +
                ".json");
  }
  std::string NextOf(const std::string& role) {
    return role + "/" + std::to_string(fleet().versions().at(role) + 1);
  }
  void Plant(records::v1::RecordKind kind, const std::string& name,
             const std::string& payload) {
    ASSERT_OK_AND_ASSIGN(
        const std::string record,
        fleet().DirectorRecord(kind, name, highest_--, payload));
    ASSERT_OK(client_->PutBlocking(record));
  }
  // Something new, which every node takes soon.
  void PublicationArrives() {
    const std::string version = std::to_string(++images_) + ".0.0";
    ASSERT_OK(
        fleet().AddImage("gateway", version, images_, 0, "image " + version));
    ASSERT_OK(fleet().Publish());
    ASSERT_OK_AND_ASSIGN(const auto records, fleet().PublicationRecords());
    for (const std::string& record : records)
      ASSERT_OK(client_->PutBlocking(record));
    const std::string refreshed =
        "event=refreshed timestamp=" +
        std::to_string(fleet().versions().at("timestamp")) + " ";
    for (size_t i = 0; i < cluster_->size(); ++i)
      ASSERT_OK(cluster_->node(i).WaitForLog(refreshed, absl::Seconds(25)));
  }

  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<dht::Network> client_;
  uint64_t images_ = 0;
  uint64_t highest_ = std::numeric_limits<uint64_t>::max();
};

TEST_F(HostileRecords, T06_T08_T41_OldFilesInTheNextOnesPlaces) {
  using records::v1::RECORD_KIND_METADATA;
  for (int i = 0; i < 3; ++i) {
    ASSERT_NO_FATAL_FAILURE(
        Plant(RECORD_KIND_METADATA, "root/2", File("1.root.json")));
    for (const char* role : {"snapshot", "fw-gateway"})
      ASSERT_NO_FATAL_FAILURE(
          Plant(RECORD_KIND_METADATA, NextOf(role), Newest(role)));
    ASSERT_NO_FATAL_FAILURE(PublicationArrives());
  }
}

TEST_F(HostileRecords, T05_T41_TimestampsThatNobodySignedTakeNoTurn) {
  const uint64_t version = fleet().versions().at("timestamp");
  const std::string honest = File("timestamp.json");
  const std::string number = "\"version\":" + std::to_string(version);
  for (uint64_t i = 0; i < 12; ++i) {
    std::string forged = honest;
    const size_t at = forged.find(number);
    // The first one is the timestamp's or its pin's: either way it parses.
    ASSERT_NE(at, forged.npos);
    forged.replace(forged.rfind(number), number.size(),
                   "\"version\":" + std::to_string(1'000'000'000 + i));
    ASSERT_TRUE(signing::ParseTimestamp(forged).ok());
    ASSERT_GT(signing::ParseTimestamp(forged)->value.version, version);
    records::v1::Head head;
    head.set_timestamp(forged);
    ASSERT_NO_FATAL_FAILURE(Plant(records::v1::RECORD_KIND_HEAD, "gateway",
                                  head.SerializeAsString()));
  }
  ASSERT_NO_FATAL_FAILURE(PublicationArrives());
}

}  // namespace
}  // namespace shoal::testing
