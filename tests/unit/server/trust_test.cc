#include "server/trust/file_names.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

TEST(MetadataFileName, OnlyTheExactFormIsRead) {
  ASSERT_OK_AND_ASSIGN(auto name, ParseMetadataFileName("12.fw-gateway.json"));
  EXPECT_EQ(name.role, "fw-gateway");
  EXPECT_EQ(name.version, 12u);
  for (const char* bad :
       {"timestamp.json", "0.root.json", "01.root.json", "1.root", "1..json",
        "x.root.json", "1.a/b.json", "-1.root.json", "1.json", ""}) {
    EXPECT_THAT(ParseMetadataFileName(bad), FailsBecause("bad_metadata_name"))
        << bad;
  }
}

using TrustTest = PlaneTest;

TEST_F(TrustTest, ImportMakesTheOnlineRoles) {
  const auto view = trust_->View();
  ASSERT_TRUE(view);
  EXPECT_EQ(view->versions.at("director"), 1u);
  EXPECT_EQ(view->versions.at("director-gateway"), 1u);
  EXPECT_EQ(view->versions.at("snapshot"), 1u);
  EXPECT_EQ(view->device_types, std::vector<std::string>{"gateway"});
  EXPECT_EQ(view->policy.operators(0).name(), "ann");
  EXPECT_EQ(view->fleet.director_keys,
            std::vector<std::string>{keys_->director.public_key()});
}

TEST_F(TrustTest, T20_TheOnlineKeyCannotMakeAnImage) {
  RepositoryChange change;
  change.metadata["2.fw-gateway.json"] =
      SignFw(2, {{"9.9", "malware"}}, keys_->director);
  EXPECT_THAT(trust_->Apply(change, nullptr),
              Fails(absl::StatusCode::kPermissionDenied, "bad_signature"));
  EXPECT_EQ(trust_->View()->versions.at("fw-gateway"), 1u);
}

TEST_F(TrustTest, T07_AnOlderVersionAndOtherBytesOfTheSameAreRefused) {
  RepositoryChange newer;
  newer.metadata["3.fw-gateway.json"] = SignFw(3, {{"1.0", "one"}}, fw_);
  ASSERT_OK(trust_->Apply(newer, nullptr));
  RepositoryChange older;
  older.metadata["2.fw-gateway.json"] = SignFw(2, {{"1.0", "one"}}, fw_);
  EXPECT_THAT(trust_->Apply(older, nullptr), FailsBecause("rollback"));
  RepositoryChange same;
  same.metadata["3.fw-gateway.json"] = SignFw(3, {{"1.0", "two"}}, fw_);
  EXPECT_THAT(trust_->Apply(same, nullptr), FailsBecause("equivocation"));
  ASSERT_OK(trust_->Apply(newer, nullptr)) << "the same again changes nothing";
}

TEST_F(TrustTest, NobodyUploadsAnOnlineRole) {
  RepositoryChange change;
  change.metadata["2.director.json"] = "{}";
  EXPECT_THAT(trust_->Apply(change, nullptr), FailsBecause("online_role"));
}

TEST_F(TrustTest, T01_DocumentsThatNothingSignedNamesAreRefused) {
  ASSERT_OK_AND_ASSIGN(const auto before, trust_->Tree());
  for (const char* path : {"policy/other.json", "../../etc/x", "", "k"}) {
    RepositoryChange change;
    change.documents[path] = "unsigned";
    EXPECT_THAT(trust_->Apply(change, nullptr),
                Fails(absl::StatusCode::kInvalidArgument, "unsigned_document"))
        << path;
  }
  ASSERT_OK_AND_ASSIGN(const auto after, trust_->Tree());
  EXPECT_EQ(after, before);
}

TEST_F(TrustTest, ARefusedAdditionLeavesEverythingAsItWas) {
  const uint64_t before = trust_->View()->versions.at("snapshot");
  RepositoryChange change;
  change.put["director/gateway/rollout/r1"] = "document";
  EXPECT_THAT(
      trust_->Apply(change,
                    [](Transaction&, const TrustRepository::Changed&,
                       const TrustView&) { return Unavailable("test", "no"); }),
      FailsBecause("test"));
  EXPECT_EQ(trust_->View()->versions.at("snapshot"), before);
  EXPECT_THAT(trust_->FindTarget("director/gateway/rollout/r1"),
              FailsBecause("unknown_target"));
  ASSERT_OK(trust_->Apply(change, nullptr));
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r1"));
}

TEST_F(TrustTest, ARestartFindsTheSameTrustAndRenewsWhatIsOld) {
  RepositoryChange change;
  change.put["director/gateway/rollout/r1"] = "document";
  ASSERT_OK(trust_->Apply(change, nullptr));
  const auto before = trust_->View()->versions;
  ASSERT_OK_AND_ASSIGN(trust_, TrustRepository::Open(*store_, *keys_, clock_,
                                                     absl::Hours(24 * 7)));
  EXPECT_EQ(trust_->View()->versions, before);
  // Down for longer than a timestamp lives.
  clock_.Advance(absl::Hours(24 * 10));
  ASSERT_OK_AND_ASSIGN(trust_, TrustRepository::Open(*store_, *keys_, clock_,
                                                     absl::Hours(24 * 7)));
  EXPECT_EQ(trust_->View()->versions.at("timestamp"),
            before.at("timestamp") + 1);
  EXPECT_EQ(trust_->View()->versions.at("snapshot"), before.at("snapshot"));
  EXPECT_OK(trust_->FindTarget("director/gateway/rollout/r1"));
}

TEST_F(TrustTest, TheTimestampIsRenewedByTheHourAlone) {
  ASSERT_OK_AND_ASSIGN(bool renewed, trust_->Renew(absl::Hours(1), nullptr));
  EXPECT_FALSE(renewed);
  clock_.Advance(absl::Minutes(61));
  bool timestamp_only = false;
  ASSERT_OK_AND_ASSIGN(
      renewed,
      trust_->Renew(absl::Hours(1),
                    [&](Transaction&, const TrustRepository::Changed& changed,
                        const TrustView&) {
                      timestamp_only = changed.timestamp_only;
                      return absl::OkStatus();
                    }));
  EXPECT_TRUE(renewed);
  EXPECT_TRUE(timestamp_only);
}

}  // namespace
}  // namespace shoal::server
