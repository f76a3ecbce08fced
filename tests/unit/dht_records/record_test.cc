#include "dht/records/record.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "dht/records/latest.h"
#include "dht/records/place.h"
#include "shoal/records/v1/payloads.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;
using ::shoal::testing::IsOk;
using testing::Member;
using testing::TestFleet;
using namespace records::v1;

class RecordTest : public ::testing::Test {
 protected:
  absl::StatusOr<VerifiedRecord> Verify(const std::string& bytes) {
    return VerifyRecord(bytes, fleet_.Context(resolver_));
  }
  TestFleet fleet_;
  const WriterResolver resolver_ = fleet_.Resolver();
};

TEST_F(RecordTest, PlacesAreKeyedAndDependOnKindAndName) {
  EXPECT_EQ(fleet_.places.Head("gateway").size(), kPlaceSize);
  EXPECT_NE(fleet_.places.Head("gateway"), fleet_.places.Halt("gateway"));
  EXPECT_NE(fleet_.places.Head("gateway"), fleet_.places.Head("gateway2"));
  EXPECT_NE(fleet_.places.Head("gateway"),
            PlaceNamer(std::string(32, 'x')).Head("gateway"));
  // Byte for byte as docs/records.md says.
  EXPECT_EQ(
      HexEncode(PlaceNamer(std::string(32, '\0')).Head("gateway")),
      HexEncode(crypto::Blake2b(std::string(32, '\0'), "\x01gateway", 20)));
}

TEST_F(RecordTest, ASignedRecordVerifies) {
  const std::string bytes = fleet_.DirectorRecord(
      RECORD_KIND_HEAD, fleet_.places.Head("gateway"), 3, "payload");
  ASSERT_OK_AND_ASSIGN(const VerifiedRecord record, Verify(bytes));
  EXPECT_EQ(record.body.payload(), "payload");
  EXPECT_EQ(record.body.version(), 3u);
  EXPECT_EQ(record.writer.kind, WRITER_CLASS_DIRECTOR);
  EXPECT_EQ(record.bytes, bytes);
  EXPECT_EQ(record.digest, crypto::Sha256Digest(bytes));
}

TEST_F(RecordTest, LargestPayloadFitsAndOneMoreIsRefused) {
  const std::string place = fleet_.places.Head("gateway");
  EXPECT_OK(Verify(fleet_.DirectorRecord(RECORD_KIND_HEAD, place, 1,
                                         std::string(kMaxPayloadSize, 'x'))));
  RecordBody body;
  body.set_fleet(fleet_.fleet_id.substr(0, 8));
  body.set_kind(RECORD_KIND_HEAD);
  body.set_place(place);
  body.set_version(1);
  body.set_payload(std::string(kMaxPayloadSize + 1, 'x'));
  body.set_writer_key(fleet_.director.public_key());
  Record record;
  record.set_body(body.SerializeAsString());
  EXPECT_THAT(Verify(record.SerializeAsString()),
              Fails(absl::StatusCode::kResourceExhausted, "record_too_large"));
  EXPECT_THAT(Verify(std::string(kMaxRecordSize + 1, 'x')),
              FailsBecause("record_too_large"));
}

TEST_F(RecordTest, T40_JunkAndForeignRecordsAreRefused) {
  EXPECT_THAT(Verify("junk"), FailsBecause("bad_record"));
  EXPECT_THAT(Verify(""), FailsBecause("bad_record"));
  const std::string place = fleet_.places.Head("gateway");
  const auto stranger = crypto::SigningKey::Generate();
  EXPECT_THAT(Verify(SignRecord(fleet_.Fields(RECORD_KIND_HEAD, place, 1, ""),
                                stranger, fleet_.fleet_id)),
              FailsBecause("foreign_writer"));
  EXPECT_THAT(Verify(SignRecord(fleet_.Fields(RECORD_KIND_HEAD, place, 1, ""),
                                fleet_.director,
                                crypto::Sha256Digest("another fleet"))),
              Fails(absl::StatusCode::kPermissionDenied, "wrong_fleet"));
  // The same first eight bytes of the fleet id are not enough.
  std::string near = fleet_.fleet_id;
  near[31] = static_cast<char>(near[31] ^ 1);
  EXPECT_THAT(Verify(SignRecord(fleet_.Fields(RECORD_KIND_HEAD, place, 1, ""),
                                fleet_.director, near)),
              FailsBecause("bad_signature"));
}

TEST_F(RecordTest, T40_EveryChangedByteIsRefused) {
  const std::string bytes = fleet_.DirectorRecord(
      RECORD_KIND_HEAD, fleet_.places.Head("gateway"), 1, "payload");
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    EXPECT_FALSE(Verify(changed).ok()) << "byte " << i;
  }
}

