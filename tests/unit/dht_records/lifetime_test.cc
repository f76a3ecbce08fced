// How long a node keeps a record, whatever its writer says (T43).
#include <gtest/gtest.h>

#include "dht/records/record.h"

namespace shoal::dht {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'767'225'600);
const absl::Time kYear9999 = absl::FromUnixSeconds(253'402'300'799);

RecordBody Body(RecordKind kind, absl::Time issued, absl::Time expires) {
  RecordBody body;
  body.set_kind(kind);
  body.set_issued(absl::ToUnixMillis(issued));
  body.set_expires(absl::ToUnixSeconds(expires));
  return body;
}

TEST(Lifetime, WhatHonestWritersGiveIsKeptToItsEnd) {
  using namespace records::v1;
  const absl::Duration day = absl::Hours(24);
  const std::pair<RecordKind, absl::Duration> longest[] = {
      {RECORD_KIND_HEAD, 7 * day},
      {RECORD_KIND_METADATA, 30 * day},
      {RECORD_KIND_DOCUMENT, 30 * day},
      {RECORD_KIND_NODE_DIRECTORY, 90 * day},
      {RECORD_KIND_ASSIGNMENT, 90 * day},
      {RECORD_KIND_PAIR_GRANT, 90 * day},
      {RECORD_KIND_NODE_KEYS, 90 * day},
      {RECORD_KIND_HALT, 90 * day},
      {RECORD_KIND_PAIR_OFFER, 30 * day},
      {RECORD_KIND_PAIR_ANSWER, 30 * day},
      {RECORD_KIND_OUTCOME, 30 * day},
      {RECORD_KIND_DEVICE_REPORT, 30 * day},
      {RECORD_KIND_TELEMETRY, 7 * day},
      {RECORD_KIND_LOG_PROOF, 30 * day},
      {RECORD_KIND_LOG_ENTRIES, 30 * day},
      {RECORD_KIND_LOG_WITNESS, day},
      {RECORD_KIND_COMMAND, absl::Minutes(16)},
      {RECORD_KIND_COMMAND_RESULT, absl::Hours(1)},
      {RECORD_KIND_PROVIDER, day}};
  for (const auto& [kind, life] : longest) {
    const absl::Time issued = kNow - absl::Minutes(5);
    EXPECT_EQ(KeepUntil(Body(kind, issued, issued + life), kNow), issued + life)
        << RecordKind_Name(kind);
    // By a clock that is an hour ahead, of the writer's or the other way round.
    EXPECT_GE(KeepUntil(Body(kind, kNow + absl::Hours(1),
                             kNow + absl::Hours(1) + life),
                        kNow),
              kNow + std::min(life, MaxLifetime(kind)))
        << RecordKind_Name(kind);
  }
}

TEST(Lifetime, T43_NoRecordLivesToTheYear9999) {
  for (int kind = 1; kind <= records::v1::RecordKind_MAX; ++kind) {
    if (!records::v1::RecordKind_IsValid(kind)) continue;
    const auto of = static_cast<RecordKind>(kind);
    const absl::Time longest = kNow + MaxLifetime(of);
    EXPECT_EQ(KeepUntil(Body(of, kNow, kYear9999), kNow), longest);
    // Signed for a time far from now.
    EXPECT_EQ(KeepUntil(Body(of, kYear9999, kYear9999), kNow), longest);
    EXPECT_LE(KeepUntil(Body(of, absl::UnixEpoch(), kYear9999), kNow), kNow);
    // Brought again, it is no younger.
    const absl::Time later = kNow + absl::Hours(24);
    EXPECT_EQ(KeepUntil(Body(of, kNow, kYear9999), later), longest);
  }
}

}  // namespace
}  // namespace shoal::dht
