// What a stolen online key may take of a reader's disk and memory: it delegates
// as it likes, to roles as large as they may be.
#include "common/bytes.h"
#include "signing/verify/fleet_trust.h"
#include "signing/verify/updater.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/signing/small_disk.h"
#include "tests/unit/signing/test_repository.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::FailsBecause;
using ::shoal::testing::FakeClock;
using ::shoal::testing::SmallDisk;
using ::shoal::testing::TempDir;

constexpr char kRevoked[] = "director/a/revoked/devices";
constexpr uint64_t kRoleBytes = 4'900'000;

class Room : public ::testing::Test {
 protected:
  void SetUp() override {
    repository_.AddTarget("policy", kPolicyPath, "{}");
    repository_.AddTarget("fw-a", "fw/a/1/image", "image");
    repository_.PublishAll();
    ASSERT_NO_FATAL_FAILURE(Open());
    ASSERT_OK(updater_->Refresh(repository_));
    ASSERT_OK(BuildFleetTrust(*updater_, &repository_));
  }
  void Open() {
    UpdaterOptions options = options_;
    options.directory = dir_.File("store");
    options.fleet_id = repository_.fleet_id();
    auto updater = Updater::Open(options, disk_, clock_);
    ASSERT_OK(updater);
    updater_ = *std::move(updater);
  }
  // The thief's: `count` more roles that are asked before the honest one, each
  // of `bytes`, and gone from the director's file with the next ones.
  void Delegate(int count, uint64_t bytes) {
    Targets& director = repository_.roles["director"];
    std::erase_if(director.delegations->roles, [](const DelegatedRole& role) {
      return role.name.starts_with("bulk-");
    });
    const std::vector<DelegatedRole> honest = director.delegations->roles;
    director.delegations->roles.clear();
    for (int i = 0; i < count; ++i) {
      const std::string name = "bulk-" + std::to_string(++bulk_);
      repository_.Delegate("director", name, {"director/a/revoked/*"}, false,
                           "director");
      repository_.signer[name] = "director";
      TargetFile filler{"director/a/revoked/filler", 1, std::string(32, 'h'),
                        R"({"x":")" + std::string(bytes - 500, 'x') + R"("})"};
      repository_.roles[name].targets[filler.path] = filler;
      repository_.PublishRole(name);
    }
    for (const DelegatedRole& role : honest)
      director.delegations->roles.push_back(role);
    repository_.PublishRole("director");
    repository_.PublishSnapshot();
    repository_.PublishTimestamp();
    ASSERT_OK(updater_->Refresh(repository_));
  }
  // Of the delegated roles' files.
  uint64_t RoleBytes() {
    uint64_t bytes = 0;
    const auto names = disk_.List(dir_.File("store"));
    EXPECT_OK(names);
    for (const std::string& name : *names)
      if (name.ends_with(".json") && name != "root.json" &&
          name != "targets.json" && name != "snapshot.json" &&
          name != "timestamp.json")
        bytes += disk_.Size(dir_.File("store/" + name)).value_or(0);
    return bytes;
  }
  bool Stored(const std::string& name) {
    return disk_.Exists(dir_.File("store/" + name));
  }

  TempDir dir_;
  FakeClock clock_;
  SmallDisk disk_;
  TestRepository repository_{clock_.WallNow()};
  UpdaterOptions options_;
  std::unique_ptr<Updater> updater_;
  int bulk_ = 0;
};

TEST_F(Room, T02_T20_AStolenDirectorFillsNeitherDiskNorMemory) {
  for (int publication = 0; publication < 4; ++publication) {
    ASSERT_NO_FATAL_FAILURE(Delegate(4, kRoleBytes));
    // Three fit, and no more are loaded.
    EXPECT_THAT(updater_->GetTarget(&repository_, kRevoked),
                FailsBecause("too_many_delegations"));
    EXPECT_LE(RoleBytes(), options_.max_stored_role_bytes);
    // Loaded again from the store, the answer is the same.
    EXPECT_THAT(updater_->GetTarget(&repository_, kRevoked),
                FailsBecause("too_many_delegations"));
    // What custodians sign is as near as ever, with and without a source.
    EXPECT_OK(updater_->GetTarget(&repository_, "fw/a/1/image"));
    EXPECT_OK(updater_->GetTarget(nullptr, "fw/a/1/image"));
    EXPECT_OK(BuildFleetTrust(*updater_, nullptr));
  }
  EXPECT_GT(RoleBytes(), kRoleBytes);
  // A director that is honest again is read again, and what nobody asks for any
  // more gives way.
  repository_.AddTarget("director-a", kRevoked, "revoked");
  repository_.PublishRole("director-a");
  ASSERT_NO_FATAL_FAILURE(Delegate(0, 0));
  EXPECT_OK(updater_->GetTarget(&repository_, kRevoked));
  EXPECT_TRUE(Stored("director-a.json"));
}

