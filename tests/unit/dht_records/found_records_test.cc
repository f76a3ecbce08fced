#include "dht/records/found_records.h"

#include <gmock/gmock.h>

#include "common/crypto/hash.h"

namespace shoal::dht {
namespace {

VerifiedRecord Make(const std::string& writer, uint64_t version,
                    size_t size = 100) {
  VerifiedRecord record;
  record.body.set_version(version);
  record.writer.public_key = writer;
  record.bytes = writer + std::to_string(version);
  record.digest = crypto::Sha256Digest(record.bytes);
  record.bytes.resize(size);
  return record;
}

std::vector<uint64_t> VersionsOf(const std::string& writer,
                                 const std::vector<VerifiedRecord>& records) {
  std::vector<uint64_t> versions;
  for (const VerifiedRecord& record : records)
    if (record.writer.public_key == writer)
      versions.push_back(record.body.version());
  return versions;
}

TEST(FoundRecords, EachOnceAndHighestVersionFirst) {
  FoundRecords found;
  for (const uint64_t version : {2, 3, 1, 3}) found.Add(Make("a", version));
  found.Add(Make("b", 7));
  EXPECT_EQ(found.size(), 4u);
  EXPECT_EQ(found.bytes(), 400u);
  EXPECT_TRUE(found.Contains(Make("a", 2).digest));
  const auto records = found.Take();
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[0].writer.public_key, "b");
  EXPECT_THAT(VersionsOf("a", records), ::testing::ElementsAre(3, 2, 1));
  EXPECT_EQ(found.size(), 0u);
  EXPECT_EQ(found.bytes(), 0u);
}

TEST(FoundRecords, T43_AFloodOfOneWriterPushesOutNobodyElses) {
  for (const bool honest_first : {true, false}) {
    FoundRecords found(/*max_records=*/50);
    if (honest_first) found.Add(Make("honest", 1));
    for (uint64_t i = 1; i <= 10'000; ++i)
      found.Add(Make("flood", uint64_t{1} << 40 | i));
    if (!honest_first) found.Add(Make("honest", 1));
    EXPECT_EQ(found.size(), 50u);
    const auto records = found.Take();
    EXPECT_THAT(VersionsOf("honest", records), ::testing::ElementsAre(1));
    EXPECT_EQ(VersionsOf("flood", records).front(), uint64_t{1} << 40 | 10'000);
  }
}

TEST(FoundRecords, T43_BytesAreBoundedTooAndTheLargeOnesGo) {
  FoundRecords found(/*max_records=*/1000, /*max_bytes=*/10'000);
  for (uint64_t i = 1; i <= 20; ++i) found.Add(Make("small", i, 10));
  for (uint64_t i = 1; i <= 100; ++i) found.Add(Make("large", i, 900));
  EXPECT_LE(found.bytes(), 10'000u);
  const auto records = found.Take();
  EXPECT_EQ(VersionsOf("small", records).size(), 20u);
  EXPECT_EQ(VersionsOf("large", records).front(), 100u);
}

}  // namespace
}  // namespace shoal::dht
