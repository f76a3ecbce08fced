#include <sys/stat.h>

#include "agent/state/device_state.h"
#include "agent/state/identity.h"
#include "tests/unit/agent/engine_rig.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;
using testing::WriteFile;

TEST(DeviceState, TextsAreReadableAndBadBytesAreReplacedAtOnce) {
  TempDir dir;
  const std::string path = dir.File("journal.json");
  ASSERT_OK_AND_ASSIGN(auto state, DeviceState::Open(RealFileSystem(), path));
  ASSERT_OK(state->Change([](StateData& d) {
    d.last_refusal = Refusal{"update", "below_floor", "too old: 3 \xff", 5};
  }));
  ASSERT_OK_AND_ASSIGN(const std::string text,
                       RealFileSystem().Read(path, 1 << 20));
  EXPECT_NE(text.find("too old: 3 "), std::string::npos) << text;
  ASSERT_OK_AND_ASSIGN(auto again, DeviceState::Open(RealFileSystem(), path));
  EXPECT_EQ(state->Get().last_refusal->message,
            again->Get().last_refusal->message);
  EXPECT_EQ(again->Get().last_refusal->message, "too old: 3 \xef\xbf\xbd");
}

TEST(DeviceState, SurvivesARestartWhole) {
  TempDir dir;
  const std::string path = dir.File("journal.json");
  UpdateRecord update = testing::Rig().NewUpdate(true);
  update.state = UpdateState::kInstalling;
  update.message = "two\nlines, \"quoted\", \xc3\xa9";
  update.resume_state = std::string("\0\1\2", 3);
  update.components = testing::Rig().NewUpdateWithModem().components;
  update.components[0].begun = true;
  update.image_runs = true;
  {
    ASSERT_OK_AND_ASSIGN(auto state, DeviceState::Open(RealFileSystem(), path));
    ASSERT_OK(state->Change([&](StateData& d) {
      d.floor = 7;
      d.update = update;
      d.halts["ab"] = {"r1", 2, "smoke", "0a"};
      d.halts_all = {"0b"};
      d.seen_commands["cc"] = 123;
      d.last_refusal = Refusal{"update", "below_floor", "…", 5};
      d.rollouts["r1"].digest = std::string(32, '\xee');
      d.tally = {{{"success", 3}}, {{"metadata", 1}}, 70, 80};
    }));
  }
  ASSERT_OK_AND_ASSIGN(auto state, DeviceState::Open(RealFileSystem(), path));
  const StateData data = state->Get();
  EXPECT_EQ(data.floor, 7u);
  ASSERT_TRUE(data.update);
  EXPECT_EQ(data.update->state, UpdateState::kInstalling);
  EXPECT_EQ(data.update->message, update.message);
  EXPECT_EQ(data.update->resume_state, update.resume_state);
  EXPECT_EQ(data.update->delta->from_sha256, update.delta->from_sha256);
  ASSERT_EQ(data.update->components.size(), 1u);
  EXPECT_EQ(data.update->components[0].name, "modem");
  EXPECT_EQ(data.update->components[0].counter, 2u);
  EXPECT_EQ(data.update->components[0].source.sha256,
            update.components[0].source.sha256);
  EXPECT_TRUE(data.update->components[0].begun);
  EXPECT_TRUE(data.update->image_runs);
  EXPECT_EQ(data.halts.at("ab").reason, "smoke");
  EXPECT_EQ(data.halts.at("ab").operator_key, "0a");
  EXPECT_TRUE(data.halts_all.contains("0b"));
  EXPECT_EQ(data.last_refusal->reason, "below_floor");
  EXPECT_EQ(data.rollouts.at("r1").digest, std::string(32, '\xee'));
  EXPECT_EQ(data.tally.updates.at("success"), 3u);
  EXPECT_EQ(data.tally.refusals.at("metadata"), 1u);
  EXPECT_EQ(data.tally.bytes_from_peers, 70u);
  EXPECT_EQ(data.tally.bytes_from_origin, 80u);
  EXPECT_EQ(EncodeState(data), EncodeState(*DecodeState(EncodeState(data))));
}

TEST(DeviceState, DamageIsNeverTakenForAnEmptyState) {
  TempDir dir;
  const std::string path = dir.File("journal.json");
  for (const char* text :
       {"", "{", "[]", "{\"update\":{\"state\":\"dancing\"}}",
        "{\"floor\":\"high\"}"}) {
    WriteFile(path, text);
    EXPECT_THAT(DeviceState::Open(RealFileSystem(), path),
                FailsBecause("bad_state"))
        << text;
  }
}

TEST(DeviceState, WhatCouldNotBeReadAgainIsNotWritten) {
  TempDir dir;
  const std::string path = dir.File("journal.json");
  ASSERT_OK_AND_ASSIGN(auto state, DeviceState::Open(RealFileSystem(), path));
  ASSERT_OK(state->Change([](StateData& d) { d.floor = 3; }));
  EXPECT_THAT(state->Change([](StateData& d) {
    for (int i = 0; i < 20'000; ++i)
      d.rollouts["r" + std::to_string(i)].digest = std::string(32, 'x');
  }),
              FailsBecause("state_too_large"));
  EXPECT_TRUE(state->Get().rollouts.empty());
  ASSERT_OK_AND_ASSIGN(auto again, DeviceState::Open(RealFileSystem(), path));
  EXPECT_EQ(again->Get().floor, 3u);
}

TEST(DurableCounter, GoesOnAfterARestartWithoutGapOrRepeat) {
  TempDir dir;
  for (uint64_t n = 1; n <= 6; n += 2) {
    ASSERT_OK_AND_ASSIGN(
        auto counter, DurableCounter::Open(RealFileSystem(), dir.File("seq")));
    EXPECT_EQ(*counter->Next(), n);
    EXPECT_EQ(*counter->Next(), n + 1);
  }
}

TEST(Identity, IsMadeOnceAndPrivate) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(const DeviceKeys first,
                       DeviceKeys::LoadOrCreate(RealFileSystem(), dir.path()));
  ASSERT_OK_AND_ASSIGN(const DeviceKeys second,
                       DeviceKeys::LoadOrCreate(RealFileSystem(), dir.path()));
  EXPECT_EQ(first.signing.public_key(), second.signing.public_key());
  EXPECT_EQ(first.box->public_key(), second.box->public_key());
  struct stat info {};
  ASSERT_EQ(::stat(dir.File("identity.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_OK(RealFileSystem().Remove(dir.File("box.key")));
  EXPECT_THAT(DeviceKeys::LoadOrCreate(RealFileSystem(), dir.path()),
              FailsBecause("bad_identity"));
}

TEST(Identity, MembershipIsKept) {
  TempDir dir;
  ASSERT_OK_AND_ASSIGN(auto none, LoadMembership(RealFileSystem(), dir.path()));
  EXPECT_FALSE(none.has_value());
  Membership membership;
  membership.fleet_id = std::string(32, 'f');
  membership.director_key = std::string(32, 'd');
  membership.grant.set_device_id(std::string(16, '\x80'));
  membership.grant.mutable_network()->set_place_key(std::string(32, 'p'));
  ASSERT_OK(SaveMembership(RealFileSystem(), dir.path(), membership));
  ASSERT_OK_AND_ASSIGN(auto kept, LoadMembership(RealFileSystem(), dir.path()));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->grant.SerializeAsString(),
            membership.grant.SerializeAsString());
}

}  // namespace
}  // namespace shoal::agent
