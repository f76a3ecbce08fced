// Which rollout a device follows, over a real link whose metadata come out of a
// directory and real state on disk: nothing answers on its network.
#include "agent/link/decide.h"

#include "agent/link/lazy_fetch.h"
#include "signing/sign/builder.h"
#include "signing/verify/fetcher.h"
#include "tests/support/test_fleet.h"
#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::TempDir;
using shoal::testing::TestFleet;
using shoal::testing::TestImage;

class DeciderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    rig_.PowerOn();
    ASSERT_OK_AND_ASSIGN(fleet_, TestFleet::Create(dir_.File("fleet")));
    policy::v1::AccessPolicy policy = fleet_->policy();
    policy.set_version(policy.version() + 1);
    auto* rule = policy.add_rules();
    rule->set_name("install");
    rule->add_principals("director");
    rule->add_actions("update.install");
    rule->mutable_devices()->set_all(true);
    ASSERT_OK(fleet_->SetPolicy(policy));
    ASSERT_OK_AND_ASSIGN(two_, Image("2.0.0", 2));
    ASSERT_OK_AND_ASSIGN(three_, Image("3.0.0", 3));
    config_.data_directory = rig_.data();
    config_.device_type = "gateway";
    config_.bind_address = "127.0.0.1:0";
    config_.listen = false;
    config_.log_interval = absl::Hours(24);
    ASSERT_OK(fs_.MakeDirectories(config_.StateDirectory()));
    Start();
  }
  absl::StatusOr<TestImage> Image(const std::string& version,
                                  uint64_t counter) {
    return fleet_->AddImage("gateway", version, counter, 0, "image " + version);
  }
  // The daemon comes up.
  void Start() {
    decider_.reset();
    link_.reset();
    rig_.OpenAgent();
    ASSERT_OK_AND_ASSIGN(DeviceKeys keys, DeviceKeys::LoadOrCreate(
                                              fs_, config_.StateDirectory()));
    keys_ = std::make_unique<DeviceKeys>(std::move(keys));
    FleetLinkOptions options;
    options.config = &config_;
    options.fs = &fs_;
    options.clock = &clock_;
    options.keys = keys_.get();
    options.state = rig_.state_.get();
    options.fetch = &fetch_;
    options.shared.wrap_source = [this](signing::Fetcher&) {
      return std::make_unique<signing::DirectoryFetcher>(fs_,
                                                         fleet_->repository());
    };
    options.membership.fleet_id = fleet_->fleet_id();
    options.membership.director_key = fleet_->director_key().public_key();
    auto& grant = options.membership.grant;
    records::v1::CredentialBody body;
    body.set_public_key(keys_->signing.public_key());
    body.set_subject_id(id_);
    body.set_kind(records::v1::WRITER_CLASS_DEVICE);
    body.set_not_after(absl::ToUnixSeconds(absl::Now() + absl::Hours(24)));
    body.set_serial(1);
    ASSERT_OK_AND_ASSIGN(*grant.mutable_credential(),
                         signing::IssueCredential(fleet_->device_ca(),
                                                  fleet_->fleet_id(), body));
    grant.set_device_id(id_);
    *grant.mutable_network() = fleet_->network();
    grant.mutable_assignment()->set_device_id(id_);
    grant.mutable_assignment()->set_device_type("gateway");
    ASSERT_OK_AND_ASSIGN(link_, FleetLink::Open(std::move(options)));
    decider_ = std::make_unique<Decider>(&config_, &fs_, rig_.state_.get(),
                                         rig_.engine_.get(), link_.get(),
                                         &components_, &deltas_);
  }
  // To everybody, all at once.
  rollout::v1::RolloutDocument Rollout(const std::string& id,
                                       const TestImage& image, uint64_t order) {
    rollout::v1::RolloutDocument d = fleet_->RolloutToAll(id, image);
    d.set_order(order);
    return d;
  }
  // The director signs this; the device reads it.
  void Sign(const rollout::v1::RolloutDocument& document) {
    ASSERT_OK(fleet_->AddDocument("director/gateway/rollout/" + document.id(),
                                  document.SerializeAsString()));
  }
  void Read() {
    ASSERT_OK(fleet_->Publish());
    ASSERT_OK(link_->Refresh());
  }
  bool Decide() {
    const auto running = rig_.slots_->Running();
    EXPECT_OK(running);
    return running.ok() && decider_->Decide(*running);
  }
  std::string InHand() {
    const auto update = rig_.state_->Get().update;
    return update ? update->rollout_id : "";
  }
  // The plane's next word about the device.
  void Assign(const std::string& ring) {
    records::v1::Assignment next = link_->assignment();
    next.set_version(next.version() + 1);
    (*next.mutable_labels())["ring"] = ring;
    dht::VerifiedRecord record;
    record.writer.kind = records::v1::WRITER_CLASS_DIRECTOR;
    record.writer.public_key = fleet_->director_key().public_key();
    record.body.set_payload(next.SerializeAsString());
    ASSERT_OK(link_->TakeAssignment(record));
  }
  // As if the update in hand had been committed and told.
  void Commit() {
    ASSERT_OK(rig_.state_->Change([](StateData& d) {
      d.rollouts[d.update->rollout_id].finished = true;
      d.update.reset();
    }));
  }
  RolloutMemory MemoryOf(const std::string& id) {
    return rig_.state_->Get().rollouts[id];
  }
  // Same id and version, other bytes.
  static rollout::v1::RolloutDocument Other(rollout::v1::RolloutDocument d) {
    d.set_lost_after_seconds(7200);
    return d;
  }

  TempDir dir_;
  FileSystem& fs_ = RealFileSystem();
  testing::Rig rig_;
  std::unique_ptr<TestFleet> fleet_;
  const std::string id_ = std::string(16, 'd');
  AgentConfig config_;
  DeviceClock clock_{SystemClock()};
  LazyFetch fetch_{{}, SystemClock()};  // nothing here starts it
  std::unique_ptr<DeviceKeys> keys_;
  Components components_{config_, SystemClock()};
  std::unique_ptr<FleetLink> link_;
  rules::DeltaAbilities deltas_;
  std::unique_ptr<Decider> decider_;
  TestImage two_, three_;
};