TEST_F(RecordTest, ExpiredRecordsAreRefused) {
  RecordFields fields =
      fleet_.Fields(RECORD_KIND_HEAD, fleet_.places.Head("gateway"), 1, "");
  fields.expires = absl::Now() - absl::Seconds(1);
  EXPECT_THAT(Verify(SignRecord(fields, fleet_.director, fleet_.fleet_id)),
              Fails(absl::StatusCode::kFailedPrecondition, "expired_record"));
}

TEST_F(RecordTest, T42_ADeviceWritesOnlyAtItsOwnPlaces) {
  const Member a = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const Member b = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  EXPECT_OK(Verify(fleet_.DeviceRecord(
      a, RECORD_KIND_DEVICE_REPORT, fleet_.places.DeviceReport(a.id), 1, "")));
  EXPECT_THAT(
      Verify(fleet_.DeviceRecord(b, RECORD_KIND_DEVICE_REPORT,
                                 fleet_.places.DeviceReport(a.id), 1, "")),
      Fails(absl::StatusCode::kPermissionDenied, "wrong_place"));
  EXPECT_OK(Verify(fleet_.DeviceRecord(
      a, RECORD_KIND_TELEMETRY, fleet_.places.Telemetry(a.id, 15), 1, "")));
  EXPECT_THAT(
      Verify(fleet_.DeviceRecord(b, RECORD_KIND_TELEMETRY,
                                 fleet_.places.Telemetry(a.id, 0), 1, "")),
      FailsBecause("wrong_place"));
  // B's signature under A's credential.
  RecordFields fields = fleet_.Fields(RECORD_KIND_DEVICE_REPORT,
                                      fleet_.places.DeviceReport(a.id), 1, "");
  fields.credential = a.credential;
  EXPECT_THAT(Verify(SignRecord(fields, b.key, fleet_.fleet_id)),
              FailsBecause("bad_signature"));
}

TEST_F(RecordTest, T42_WritersKeepToTheirKinds) {
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  EXPECT_THAT(Verify(fleet_.DeviceRecord(device, RECORD_KIND_HEAD,
                                         fleet_.places.Head("gateway"), 1, "")),
              Fails(absl::StatusCode::kPermissionDenied, "wrong_writer"));
  EXPECT_THAT(
      Verify(fleet_.DirectorRecord(RECORD_KIND_COMMAND,
                                   fleet_.places.Command(device.id), 1, "")),
      FailsBecause("wrong_writer"));
  EXPECT_THAT(Verify(fleet_.DirectorRecord(
                  RECORD_KIND_HALT, fleet_.places.Halt("gateway"), 1, "")),
              FailsBecause("wrong_writer"));
  // A claim writes at its own pairing place only.
  const std::string place = crypto::RandomBytes(kPlaceSize);
  const Member claim =
      fleet_.MakeMember(WRITER_CLASS_CLAIM, place.substr(0, 16));
  EXPECT_OK(Verify(
      fleet_.DeviceRecord(claim, RECORD_KIND_PAIR_ANSWER, place, 1, "")));
  EXPECT_THAT(
      Verify(fleet_.DeviceRecord(claim, RECORD_KIND_PAIR_ANSWER,
                                 crypto::RandomBytes(kPlaceSize), 1, "")),
      FailsBecause("wrong_place"));
  EXPECT_THAT(Verify(fleet_.DeviceRecord(claim, RECORD_KIND_DEVICE_REPORT,
                                         place, 1, "")),
              FailsBecause("wrong_writer"));
}

TEST_F(RecordTest, ADocumentStandsWhereItsDigestSays) {
  const std::string payload = "document";
  const std::string place =
      fleet_.places.Document(crypto::Sha256Digest(payload));
  EXPECT_OK(
      Verify(fleet_.DirectorRecord(RECORD_KIND_DOCUMENT, place, 1, payload)));
  EXPECT_THAT(
      Verify(fleet_.DirectorRecord(RECORD_KIND_DOCUMENT, place, 1, "other")),
      FailsBecause("wrong_place"));
}

TEST_F(RecordTest, T52_RevokedWritersAreRefused) {
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  fleet_.revoked.insert(device.id);
  EXPECT_THAT(
      Verify(fleet_.DeviceRecord(device, RECORD_KIND_DEVICE_REPORT,
                                 fleet_.places.DeviceReport(device.id), 1, "")),
      FailsBecause("revoked"));
}