TEST_F(Room, T02_OneLookUpHasItsBytesAndEachRoleItsPlace) {
  options_.max_lookup_bytes = 20'000;
  options_.max_loaded_bytes = 20'000;
  options_.max_stored_role_bytes = 30'000;
  ASSERT_NO_FATAL_FAILURE(Open());
  repository_.AddTarget("director-a", kRevoked, "revoked");
  repository_.PublishRole("director-a");
  ASSERT_NO_FATAL_FAILURE(Delegate(3, 4'000));
  EXPECT_OK(updater_->GetTarget(&repository_, kRevoked));
  // The store is full of other things: what targets.json names has a place.
  for (int i = 0; i < 6; ++i) {
    ASSERT_NO_FATAL_FAILURE(Delegate(3, 4'000));
    EXPECT_OK(updater_->GetTarget(&repository_, kRevoked));
    EXPECT_LE(RoleBytes(), 30'000u);
  }
  repository_.AddTarget("fw-a", "fw/a/2/image", "image two");
  repository_.PublishRole("fw-a");
  ASSERT_NO_FATAL_FAILURE(Delegate(3, 4'000));
  EXPECT_OK(updater_->GetTarget(&repository_, kRevoked));
  EXPECT_OK(updater_->GetTarget(&repository_, "fw/a/2/image"));
  EXPECT_OK(updater_->GetTarget(nullptr, "fw/a/2/image"));
  EXPECT_LE(RoleBytes(), 30'000u);
  ASSERT_NO_FATAL_FAILURE(Delegate(6, 4'000));
  EXPECT_THAT(updater_->GetTarget(&repository_, kRevoked),
              FailsBecause("too_many_delegations"));
}

TEST_F(Room, WhatTheSnapshotNamesNoMoreIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(Delegate(2, 4'000));
  EXPECT_THAT(updater_->GetTarget(&repository_, kRevoked),
              FailsBecause("unknown_target"));
  EXPECT_TRUE(Stored("bulk-1.json"));
  // Root takes the snapshot's key away, and with it all that it named.
  repository_.RotateKey("snapshot", "snapshot-2");
  repository_.PublishRoot({"root-1", "root-2"});
  for (const char* name : {"bulk-1", "bulk-2"}) {
    repository_.roles.erase(name);
    repository_.newest_.erase(name);
  }
  ASSERT_NO_FATAL_FAILURE(Delegate(0, 0));
  EXPECT_FALSE(Stored("bulk-1.json"));
  EXPECT_FALSE(Stored("bulk-2.json"));
  EXPECT_TRUE(Stored("policy.json"));
}

TEST_F(Room, T20_T61_TheNextRootIsSavedOnAFullDisk) {
  ASSERT_NO_FATAL_FAILURE(Delegate(3, 400'000));
  EXPECT_THAT(updater_->GetTarget(&repository_, kRevoked),
              FailsBecause("unknown_target"));
  EXPECT_TRUE(Stored("bulk-1.json"));
  // Not a byte is left when the recovery's root comes.
  disk_.capacity = disk_.used();
  repository_.RotateKey("timestamp", "timestamp-2");
  repository_.RotateKey("snapshot", "snapshot-2");
  repository_.PublishRoot({"root-1", "root-2"});
  repository_.PublishSnapshot();
  repository_.PublishTimestamp();
  ASSERT_OK(updater_->Refresh(repository_));
  EXPECT_EQ(updater_->root().version, 2u);
  EXPECT_LE(disk_.used(), disk_.capacity);
  EXPECT_OK(updater_->GetTarget(&repository_, "fw/a/1/image"));
  // It is on the disk, and so is the set by the new keys.
  ASSERT_NO_FATAL_FAILURE(Open());
  EXPECT_EQ(updater_->root().version, 2u);
  ASSERT_OK(updater_->UseStored());
  EXPECT_EQ(updater_->timestamp().version, repository_.timestamp_version);
}

// A role that does not fit is not a reason not to know what it says.
TEST_F(Room, T61_ALookUpNeedsNoDisk) {
  repository_.AddTarget("director-a", kRevoked, "revoked");
  repository_.PublishRole("director-a");
  ASSERT_NO_FATAL_FAILURE(Delegate(0, 0));
  disk_.capacity = disk_.used();
  EXPECT_OK(updater_->GetTarget(&repository_, kRevoked));
}

TEST_F(Room, T02_T20_DocumentsOfTheDirectorPushNoPolicyOut) {
  options_.max_stored_target_bytes = 10'000;
  ASSERT_NO_FATAL_FAILURE(Open());
  for (int i = 0; i < 8; ++i)
    repository_.AddTarget("director-a",
                          "director/a/rollout/" + std::to_string(i),
                          std::string(3'000, static_cast<char>('a' + i)));
  repository_.PublishAll();
  ASSERT_OK(updater_->Refresh(repository_));
  ASSERT_OK(BuildFleetTrust(*updater_, &repository_));
  ASSERT_OK_AND_ASSIGN(const auto documents,
                       updater_->TargetsOf(&repository_, "director-a"));
  for (const TargetFile& document : documents) {
    EXPECT_OK(updater_->FetchTarget(&repository_, document, 4'000));
    uint64_t bytes = 0;
    ASSERT_OK_AND_ASSIGN(const auto names,
                         disk_.List(dir_.File("store/targets")));
    for (const std::string& name : names)
      bytes += disk_.Size(dir_.File("store/targets/" + name)).value_or(0);
    EXPECT_LE(bytes, 10'000u);
  }
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_OK(updater_->UseStored());
  EXPECT_OK(BuildFleetTrust(*updater_, nullptr));
}

}  // namespace
}  // namespace shoal::signing