TEST_F(DeciderTest, TheNewestThatSelectsTheDeviceIsFollowed) {
  Sign(Rollout("older", two_, 1));
  Sign(Rollout("newer", three_, 2));
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "newer");
}

TEST_F(DeciderTest, WhoBeganStaysWhateverItsLabelsSaySince) {
  Assign("beta");
  auto beta = Rollout("beta", three_, 2);
  beta.mutable_selector()->Clear();
  (*beta.mutable_selector()->mutable_labels())["ring"] = "beta";
  Sign(beta);
  Sign(Rollout("older", two_, 1));
  Read();
  ASSERT_TRUE(Decide()) << decider_->waiting_reason();
  ASSERT_EQ(InHand(), "beta");
  Assign("late");
  EXPECT_FALSE(Decide());
  EXPECT_TRUE(decider_->may_activate()) << decider_->waiting_reason();
  // Nor does what it took before move it back afterwards.
  Commit();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(InHand(), "");
}

TEST_F(DeciderTest, WhoWasRelabelledBeforeItBeganFollowsItsLabels) {
  Assign("beta");
  auto beta = Rollout("beta", three_, 2);
  beta.mutable_selector()->Clear();
  (*beta.mutable_selector()->mutable_labels())["ring"] = "beta";
  beta.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  Sign(beta);
  Sign(Rollout("older", two_, 1));
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "rollout_not_active");
  Assign("late");
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "older");
}

