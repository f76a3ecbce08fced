#include "dht/node/trust_keeper.h"

#include <gmock/gmock.h>

#include "common/bytes.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "signing/verify/fetcher.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_fleet.h"

namespace shoal::dht::node {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;
using ::shoal::testing::TestFleet;

class TrustKeeperTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto fleet = TestFleet::Create(dir_.File("fleet"));
    ASSERT_OK(fleet);
    fleet_ = *std::move(fleet);
    fleet::v1::EnrollNodeRequest request;
    request.set_node_id("n");
    request.set_public_key(key_.public_key());
    request.set_signature(key_.Sign(
        crypto::SigningInput("shoal.node.enroll.v1", fleet_->fleet_id(), "n")));
    auto bundle = fleet_->EnrollNode(request);
    ASSERT_OK(bundle);
    bundle_ = *std::move(bundle);
  }
  absl::StatusOr<std::unique_ptr<TrustKeeper>> Open() {
    return TrustKeeper::Open(dir_.File("trust"), dir_.File("public"), bundle_,
                             RealFileSystem(), SystemClock());
  }

  TempDir dir_;
  std::unique_ptr<TestFleet> fleet_;
  crypto::SigningKey key_ = crypto::SigningKey::Generate();
  fleet::v1::NodeBundle bundle_;
};

TEST_F(TrustKeeperTest, KnowsTheFleetsWritersFromTheBundle) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  const auto view = keeper->view();
  RecordBody body;
  body.set_writer_key(fleet_->director_key().public_key());
  ASSERT_OK_AND_ASSIGN(const Writer director, view->Resolve(body, absl::Now()));
  EXPECT_EQ(director.kind, records::v1::WRITER_CLASS_DIRECTOR);
  body.set_writer_key(fleet_->admin().key.public_key());
  ASSERT_OK_AND_ASSIGN(const Writer oper, view->Resolve(body, absl::Now()));
  EXPECT_EQ(oper.kind, records::v1::WRITER_CLASS_OPERATOR);
  body.set_writer_key(crypto::SigningKey::Generate().public_key());
  EXPECT_THAT(view->Resolve(body, absl::Now()), FailsBecause("unknown_writer"));
  ASSERT_OK_AND_ASSIGN(const auto device, fleet_->IssueDevice());
  *body.mutable_credential() = device.credential;
  ASSERT_OK_AND_ASSIGN(const Writer writer, view->Resolve(body, absl::Now()));
  EXPECT_EQ(writer.id, device.id);
  EXPECT_OK(view->VerifyNode(bundle_.credential(), absl::Now()));
  EXPECT_THAT(view->VerifyNode(device.credential, absl::Now()),
              FailsBecause("wrong_credential_kind"));
}

TEST_F(TrustKeeperTest, ListsImagesAndDeltasAndServesAWholeRepository) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  ASSERT_OK_AND_ASSIGN(
      const auto image,
      fleet_->AddImage("gateway", "1.1.0", 2, 0, std::string(40000, 'i')));
  release::v1::DeltaIndex index;
  index.set_device_type("gateway");
  ASSERT_OK_AND_ASSIGN(*index.add_deltas(), fleet_->AddDelta("delta bytes"));
  ASSERT_OK(fleet_->AddDocument("director/gateway/deltas/1.1.0",
                                index.SerializeAsString()));
  ASSERT_OK(fleet_->Publish());
  signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
  ASSERT_OK(keeper->Refresh(source));
  const auto publication = keeper->publication();
  ASSERT_EQ(publication->artifacts.size(), 2u);
  EXPECT_TRUE(publication->artifacts.contains(image.target.sha256));
  EXPECT_TRUE(publication->artifacts.contains(index.deltas(0).sha256()));
  // A client that knows the fleet id alone reads the tree that was written.
  signing::UpdaterOptions options;
  options.directory = dir_.File("client");
  options.fleet_id = fleet_->fleet_id();
  ASSERT_OK_AND_ASSIGN(
      auto client,
      signing::Updater::Open(options, RealFileSystem(), SystemClock()));
  signing::DirectoryFetcher served(RealFileSystem(), dir_.File("public"));
  ASSERT_OK(client->Refresh(served));
  EXPECT_EQ(client->timestamp().version, fleet_->versions().at("timestamp"));
  ASSERT_OK(client->GetTarget(&served, image.target.path));
}

TEST_F(TrustKeeperTest, RemembersWhatItRefreshedWhenTheBundleIsOld) {
  {
    ASSERT_OK_AND_ASSIGN(auto keeper, Open());
    ASSERT_OK(fleet_->AddImage("gateway", "1.1.0", 2, 0, "image"));
    ASSERT_OK(fleet_->Publish());
    signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
    ASSERT_OK(keeper->Refresh(source));
  }
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  EXPECT_EQ(keeper->view()->fleet().timestamp_version,
            fleet_->versions().at("timestamp"));
  EXPECT_EQ(keeper->publication()->artifacts.size(), 1u);
}

