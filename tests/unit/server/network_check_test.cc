// A plane over an older store than the network has seen signs nothing more.
#include "server/publish/network_check.h"

#include <gmock/gmock.h>

#include <optional>
#include <utility>

#include "shoal/records/v1/payloads.pb.h"
#include "signing/sign/builder.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class NetworkCheckTest : public PlaneTest {
 protected:
  void Put(const std::string& id) {
    RepositoryChange change;
    change.put["director/gateway/rollout/" + id] = "document";
    ASSERT_OK(trust_->Apply(change, nullptr));
  }
  std::string Now() { return trust_->View()->metadata.at("timestamp.json"); }
  uint64_t Version() { return trust_->View()->versions.at("timestamp"); }
  // As a plane with this plane's timestamp key would sign it.
  std::string Signed(uint64_t version,
                     const std::optional<signing::LogHead>& log,
                     const crypto::SigningKey* key = nullptr) {
    return signing::BuildTimestamp(
               version, clock_.WallNow() + absl::Hours(24), 1, "{}",
               {key == nullptr ? &keys_->timestamp : key}, log)
        .value();
  }
  // The network as a test wants it: whatever is asked, these answer.
  absl::StatusOr<NetworkCheck::Answer> Look(
      const std::vector<std::pair<dht::RecordKind, std::string>>& records,
      uint64_t connected, int looks = 1) {
    std::vector<std::string> asked;
    NetworkCheck check({[&](std::string place, absl::Duration,
                            dht::Network::GetCallback done) {
                          const bool first = asked.empty();
                          asked.push_back(std::move(place));
                          std::vector<dht::VerifiedRecord> found;
                          for (const auto& [kind, payload] : records) {
                            if (!first) break;
                            found.emplace_back();
                            found.back().body.set_kind(kind);
                            found.back().body.set_payload(payload);
                          }
                          done(std::move(found));
                        },
                        [&] { return connected; }},
                       writer_->places(), *trust_);
    for (int i = 1; i < looks; ++i)
      EXPECT_EQ(*check.Look(absl::Seconds(5)), NetworkCheck::Answer::kNobody);
    auto answer = check.Look(absl::Seconds(5));
    for (uint32_t shard = 0; shard < dht::kLogWitnessShards; ++shard)
      EXPECT_THAT(asked,
                  ::testing::Contains(writer_->places().LogWitness(shard)));
    EXPECT_THAT(asked, ::testing::Contains(writer_->places().Head("gateway")));
    EXPECT_THAT(asked, ::testing::Contains(writer_->places().Metadata(
                           "timestamp", Version() + 1)));
    return answer;
  }
};

TEST_F(NetworkCheckTest, ItsOwnPastIsFine) {
  std::vector<std::string> past = {Now()};
  for (const char* id : {"r1", "r2", "r3"}) {
    Put(id);
    past.push_back(Now());
  }
  ASSERT_OK_AND_ASSIGN(const bool newer, trust_->CheckPast(past));
  EXPECT_FALSE(newer);
}

TEST_F(NetworkCheckTest, ALongerLogOrAnotherOneIsNot) {
  const auto before = trust_->View()->log;
  Put("r1");
  auto head = trust_->View()->log;
  head.size += 1;
  EXPECT_THAT(trust_->CheckPast({Now(), Signed(Version() + 1, head)}).status(),
              FailsBecause("behind_network"));
  // Older than ours, but of another history.
  head = before;
  head.root[0] ^= 1;
  EXPECT_THAT(trust_->CheckPast({Signed(1, head)}).status(),
              FailsBecause("behind_network"));
  EXPECT_THAT(trust_->CheckPast({Signed(Version() + 1, std::nullopt)}).status(),
              FailsBecause("behind_network"));
}

TEST_F(NetworkCheckTest, OnlyTheWordOfTheKeyInForceCounts) {
  auto head = trust_->View()->log;
  head.size += 7;
  const auto stranger = crypto::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(
      const bool newer,
      trust_->CheckPast({"", "{}", std::string(5000, '['), Now().substr(1),
                         Signed(Version() + 1, head, &stranger)}));
  EXPECT_FALSE(newer);
}

// A backup that lacks only renewals of the timestamp goes on above them.
TEST_F(NetworkCheckTest, RenewalsThatItDoesNotKnowArePassed) {
  const uint64_t own = Version();
  ASSERT_OK_AND_ASSIGN(
      const bool newer,
      trust_->CheckPast({Signed(own + 5, trust_->View()->log), Now()}));
  EXPECT_TRUE(newer);
  ASSERT_OK_AND_ASSIGN(const bool renewed,
                       trust_->Renew(absl::ZeroDuration(), nullptr));
  EXPECT_TRUE(renewed);
  EXPECT_EQ(Version(), own + 6);
  ASSERT_OK_AND_ASSIGN(const bool again, trust_->CheckPast({Now()}));
  EXPECT_FALSE(again);
}

TEST_F(NetworkCheckTest, AsksWhereTimestampsAre) {
  auto ahead = trust_->View()->log;
  ahead.size += 1;
  records::v1::Head head;
  head.set_timestamp(Signed(Version() + 1, ahead));
  records::v1::LogWitness witness;
  witness.set_timestamp(head.timestamp());
  const std::vector<std::pair<dht::RecordKind, std::string>> each = {
      {records::v1::RECORD_KIND_HEAD, head.SerializeAsString()},
      {records::v1::RECORD_KIND_LOG_WITNESS, witness.SerializeAsString()},
      {records::v1::RECORD_KIND_METADATA, head.timestamp()}};
  for (const auto& record : each)
    EXPECT_THAT(Look({record}, 1).status(), FailsBecause("behind_network"))
        << record.first;
}

TEST_F(NetworkCheckTest, NobodyIsNoAnswer) {
  ASSERT_OK_AND_ASSIGN(auto answer, Look({}, 0, 5));
  EXPECT_EQ(answer, NetworkCheck::Answer::kNobody);
  // Nodes that hold nothing, look after look: nothing was ever published.
  ASSERT_OK_AND_ASSIGN(answer, Look({}, 1));
  EXPECT_EQ(answer, NetworkCheck::Answer::kNobody);
  ASSERT_OK_AND_ASSIGN(answer, Look({}, 1, 3));
  EXPECT_EQ(answer, NetworkCheck::Answer::kPast);
  ASSERT_OK_AND_ASSIGN(answer,
                       Look({{records::v1::RECORD_KIND_METADATA,
                              Signed(Version() + 1, trust_->View()->log)}},
                            1));
  EXPECT_EQ(answer, NetworkCheck::Answer::kNewer);
}

}  // namespace
}  // namespace shoal::server