TEST_F(RecordTest, T42_AnOutcomeStandsAtItsDevicesPlaceOnly) {
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const Member other = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const auto outcome = [](const std::string& id) {
    records::v1::Outcome message;
    message.set_rollout_id("r1");
    message.set_device_id(id);
    return message.SerializeAsString();
  };
  const auto verify = [&](const std::string& place, const std::string& text) {
    return Verify(fleet_.DeviceRecord(device, records::v1::RECORD_KIND_OUTCOME,
                                      place, 1, text));
  };
  std::set<uint32_t> own;
  for (uint32_t shards = 1; shards <= kMaxOutcomeShards; shards *= 2) {
    own.insert(OutcomeShardOf(device.id, shards));
    EXPECT_OK(verify(fleet_.places.Outcome("r1", device.id, shards),
                     outcome(device.id)));
  }
  for (uint32_t shard = 0; shard < kMaxOutcomeShards; ++shard) {
    if (own.contains(shard)) continue;
    ASSERT_THAT(
        verify(fleet_.places.OutcomeShard("r1", shard), outcome(device.id)),
        FailsBecause("wrong_place"));
  }
  EXPECT_THAT(
      verify(fleet_.places.Outcome("r2", device.id, 1), outcome(device.id)),
      FailsBecause("wrong_place"));
  EXPECT_THAT(
      verify(fleet_.places.Outcome("r1", device.id, 1), outcome(other.id)),
      FailsBecause("wrong_place"));
  EXPECT_THAT(verify(fleet_.places.Outcome("r1", device.id, 1), "\xff"),
              FailsBecause("wrong_place"));
}

TEST_F(RecordTest, OutcomesSpreadEvenly) {
  std::set<uint32_t> used;
  for (int i = 0; i < 300; ++i) {
    const std::string id =
        crypto::Sha256Digest(std::to_string(i)).substr(0, 16);
    const uint32_t shard = OutcomeShardOf(id, 16);
    ASSERT_LT(shard, 16u);
    used.insert(shard);
  }
  EXPECT_EQ(used.size(), 16u);
}

TEST_F(RecordTest, CredentialDigestIsOfTheSerialisedCredential) {
  // As record.proto says, byte by byte, independently of the protobuf library.
  records::v1::Credential credential;
  credential.set_body("BODY");
  credential.set_signature("SIG");
  const std::string wire =
      "\x0a\x04"
      "BODY"
      "\x12\x03"
      "SIG";
  EXPECT_EQ(CredentialDigest(credential),
            crypto::Sha256Digest(wire).substr(0, 16));
}

TEST_F(RecordTest, CredentialDigestsResolveOnceSeenInFull) {
  const WriterResolver cached = CachingResolver(fleet_.Resolver(), 1);
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const std::string place = fleet_.places.DeviceReport(device.id);
  RecordFields fields = fleet_.Fields(RECORD_KIND_DEVICE_REPORT, place, 2, "");
  fields.credential_digest = CredentialDigest(device.credential);
  const std::string brief = SignRecord(fields, device.key, fleet_.fleet_id);
  EXPECT_THAT(VerifyRecord(brief, fleet_.Context(cached)),
              Fails(absl::StatusCode::kNotFound, "unknown_credential"));
  EXPECT_OK(VerifyRecord(
      fleet_.DeviceRecord(device, RECORD_KIND_DEVICE_REPORT, place, 1, ""),
      fleet_.Context(cached)));
  EXPECT_OK(VerifyRecord(brief, fleet_.Context(cached)));
  // Revocation counts for digests too.
  fleet_.revoked.insert(device.id);
  EXPECT_THAT(VerifyRecord(brief, fleet_.Context(cached)),
              FailsBecause("revoked"));
  fleet_.revoked.clear();
  // Bounded: another credential pushes the first one out.
  const Member other = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  EXPECT_OK(VerifyRecord(
      fleet_.DeviceRecord(other, RECORD_KIND_DEVICE_REPORT,
                          fleet_.places.DeviceReport(other.id), 1, ""),
      fleet_.Context(cached)));
  EXPECT_THAT(VerifyRecord(brief, fleet_.Context(cached)),
              FailsBecause("unknown_credential"));
}

// Whoever carries a record must not be able to make others of it: each would
// count against its writer's quota, and of a halt each would have to be lifted
// by itself.
TEST_F(RecordTest, T28_T43_OneSignatureIsOneRecord) {
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const std::string bytes =
      fleet_.DeviceRecord(device, RECORD_KIND_DEVICE_REPORT,
                          fleet_.places.DeviceReport(device.id), 1, "report");
  const WriterResolver resolver = fleet_.Resolver();
  ASSERT_OK(VerifyRecord(bytes, fleet_.Context(resolver)));
  const auto refused = [&](const std::string& other) {
    Record same;
    ASSERT_TRUE(same.ParseFromString(other));
    Record whole;
    ASSERT_TRUE(whole.ParseFromString(bytes));
    ASSERT_EQ(same.body(), whole.body());
    ASSERT_EQ(same.signature(), whole.signature());
    EXPECT_THAT(VerifyRecord(other, fleet_.Context(resolver)),
                Fails(absl::StatusCode::kInvalidArgument, "bad_record"));
  };
  refused(bytes + std::string("\x78\x01"));   // a field of nobody's
  refused(std::string("\x12\x01z") + bytes);  // the signature, first wrong
  refused(std::string("\x0a\x01z") + bytes);  // so the body
  Record record;
  ASSERT_TRUE(record.ParseFromString(bytes));
  std::string padded = bytes;  // a length in more bytes than it needs
  ASSERT_EQ(padded[padded.size() - 66], '\x12');
  padded.replace(padded.size() - 65, 1, "\xc0\x80\x00", 3);
  refused(padded);
  std::string turned = bytes.substr(bytes.size() - 66);
  refused(turned + bytes.substr(0, bytes.size() - 66));
}