// B, newer and to some devices, ended before this one took it.
TEST_F(DeciderTest, WhatEndedUnreachedLeavesTheDeviceToTheOlderOne) {
  for (const bool expired : {false, true}) {
    auto b = Rollout(expired ? "b2" : "b", three_, expired ? 4 : 3);
    if (expired) {
      b.set_expires(absl::ToUnixSeconds(absl::Now()) - 60);
    } else {
      b.set_state(rollout::v1::ROLLOUT_STATE_ABORTED);
    }
    Sign(b);
  }
  Sign(Rollout("a", two_, 1));
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "a");
}

TEST_F(DeciderTest, WhoTookTheNewerOneIsNotMovedBackWhenItIsForgotten) {
  auto a = Rollout("a", two_, 1);
  Sign(a);
  Sign(Rollout("b", three_, 3));
  Read();
  ASSERT_TRUE(Decide());
  ASSERT_EQ(InHand(), "b");
  Commit();
  // The metadata keep b no longer; others that ended are newer.
  ASSERT_OK(fleet_->RemoveDocument("director/gateway/rollout/b"));
  auto other = Rollout("c", two_, 4);
  other.mutable_selector()->Clear();
  other.mutable_selector()->add_device_ids(std::string(32, 'e'));
  other.set_state(rollout::v1::ROLLOUT_STATE_FINISHED);
  Sign(other);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(InHand(), "");
  // Newer ones go on.
  Sign(Rollout("d", two_, 5));
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "d");
}

TEST_F(DeciderTest, RolloutsThatNobodyNamesAreForgottenButForTheLast) {
  ASSERT_OK(rig_.state_->Change([](StateData& d) {
    for (int i = 1; i <= 300; ++i) {
      RolloutMemory& memory = d.rollouts["past" + std::to_string(i)];
      memory.order = static_cast<uint64_t>(i);
      // Most of them other devices' alone.
      memory.finished = i == 7 || i == 250;
      d.halts["h" + std::to_string(i)].rollout_id = "past" + std::to_string(i);
    }
  }));
  Sign(Rollout("old", two_, 100));
  auto newest = Rollout("newest", three_, 301);
  newest.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  newest.mutable_selector()->Clear();
  newest.mutable_selector()->add_device_ids(std::string(32, 'e'));
  Sign(newest);
  Read();
  // The newest one that it took still counts.
  EXPECT_FALSE(Decide());
  EXPECT_EQ(InHand(), "");
  const StateData state = rig_.state_->Get();
  EXPECT_EQ(state.rollouts.size(), kMaxPastRollouts + 2);
  for (const char* id : {"old", "newest", "past7", "past250", "past300"})
    EXPECT_TRUE(state.rollouts.contains(id)) << id;
  EXPECT_FALSE(state.rollouts.contains("past100"));
  // Halts of what is not finished are still halts.
  EXPECT_TRUE(state.halts.contains("h100"));
}

// The highest number of all, signed by a thief, committed, and gone with him.
TEST_F(DeciderTest, T22_AThiefsOrderDoesNotShutTheDeviceForGood) {
  Sign(Rollout("thief", two_, UINT64_MAX));
  Read();
  ASSERT_TRUE(Decide());
  Commit();
  ASSERT_OK(fleet_->RemoveDocument("director/gateway/rollout/thief"));
  Sign(Rollout("next", three_, 2));
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "next");
}

// A device that lost its memory still runs what the newer one brought.
TEST_F(DeciderTest, TheImageOfOneThatEndedIsNotLeftForAnOlderOne) {
  ASSERT_OK_AND_ASSIGN(const RunningImage running, rig_.slots_->Running());
  auto b = Rollout("b", three_, 3);
  b.mutable_release()->set_sha256(running.info.sha256);
  b.set_state(rollout::v1::ROLLOUT_STATE_ABORTED);
  Sign(b);
  Sign(Rollout("a", two_, 1));
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(InHand(), "");
}

