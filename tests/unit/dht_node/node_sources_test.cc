#include "dht/node/node_sources.h"

#include <gmock/gmock.h>

#include "tests/unit/dht_node/record_store_fixture.h"

namespace shoal::dht::node {
namespace {

using records::v1::RECORD_KIND_METADATA;

class OwnRecordsTest : public RecordStoreTest {};

absl::StatusOr<VerifiedRecord> Anybody(const std::string&) {
  return VerifiedRecord();
}

// A director in force is a thief: what it writes verifies, and is as much as it
// likes.
TEST_F(OwnRecordsTest, T41_WhatIsNotTakenHidesNothing) {
  Open();
  ASSERT_OK(store_->AddBlocking(Make(RECORD_KIND_METADATA, "m", 1, "honest"),
                                Source::kNetwork));
  for (uint64_t i = 0; i < 100; ++i)
    for (const char* writer : {"thief", "another"})
      ASSERT_OK(store_->AddBlocking(
          Make(RECORD_KIND_METADATA, "m", ~uint64_t{0} - i, writer),
          Source::kNetwork));
  const LookUp own = OwnRecords(*store_, Anybody);
  int asked = 0;
  // The lowest version is the last one that is offered.
  EXPECT_TRUE(own(Place("m"), RECORD_KIND_METADATA,
                  [&](const std::string&) { return ++asked == 2 * 64 + 1; }));
  EXPECT_EQ(asked, 2 * 64 + 1);
}

TEST_F(OwnRecordsTest, OnlyWhatVerifiesNowAndIsOfTheKindIsOffered) {
  Open();
  const auto former = Make(RECORD_KIND_METADATA, "m", 9, "former");
  const auto other = Make(records::v1::RECORD_KIND_DOCUMENT, "m", 8, "a");
  const auto good = Make(RECORD_KIND_METADATA, "m", 1, "a");
  for (const auto& record : {former, other, good})
    ASSERT_OK(store_->AddBlocking(record, Source::kNetwork));
  const LookUp own = OwnRecords(
      *store_, [&](const std::string& bytes) -> absl::StatusOr<VerifiedRecord> {
        if (bytes == former.bytes)
          return PermissionDenied("not_a_member", "it left");
        return VerifiedRecord();
      });
  int offered = 0;
  EXPECT_FALSE(own(Place("m"), RECORD_KIND_METADATA, [&](const std::string&) {
    ++offered;
    return false;
  }));
  EXPECT_EQ(offered, 1);
}

}  // namespace
}  // namespace shoal::dht::node