TEST_F(TrustKeeperTest, ARevokedOperatorIsNoWriterAfterTheRefresh) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  auto policy = fleet_->policy();
  policy.set_version(2);
  policy.mutable_revocations()->add_operator_keys(
      HexEncode(fleet_->admin().key.public_key()));
  ASSERT_OK(fleet_->SetPolicy(policy));
  ASSERT_OK(fleet_->Publish());
  const auto before = keeper->view();
  signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
  ASSERT_OK(keeper->Refresh(source));
  RecordBody body;
  body.set_writer_key(fleet_->admin().key.public_key());
  EXPECT_THAT(keeper->view()->Resolve(body, absl::Now()),
              FailsBecause("revoked"));
  EXPECT_FALSE(keeper->view()->SameWriters(*before));
}

TEST_F(TrustKeeperTest, T52_ADecommissionedDeviceStaysOut) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  ASSERT_OK_AND_ASSIGN(const auto device, fleet_->IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto other, fleet_->IssueDevice());
  const auto resolve = [&](const auto& identity) {
    RecordBody body;
    *body.mutable_credential() = identity.credential;
    return keeper->view()->Resolve(body, absl::Now()).status();
  };
  const auto publish = [&](const std::vector<std::string>& ids) {
    trust::v1::DeviceRevocations list;
    list.set_device_type("gateway");
    for (const std::string& id : ids) list.add_device_ids(id);
    ASSERT_OK(fleet_->AddDocument(signing::DeviceRevocationsPath("gateway"),
                                  list.SerializeAsString()));
    ASSERT_OK(fleet_->Publish());
    signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
    ASSERT_OK(keeper->Refresh(source));
  };
  const auto before = keeper->view();
  EXPECT_OK(resolve(device));
  publish({device.id});
  EXPECT_THAT(resolve(device), FailsBecause("revoked"));
  EXPECT_OK(resolve(other));
  EXPECT_FALSE(keeper->view()->SameWriters(*before));
  // A shorter list, as a thief of the online key would sign it.
  publish({other.id});
  EXPECT_THAT(resolve(device), FailsBecause("revoked"));
  EXPECT_THAT(resolve(other), FailsBecause("revoked"));
}

TEST_F(TrustKeeperTest, T52_T56_AReplacedKeyIsKnownUntilTheListDropsIt) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  ASSERT_OK_AND_ASSIGN(const auto device, fleet_->IssueDevice());
  const absl::Time since = absl::Now() - absl::Hours(1);
  RecordBody body;
  *body.mutable_credential() = device.credential;
  body.set_issued(absl::ToUnixMillis(since - absl::Minutes(1)));
  const auto put = [&](const trust::v1::DeviceRevocations& list) {
    ASSERT_OK(fleet_->AddDocument(signing::DeviceRevocationsPath("gateway"),
                                  list.SerializeAsString()));
    ASSERT_OK(fleet_->Publish());
  };
  const auto refresh = [&] {
    signing::DirectoryFetcher source(RealFileSystem(), fleet_->repository());
    ASSERT_OK(keeper->Refresh(source));
  };
  const auto resolve = [&] {
    return keeper->view()->Resolve(body, absl::Now()).status();
  };
  trust::v1::DeviceRevocations list;
  list.set_device_type("gateway");
  auto* key = list.add_superseded();
  key->set_key_digest(signing::KeyDigest(device.key.public_key()));
  key->set_since(absl::ToUnixMillis(since));
  const auto before = keeper->view();
  put(list);
  refresh();
  EXPECT_THAT(resolve(), FailsBecause("superseded_key"));
  // Its records that are here already stay, and are repaired.
  EXPECT_OK(keeper->view()->ResolveKept(body, absl::Now()));
  // Nothing that was refused is worth another look.
  EXPECT_TRUE(keeper->view()->SameWriters(*before));

  // Known after a restart, before anybody was heard.
  keeper.reset();
  ASSERT_OK_AND_ASSIGN(keeper, Open());
  EXPECT_THAT(resolve(), FailsBecause("superseded_key"));
  // A list that makes no sense changes nothing.
  trust::v1::DeviceRevocations bad = list;
  bad.clear_superseded();
  bad.add_superseded()->set_key_digest("short");
  put(bad);
  refresh();
  EXPECT_THAT(resolve(), FailsBecause("superseded_key"));
  // No more of it is kept than is said, whatever it holds.
  for (int i = 1; i < signing::kMaxSupersededKeys + 5; ++i)
    list.add_superseded()->set_key_digest(
        signing::KeyDigest(std::to_string(i)));
  put(list);
  refresh();
  const auto& keys = keeper->view()->fleet().superseded_keys.at("gateway");
  EXPECT_EQ(keys.size(), size_t{signing::kMaxSupersededKeys});
  EXPECT_TRUE(keys.contains(signing::KeyDigest(device.key.public_key())));
  // Its credential's time is over, so the list leaves it out.
  list.clear_superseded();
  put(list);
  refresh();
  EXPECT_OK(resolve());
}

TEST_F(TrustKeeperTest, AForeignTimestampChangesNothing) {
  ASSERT_OK_AND_ASSIGN(auto keeper, Open());
  ASSERT_OK_AND_ASSIGN(auto other, TestFleet::Create(dir_.File("other")));
  ASSERT_OK(other->Publish());
  signing::DirectoryFetcher source(RealFileSystem(), other->repository());
  EXPECT_FALSE(keeper->Refresh(source).ok());
  EXPECT_EQ(keeper->view()->fleet().director_keys[0],
            fleet_->director_key().public_key());
}

}  // namespace
}  // namespace shoal::dht::node
