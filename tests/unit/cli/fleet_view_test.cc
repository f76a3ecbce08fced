// What a context knows of devices that left and of keys that were replaced.
#include "server/cli/fleet_view.h"

#include <gmock/gmock.h>

#include "server/cli/known_revocations.h"
#include "shoal/trust/v1/revocations.pb.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_fleet.h"

namespace shoal::cli {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::TempDir;
using ::shoal::testing::TestFleet;
using ::shoal::testing::TestIdentity;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class FleetViewTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto fleet = TestFleet::Create(dir_.File("fleet"));
    ASSERT_OK(fleet);
    fleet_ = *std::move(fleet);
    context_.name = "home";
    context_.directory = dir_.File("context");
    context_.fleet_id = fleet_->fleet_id();
    ASSERT_OK(fs_.MakeDirectories(context_.directory));
    fleet::v1::EnrollNodeRequest request;
    request.set_node_id("n");
    request.set_public_key(key_.public_key());
    request.set_signature(key_.Sign(
        crypto::SigningInput("shoal.node.enroll.v1", fleet_->fleet_id(), "n")));
    ASSERT_OK(fleet_->EnrollNode(request));
  }
  // What the plane answers now; the lists only when `with_lists`.
  fleet::v1::GetNetworkResponse Answer(bool with_lists = true) {
    fleet::v1::GetNetworkResponse network;
    const auto bundle = fleet_->BundleFor(key_.public_key());
    EXPECT_OK(bundle);
    network.set_fleet_id(fleet_->fleet_id());
    *network.mutable_roots() = bundle->roots();
    *network.mutable_metadata() = bundle->metadata();
    network.set_policy(bundle->policy());
    const std::string path = signing::DeviceRevocationsPath("gateway");
    if (with_lists && !list_.empty())
      (*network.mutable_revocations())[path] = list_;
    return network;
  }
  void Publish(const std::vector<std::string>& left,
               const std::vector<std::string>& superseded) {
    trust::v1::DeviceRevocations list;
    list.set_device_type("gateway");
    for (const std::string& id : left) list.add_device_ids(id);
    for (const std::string& key : superseded) {
      auto& one = *list.add_superseded();
      one.set_key_digest(signing::KeyDigest(key));
      one.set_since(absl::ToUnixMillis(absl::Now()));
    }
    list_ = list.SerializeAsString();
    ASSERT_OK(
        fleet_->AddDocument(signing::DeviceRevocationsPath("gateway"), list_));
    ASSERT_OK(fleet_->Publish());
  }
  absl::StatusOr<StoredTrust> Load(
      const fleet::v1::GetNetworkResponse& network) {
    return LoadTrust(context_, network, fs_, SystemClock());
  }
  // How a record of `device` fares.
  static absl::Status Judge(const StoredTrust& stored,
                            const TestIdentity& device) {
    auto resolver = MakeResolver(stored.trust);
    if (!resolver.ok()) return resolver.status();
    dht::RecordBody body;
    *body.mutable_credential() = device.credential;
    return (*resolver)(body, absl::Now()).status();
  }

  TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  std::unique_ptr<TestFleet> fleet_;
  Context context_;
  std::string list_;
  crypto::SigningKey key_ = crypto::SigningKey::Generate();
};

TEST_F(FleetViewTest, T52_T56_WhoLeftAndWhichKeysWereReplacedIsKnown) {
  ASSERT_OK_AND_ASSIGN(const auto sold, fleet_->IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto copied, fleet_->IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto honest, fleet_->IssueDevice());
  ASSERT_NO_FATAL_FAILURE(Publish({sold.id}, {copied.key.public_key()}));
  const auto network = Answer();
  ASSERT_OK(VerifyNetwork(context_, network, fs_, SystemClock()));
  ASSERT_OK_AND_ASSIGN(const StoredTrust stored, Load(network));
  EXPECT_THAT(stored.unread, IsEmpty());
  EXPECT_THAT(Judge(stored, sold), FailsBecause("revoked"));
  EXPECT_THAT(Judge(stored, copied), FailsBecause("superseded_key"));
  EXPECT_OK(Judge(stored, honest));
}

TEST_F(FleetViewTest, T41_T52_AListThatIsWithheldBringsNobodyBack) {
  ASSERT_OK_AND_ASSIGN(const auto sold, fleet_->IssueDevice());
  ASSERT_OK_AND_ASSIGN(const auto later, fleet_->IssueDevice());
  ASSERT_NO_FATAL_FAILURE(Publish({sold.id}, {}));
  ASSERT_OK(VerifyNetwork(context_, Answer(), fs_, SystemClock()));
  // Newer metadata, and nobody hands out the list that it names.
  ASSERT_NO_FATAL_FAILURE(Publish({sold.id, later.id}, {}));
  const auto withheld = Answer(/*with_lists=*/false);
  ASSERT_OK(VerifyNetwork(context_, withheld, fs_, SystemClock()));
  ASSERT_OK_AND_ASSIGN(const StoredTrust stored, Load(withheld));
  EXPECT_THAT(stored.unread, ElementsAre("gateway"));
  EXPECT_THAT(Judge(stored, sold), FailsBecause("revoked"));
  EXPECT_OK(Judge(stored, later));
  // A list of anybody's own is none.
  auto forged = withheld;
  (*forged.mutable_revocations())[signing::DeviceRevocationsPath("gateway")] =
      trust::v1::DeviceRevocations().SerializeAsString();
  ASSERT_OK_AND_ASSIGN(const StoredTrust again, Load(forged));
  EXPECT_THAT(again.unread, ElementsAre("gateway"));
  EXPECT_THAT(Judge(again, sold), FailsBecause("revoked"));
}

TEST_F(FleetViewTest, T20_WhatAThiefOfTheDirectorsKeyRevokedGoesWithTheKey) {
  signing::FleetTrust trust;
  trust.director_keys = {std::string(32, 't')};
  trust.revoked_device_ids = {std::string(16, 'd')};
  trust.superseded_keys["gateway"][std::string(16, 'k')] = absl::UnixEpoch();
  ASSERT_OK(KeepRevocations(context_, fs_, trust));
  signing::FleetTrust same;
  same.director_keys = trust.director_keys;
  ASSERT_OK(RecallRevocations(context_, fs_, same));
  EXPECT_EQ(same.revoked_device_ids, trust.revoked_device_ids);
  EXPECT_EQ(same.superseded_keys, trust.superseded_keys);
  signing::FleetTrust replaced;
  replaced.director_keys = {std::string(32, 'n')};
  ASSERT_OK(RecallRevocations(context_, fs_, replaced));
  EXPECT_THAT(replaced.revoked_device_ids, IsEmpty());
  EXPECT_THAT(replaced.superseded_keys, IsEmpty());

  ASSERT_OK(fs_.WriteAtomic(context_.directory + "/revocations.pb", "\xff"));
  EXPECT_THAT(RecallRevocations(context_, fs_, same),
              FailsBecause("bad_context"));
}

}  // namespace
}  // namespace shoal::cli