TEST_F(DeciderTest, ADocumentThatIsTooLargeHidesNoOther) {
  Sign(Rollout("older", two_, 1));
  auto large = Rollout("large", three_, 2);
  for (int i = 0; i < 64; ++i) {
    auto* approval = large.add_approvals();
    approval->set_operator_key(std::string(32, 'k'));
    approval->set_signature(std::string(300, 's'));
  }
  ASSERT_GT(large.ByteSizeLong(), rules::kMaxDocumentBytes);
  Sign(large);
  Read();
  ASSERT_EQ(link_->rollouts().size(), 1u);
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "older");
}

TEST_F(DeciderTest, T28_AConflictElsewhereBlocksNoFix) {
  // A rollout of other devices, the newest of all, and one that has ended: of
  // both another document comes under a version that was seen before.
  auto others = Rollout("others", two_, 9);
  others.mutable_selector()->Clear();
  others.mutable_selector()->add_device_ids(std::string(32, 'e'));
  auto ended = Rollout("ended", two_, 1);
  ended.set_state(rollout::v1::ROLLOUT_STATE_FINISHED);
  Sign(others);
  Sign(ended);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "rollout_not_active");
  Sign(Other(others));
  Sign(Other(ended));
  Sign(Rollout("fix", three_, 5));
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "fix");
  EXPECT_TRUE(MemoryOf("others").conflict);
  EXPECT_TRUE(MemoryOf("ended").conflict);
}

TEST_F(DeciderTest, T22_AfterABadDocumentTheOthersAreStillNoted) {
  auto first = Rollout("first", three_, 2);
  first.set_version(2);
  first.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  Sign(first);
  auto second = Rollout("second", two_, 1);
  second.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  Sign(second);
  Read();
  EXPECT_FALSE(Decide());
  first.set_version(1);
  Sign(first);
  second.set_version(7);
  Sign(second);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "old_rollout");
  EXPECT_EQ(MemoryOf("first").version, 2u);
  EXPECT_EQ(MemoryOf("second").version, 7u);
}

TEST_F(DeciderTest, T28_TwoDocumentsWithOneVersionHaltAndNothingOlderStarts) {
  auto newest = Rollout("newest", three_, 2);
  newest.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  Sign(newest);
  Sign(Rollout("older", two_, 1));
  Read();
  EXPECT_FALSE(Decide());
  auto active = newest;
  active.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  Sign(active);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "conflicting_rollout");
  EXPECT_EQ(InHand(), "");
  // After a restart too, and when the first one is back.
  Start();
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "conflicting_rollout");
  Sign(newest);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_EQ(decider_->waiting_reason(), "conflicting_rollout");
  // A higher version ends it.
  active.set_version(2);
  Sign(active);
  Read();
  EXPECT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_EQ(InHand(), "newest");
}

TEST_F(DeciderTest, T28_WhatWaitsForItsRestartObeysNoSpoiledDocument) {
  const auto own = Rollout("own", two_, 1);
  Sign(own);
  Read();
  ASSERT_TRUE(Decide()) << decider_->waiting_reason();
  EXPECT_FALSE(Decide());
  EXPECT_TRUE(decider_->may_activate()) << decider_->waiting_reason();
  // Of its own rollout.
  Sign(Other(own));
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_FALSE(decider_->may_activate());
  EXPECT_EQ(decider_->waiting_reason(), "conflicting_rollout");
  auto next = own;
  next.set_version(2);
  Sign(next);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_TRUE(decider_->may_activate()) << decider_->waiting_reason();
  // Of one that would supersede it: neither that, nor on as if it were not.
  auto newer = Rollout("newer", three_, 2);
  newer.set_state(rollout::v1::ROLLOUT_STATE_PAUSED);
  Sign(newer);
  Read();
  EXPECT_FALSE(Decide());
  newer.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  Sign(newer);
  Read();
  EXPECT_FALSE(Decide());
  EXPECT_FALSE(decider_->may_activate());
  EXPECT_EQ(decider_->waiting_reason(), "conflicting_rollout");
  EXPECT_EQ(InHand(), "own");
}

}  // namespace
}  // namespace shoal::agent
