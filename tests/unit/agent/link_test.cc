// What the link decides without any network: commands, outcomes of others,
// tickets, who wrote a record.
#include "agent/link/commands.h"
#include "agent/link/fleet_link.h"
#include "agent/link/member_keys.h"
#include "agent/link/pairing.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "dht/records/key_ring.h"
#include "rules/position.h"
#include "tests/support/status_matchers.h"

namespace shoal::agent {
namespace {

using shoal::testing::FailsBecause;

const std::string kDevice(16, 'd');
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class CommandTest : public ::testing::Test {
 protected:
  CommandTest() {
    auto* op = trust_.policy.add_operators();
    op->set_name("alice");
    op->set_public_key(HexEncode(key_));
    auto* rule = trust_.policy.add_rules();
    rule->set_name("run");
    rule->add_principals("operator:alice");
    rule->add_actions("command.run:ping");
    rule->mutable_devices()->set_all(true);
    config_.device_type = "gateway";
    CommandDefinition ping;
    ping.program = "/bin/ping";
    ping.arguments = {"-c", "{0}", "x{0}"};
    ping.types.push_back(*ParseArgumentType("integer:1:5"));
    config_.commands["ping"] = ping;
    config_.commands["reset"] = ping;
    command_.set_id(std::string(16, 'i'));
    command_.set_device_id(kDevice);
    command_.set_operator_key(key_);
    command_.set_name("ping");
    command_.add_arguments("3");
    command_.set_issued(absl::ToUnixMillis(kNow));
    command_.set_expires(absl::ToUnixMillis(kNow + absl::Minutes(5)));
  }
  absl::Status Check(absl::Time now = kNow) {
    return CheckCommand(command_, config_, trust_, state_, kDevice, now);
  }
  dht::VerifiedRecord Record() {
    dht::VerifiedRecord record;
    record.body.set_kind(records::v1::RECORD_KIND_COMMAND);
    record.body.set_payload(
        *crypto::SealTo(box_.public_key(), command_.SerializeAsString()));
    record.writer.kind = records::v1::WRITER_CLASS_OPERATOR;
    record.writer.public_key = key_;
    return record;
  }
  const std::string key_ = std::string(32, 'k');
  const BoxKeys box_{crypto::BoxKey::Generate()};
  AgentConfig config_;
  TrustView trust_;
  StateData state_;
  records::v1::Command command_;
};

TEST_F(CommandTest, AllowedOneRunsWithItsArgumentsApart) {
  EXPECT_OK(Check());
  EXPECT_THAT(CommandLine(config_.commands["ping"], command_),
              ::testing::ElementsAre("/bin/ping", "-c", "3", "x{0}"));
}

TEST_F(CommandTest, T53_DefaultDeny) {
  command_.set_name("reset");
  EXPECT_THAT(Check(), FailsBecause("permission_denied"));
  command_.set_name("ping");
  command_.set_operator_key(std::string(32, 'z'));
  EXPECT_THAT(Check(), FailsBecause("permission_denied"));
}

TEST_F(CommandTest, T22_ReplayedOrOutOfTime) {
  EXPECT_THAT(Check(kNow + absl::Minutes(5)), FailsBecause("expired"));
  EXPECT_THAT(Check(kNow - absl::Minutes(5)), FailsBecause("expired"));
  command_.set_expires(absl::ToUnixMillis(kNow + absl::Minutes(16)));
  EXPECT_THAT(Check(), FailsBecause("expired"));
  command_.set_expires(absl::ToUnixMillis(kNow + absl::Minutes(15)));
  EXPECT_OK(Check());
  state_.seen_commands[HexEncode(command_.id())] = command_.expires();
  EXPECT_THAT(Check(), FailsBecause("replayed"));
}

TEST_F(CommandTest, ArgumentsAreTyped) {
  command_.set_arguments(0, "6");
  EXPECT_THAT(Check(), FailsBecause("bad_argument"));
  command_.set_arguments(0, "3");
  command_.add_arguments("4");
  EXPECT_THAT(Check(), FailsBecause("bad_argument"));
}

TEST_F(CommandTest, T54_ASealedBoxCannotBeMoved) {
  EXPECT_OK(OpenCommand(Record(), box_, kDevice));
  EXPECT_THAT(OpenCommand(Record(), box_, std::string(16, 'e')),
              FailsBecause("bad_command"));
  EXPECT_THAT(
      OpenCommand(Record(), BoxKeys(crypto::BoxKey::Generate()), kDevice),
      FailsBecause("bad_command"));
  auto moved = Record();
  moved.writer.public_key = std::string(32, 'm');  // signed by another operator
  EXPECT_THAT(OpenCommand(moved, box_, kDevice), FailsBecause("bad_command"));
  auto changed = Record();
  std::string payload = changed.body.payload();
  payload.back() ^= 1;
  changed.body.set_payload(payload);
  EXPECT_THAT(OpenCommand(changed, box_, kDevice), FailsBecause("bad_command"));
}

rollout::v1::RolloutDocument TwoPhases() {
  rollout::v1::RolloutDocument d;
  d.set_id("r1");
  d.mutable_release()->set_sha256(std::string(32, 's'));
  auto* first = d.add_phases();
  first->set_threshold(uint64_t{1} << 31);
  first->set_expected_devices(10);
  auto* second = d.add_phases();
  second->set_threshold(uint64_t{1} << 32);
  second->set_expected_devices(1000);
  return d;
}

// A device whose position lies in phase 0.
std::string DeviceInFirstPhase(int n) {
  for (int i = 0;; ++i) {
    std::string id =
        crypto::Sha256Digest(std::to_string(n * 1000 + i)).substr(0, 16);
    if (rules::Position("r1", id) < uint64_t{1} << 31) return id;
  }
}

dht::VerifiedRecord OutcomeRecord(
    const std::string& id, uint64_t counter, bool success,
    const std::string& running = std::string(32, 's')) {
  records::v1::Outcome outcome;
  outcome.set_rollout_id("r1");
  outcome.set_device_id(id);
  outcome.set_counter(counter);
  outcome.set_result(success ? records::v1::OUTCOME_RESULT_SUCCESS
                             : records::v1::OUTCOME_RESULT_ROLLED_BACK);
  outcome.set_running_sha256(running);
  dht::VerifiedRecord record;
  record.body.set_kind(records::v1::RECORD_KIND_OUTCOME);
  record.body.set_payload(outcome.SerializeAsString());
  record.writer.id = id;
  return record;
}

TEST(CountOutcomes, T27_OnlyASuccessThatNamesTheImageCounts) {
  const auto d = TwoPhases();
  const std::string a = DeviceInFirstPhase(1), b = DeviceInFirstPhase(2);
  auto count = CountOutcomes(d, 0,
                             {OutcomeRecord(a, 1, true),
                              OutcomeRecord(b, 1, true, std::string(32, 'o'))});
  EXPECT_EQ(count.succeeded, 1u);
  EXPECT_EQ(count.failed, 1u);
  // In another's name: not counted.
  auto forged = OutcomeRecord(a, 2, false);
  forged.writer.id = b;
  count = CountOutcomes(d, 0, {forged});
  EXPECT_EQ(count.total(), 0u);
}

TEST(CountOutcomes, T29_EachDevicesLatestAndOnlyThisPhase) {
  const auto d = TwoPhases();
  const std::string a = DeviceInFirstPhase(1);
  auto count = CountOutcomes(
      d, 0, {OutcomeRecord(a, 2, true), OutcomeRecord(a, 1, false)});
  EXPECT_EQ(count.succeeded, 1u);
  EXPECT_EQ(count.failed, 0u);
  EXPECT_EQ(CountOutcomes(d, 1, {OutcomeRecord(a, 2, true)}).total(), 0u);
}

// Without a plane a device judges as the plane does.
TEST(CountOutcomes, WhatAnOperatorAcceptedIsNoFailure) {
  auto d = TwoPhases();
  const std::string a = DeviceInFirstPhase(1), b = DeviceInFirstPhase(2);
  std::vector<dht::VerifiedRecord> records = {OutcomeRecord(a, 1, false),
                                              OutcomeRecord(b, 1, false)};
  records[0].body.set_issued(1'800'000'000'000);
  records[1].body.set_issued(1'800'000'000'001);
  EXPECT_EQ(CountOutcomes(d, 0, records).failed, 2u);
  auto* accepted = d.add_accepted_failures();
  accepted->set_count(1);
  accepted->set_until(1'800'000'000'000);
  const auto count = CountOutcomes(d, 0, records);
  EXPECT_EQ(count.failed, 1u);
  EXPECT_EQ(count.accepted, 1u);
  EXPECT_EQ(count.total(), 2u);
}

// A stolen director signs one rollout in the place of another: what is
// remembered of the one (halts, versions, tries) would count for neither.
TEST(ParseRollout, T21_ARolloutStandsUnderItsOwnName) {
  auto d = TwoPhases();
  d.set_version(1);
  d.set_fleet(std::string(32, 'f'));
  d.set_device_type("gateway");
  d.mutable_release()->set_image_target("fw/gateway/2.0/image");
  d.mutable_release()->set_length(1);
  d.mutable_phases(0)->set_name("first");
  d.mutable_phases(1)->set_name("second");
  const std::string bytes = d.SerializeAsString();
  EXPECT_OK(ParseRollout("director/gateway/rollout/r1", bytes));
  for (const char* path :
       {"director/gateway/rollout/r2", "director/gateway/rollout/r1/x",
        "director/gateway/rollout/", "r"})
    EXPECT_THAT(ParseRollout(path, bytes), FailsBecause("wrong_target"))
        << path;
  EXPECT_THAT(ParseRollout("director/gateway/rollout/r1", "\xff"),
              FailsBecause("bad_rollout"));
  d.set_version(0);
  EXPECT_THAT(
      ParseRollout("director/gateway/rollout/r1", d.SerializeAsString()),
      FailsBecause("bad_rollout"));
}

google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> Keys(
    std::initializer_list<std::pair<uint32_t, char>> list) {
  google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> keys;
  for (const auto& [epoch, fill] : list) {
    auto* key = keys.Add();
    key->set_epoch(epoch);
    key->set_key(std::string(32, fill));
  }
  return keys;
}
std::string Text(const std::vector<pairing::v1::NetworkKey>& keys) {
  std::string text;
  for (const auto& key : keys)
    text += std::to_string(key.epoch()) + key.key().substr(0, 1) + " ";
  return text;
}

TEST(MemberKeys, T20_ADirectorAddsKeysAndTakesNoneAway) {
  const auto held = Keys({{1, 'a'}, {5, 'b'}});
  EXPECT_EQ(Text(MergeNetworkKeys(held, Keys({{9, 'c'}}), {5}, false)),
            "1a 5b 9c ");
  // Other bytes for the epoch that an honest node answers under.
  EXPECT_EQ(Text(MergeNetworkKeys(held, Keys({{5, 'x'}}), {5}, false)),
            "1a 5b ");
  // As many made-up epochs as it likes.
  google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> flood;
  for (uint32_t epoch = 1000; epoch < 1100; ++epoch) {
    auto* key = flood.Add();
    key->set_epoch(epoch);
    key->set_key(std::string(32, 'x'));
  }
  const auto flooded = MergeNetworkKeys(held, flood, {5}, false);
  EXPECT_EQ(flooded.size(), kMaxMemberKeys);
  EXPECT_EQ(flooded.front().epoch(), 5u);
  EXPECT_EQ(flooded.front().key(), std::string(32, 'b'));
  EXPECT_EQ(flooded.back().epoch(), 1099u);
}

TEST(MemberKeys, T20_WhatAThiefGaveGoesWithIt) {
  const auto held = Keys({{1, 'a'}, {5, 'b'}, {4000000000u, 'x'}});
  EXPECT_EQ(Text(MergeNetworkKeys(held, Keys({{7, 'n'}}), {5}, true)),
            "5b 7n ");
  // Nothing usable in the offer.
  auto bad = Keys({{0, 'z'}, {8, 'z'}});
  bad.Mutable(1)->set_key("short");
  EXPECT_EQ(Text(MergeNetworkKeys(held, bad, {5}, false)),
            "1a 5b 4000000000x ");
}

// It was away while the fleet came back from a thief who had given it as many
// keys as it holds, all of higher epochs. Its grant brings the one honest key
// by a director that it does not know yet.
TEST(MemberKeys, T20_T52_AThiefsHighEpochsDoNotShutTheHonestKeyOut) {
  google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> flood;
  for (uint32_t i = 0; i < 100; ++i) {
    auto* key = flood.Add();
    key->set_epoch(4'000'000'000u + i);
    key->set_key(std::string(32, 'x'));
  }
  const auto flooded =
      MergeNetworkKeys(Keys({{1, 'a'}, {5, 'b'}}), flood, {5}, false);
  const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> held(
      flooded.begin(), flooded.end());
  const auto merged = MergeNetworkKeys(held, Keys({{6, 'n'}}), {5}, false);
  EXPECT_EQ(merged.size(), kMaxMemberKeys);
  EXPECT_EQ(Text({merged.begin(), merged.begin() + 2}), "5b 6n ");
}

// One node of the pairing is a thief's, with as many made-up epochs as it
// likes, and answers under one of them.
TEST(MemberKeys, T20_T45_EachNodesKeyStays) {
  google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> flood;
  for (uint32_t i = 0; i < 100; ++i) {
    auto* key = flood.Add();
    key->set_epoch(4'000'000'000u + i);
    key->set_key(std::string(32, 'x'));
  }
  auto merged = MergeNetworkKeys(Keys({{1, 'a'}, {5, 'b'}}), flood, {5}, false);
  for (uint32_t round = 0; round < 3; ++round) {
    const google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> held(
        merged.begin(), merged.end());
    merged = MergeNetworkKeys(held, Keys({{4'000'000'200u + round, 'y'}}),
                              {5, 4'000'000'099u}, false);
    ASSERT_EQ(merged.size(), kMaxMemberKeys);
    EXPECT_EQ(Text({merged.front()}), "5b ");
  }
}

TEST(TrialKeysTest, T20_T45_ANodeThatLiesHasNoOthersRoom) {
  const auto held = Keys({{1, 'a'}, {5, 'b'}});
  TrialKeys trial;
  EXPECT_TRUE(trial.Take("honest", Keys({{6, 'n'}})));
  EXPECT_FALSE(trial.Take("honest", Keys({{6, 'n'}})));
  for (uint32_t i = 0; i < 50; ++i)
    EXPECT_TRUE(trial.Take("liar", Keys({{1000 + i, 'x'},
                                         {2000 + i, 'x'},
                                         {3000 + i, 'x'},
                                         {5, 'x'},
                                         {0, 'x'}})));
  auto all = trial.With(held);
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.epoch() < b.epoch(); });
  EXPECT_EQ(Text(all), "1a 5b 6n 2049x 3049x ");
  // The same epoch: each has its turns.
  std::set<std::string> seen;
  for (int i = 0; i < 200 && seen.size() < 2; ++i) {
    EXPECT_TRUE(trial.Take("liar", Keys({{6, 'x'}})) || i > 0);
    for (const auto& key : trial.With(held))
      if (key.epoch() == 6) seen.insert(key.key());
  }
  EXPECT_EQ(seen.size(), 2u);
  // Never more than a network takes.
  for (const char* node : {"b", "c", "d", "e", "f"})
    trial.Take(node, Keys({{7000u + *node, 'z'}, {8000u + *node, 'z'}}));
  google::protobuf::RepeatedPtrField<pairing::v1::NetworkKey> many;
  for (uint32_t i = 1; i <= 12; ++i) {
    auto* key = many.Add();
    key->set_epoch(i);
    key->set_key(std::string(32, 'k'));
  }
  EXPECT_EQ(trial.With(many).size(), dht::kMaxNetworkKeys);
}

TEST(Ticket, IsReadAsPeopleCopyIt) {
  pairing::v1::ClaimTicket ticket;
  ticket.set_secret(std::string(16, 's'));
  ticket.set_fleet_id(std::string(32, 'f'));
  ticket.set_bootstrap_key(std::string(32, 'b'));
  ticket.add_endpoints("127.0.0.1:4000");
  const std::string text = "SHOAL1-" + Base32Encode(ticket.SerializeAsString());
  ASSERT_OK_AND_ASSIGN(auto read, ParseTicket("  " + text + "\n"));
  EXPECT_EQ(read.secret(), ticket.secret());
  EXPECT_THAT(ParseTicket("SHOAL2-AAAA"), FailsBecause("bad_ticket"));
  EXPECT_THAT(ParseTicket("SHOAL1-0189"), FailsBecause("bad_ticket"));
  EXPECT_THAT(ParseTicket(text.substr(0, text.size() / 2)),
              FailsBecause("bad_ticket"));
  EXPECT_THAT(ParseTicket(""), FailsBecause("bad_ticket"));
}

TEST(Resolver, T52_RevokedOperatorAndStrangerAreNobody) {
  auto holder = std::make_shared<TrustHolder>();
  const dht::WriterResolver resolve = MakeResolver(holder);
  dht::RecordBody body;
  body.set_kind(records::v1::RECORD_KIND_HALT);
  body.set_writer_key(std::string(32, 'o'));
  EXPECT_THAT(resolve(body, kNow), FailsBecause("no_trust"));
  TrustView view;
  view.trust.director_keys = {std::string(32, 'd')};
  auto* op = view.policy.add_operators();
  op->set_name("alice");
  op->set_public_key(HexEncode(std::string(32, 'o')));
  holder->Set(view);
  ASSERT_OK_AND_ASSIGN(dht::Writer writer, resolve(body, kNow));
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_OPERATOR);
  view.trust.revoked_operator_keys = {std::string(32, 'o')};
  holder->Set(view);
  EXPECT_THAT(resolve(body, kNow), FailsBecause("revoked"));
  body.set_writer_key(std::string(32, 'x'));
  EXPECT_THAT(resolve(body, kNow), FailsBecause("unknown_writer"));
  body.set_writer_key(std::string(32, 'd'));
  ASSERT_OK_AND_ASSIGN(writer, resolve(body, kNow));
  EXPECT_EQ(writer.kind, records::v1::WRITER_CLASS_DIRECTOR);
}

}  // namespace
}  // namespace shoal::agent