// A credential's digest is what it is known by: whoever pads it would fill
// every memory of credentials, and disks, with one that the fleet issued once.
TEST_F(RecordTest, T43_ACredentialHasOneForm) {
  const WriterResolver cached = CachingResolver(fleet_.Resolver(), 1);
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const std::string place = fleet_.places.DeviceReport(device.id);
  ASSERT_OK(VerifyRecord(
      fleet_.DeviceRecord(device, RECORD_KIND_DEVICE_REPORT, place, 1, ""),
      fleet_.Context(cached)));
  // Another member's, padded; its own signature does not even fit.
  Member other = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  ASSERT_TRUE(other.credential.MergeFromString(std::string("\x7a\x04junk", 6)));
  std::string flood =
      fleet_.DeviceRecord(other, RECORD_KIND_DEVICE_REPORT,
                          fleet_.places.DeviceReport(other.id), 1, "");
  flood.back() ^= 1;
  EXPECT_THAT(VerifyRecord(flood, fleet_.Context(cached)),
              Fails(absl::StatusCode::kInvalidArgument, "bad_record"));
  // It has pushed nobody's out.
  RecordFields fields = fleet_.Fields(RECORD_KIND_DEVICE_REPORT, place, 2, "");
  fields.credential_digest = CredentialDigest(device.credential);
  EXPECT_OK(VerifyRecord(SignRecord(fields, device.key, fleet_.fleet_id),
                         fleet_.Context(cached)));
}

TEST_F(RecordTest, ASmallReportFitsOnePacket) {
  const Member device = fleet_.MakeMember(WRITER_CLASS_DEVICE);
  const std::string bytes = fleet_.DeviceRecord(
      device, RECORD_KIND_DEVICE_REPORT, fleet_.places.DeviceReport(device.id),
      1, std::string(200, 'x'));
  EXPECT_LE(device.credential.ByteSizeLong(), 150u);
  EXPECT_LT(bytes.size(), 560u);
}

TEST_F(RecordTest, T41_LatestKeepsTheHighestVersionEverSeen) {
  const std::string place = fleet_.places.Head("gateway");
  const auto record = [&](uint64_t version, std::string payload) {
    return *Verify(fleet_.DirectorRecord(RECORD_KIND_HEAD, place, version,
                                         std::move(payload)));
  };
  Latest latest;
  const VerifiedRecord second = record(2, "two");
  EXPECT_EQ(latest.Offer(second), Latest::Verdict::kNewest);
  EXPECT_EQ(latest.Offer(second), Latest::Verdict::kSame);
  EXPECT_EQ(latest.Offer(record(1, "one")), Latest::Verdict::kStale);
  EXPECT_FALSE(latest.Conflicted(place, RECORD_KIND_HEAD, "director"));
  // T28: two documents with one version: the first stays, with an alarm.
  EXPECT_EQ(latest.Offer(record(2, "other")), Latest::Verdict::kConflict);
  EXPECT_TRUE(latest.Conflicted(place, RECORD_KIND_HEAD, "director"));
  EXPECT_EQ(latest.alarms(), 1u);
  // Across a restart.
  Latest restarted;
  for (const auto& entry : latest.Entries()) restarted.Restore(entry);
  EXPECT_EQ(restarted.Version(place, RECORD_KIND_HEAD, "director"), 2u);
  EXPECT_TRUE(restarted.Conflicted(place, RECORD_KIND_HEAD, "director"));
  EXPECT_EQ(restarted.Offer(second), Latest::Verdict::kSame);
  EXPECT_EQ(restarted.Offer(record(3, "three")), Latest::Verdict::kNewest);
  EXPECT_FALSE(restarted.Conflicted(place, RECORD_KIND_HEAD, "director"));
  restarted.Forget(place);
  EXPECT_EQ(restarted.Version(place, RECORD_KIND_HEAD, "director"), 0u);
}

}  // namespace
}  // namespace shoal::dht
