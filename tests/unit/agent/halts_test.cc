#include "agent/engine/halts.h"

#include <gmock/gmock.h>

#include "common/bytes.h"

namespace shoal::agent {
namespace {

bool Everybody(const std::string&) { return true; }
bool Nobody(const std::string&) { return false; }

std::string Digest(size_t number) {
  std::string digest(32, '\0');
  for (size_t i = 0; i < 8; ++i)
    digest[i] = static_cast<char>(number >> (8 * i));
  return digest;
}

rollout::v1::RolloutDocument Rollout(const std::string& id) {
  rollout::v1::RolloutDocument document;
  document.set_id(id);
  return document;
}

class HaltsTest : public ::testing::Test {
 protected:
  void Halt(const std::string& rollout, const std::string& key,
            const IsOperator& is_operator = Everybody) {
    RememberHalt(HexEncode(Digest(++halts_)),
                 {.rollout_id = rollout,
                  .counter = halts_,
                  .reason = "smoke",
                  .operator_key = key},
                 is_operator, state_);
  }
  bool Halted(const std::string& rollout, const IsOperator& is = Everybody) {
    return IsHalted(state_, Rollout(rollout), is);
  }

  StateData state_;
  size_t halts_ = 0;
};

TEST_F(HaltsTest, T28_TwoDocumentsWithOneVersionAreAsGoodAsHalted) {
  EXPECT_FALSE(Halted("r1"));
  state_.rollouts["r1"].conflict = true;
  EXPECT_TRUE(Halted("r1"));
  EXPECT_FALSE(Halted("r2"));
}

TEST_F(HaltsTest, T28_OnlyAVersionThatNamesTheHaltLiftsIt) {
  Halt("r1", "ann");
  EXPECT_FALSE(Halted("r2"));
  auto document = Rollout("r1");
  EXPECT_TRUE(IsHalted(state_, document, Everybody));
  document.add_lifted_halts(Digest(halts_ + 1));
  EXPECT_TRUE(IsHalted(state_, document, Everybody));
  document.add_lifted_halts(Digest(halts_));
  EXPECT_FALSE(IsHalted(state_, document, Everybody));
  // Who leaves the fleet leaves what was halted halted.
  EXPECT_TRUE(Halted("r1", Nobody));
}

// An operator's key is stolen.
TEST_F(HaltsTest, T28_T43_AFloodFillsNoStateAndLosesNoHalt) {
  Halt("honest-1", "ann");
  Halt("honest-2", "eve");  // before her key was stolen
  for (int i = 0; i < 20'000; ++i) Halt("flood-" + std::to_string(i), "eve");
  Halt("honest-3", "ann");
  EXPECT_LE(state_.halts.size(), kMaxHalts);
  EXPECT_LT(EncodeState(state_).size(), 1u << 20);
  EXPECT_THAT(state_.halts_all, ::testing::ElementsAre("eve"));
  // Nothing that she halted, and may have halted for good reason, starts.
  for (const char* rollout : {"honest-1", "honest-2", "honest-3", "flood-0",
                              "flood-19999", "never heard of"})
    EXPECT_TRUE(Halted(rollout)) << rollout;
  const auto read = DecodeState(EncodeState(state_));
  ASSERT_TRUE(read.ok());
  EXPECT_TRUE(IsHalted(*read, Rollout("never heard of"), Everybody));
  // The way back is to revoke her key; what is remembered by name stays.
  const auto without_eve = [](const std::string& key) { return key != "eve"; };
  for (const char* rollout : {"honest-1", "honest-2", "honest-3", "flood-0"})
    EXPECT_TRUE(Halted(rollout, without_eve)) << rollout;
  EXPECT_FALSE(Halted("never heard of", without_eve));
}

TEST_F(HaltsTest, T28_OneRolloutHaltedWithoutEndIsOverForGood) {
  for (int i = 0; i < 1000; ++i) Halt("r1", "eve");
  EXPECT_EQ(state_.halts.size(), kMaxHaltsOfRollout);
  EXPECT_THAT(state_.halts_all, ::testing::IsEmpty());
  // As many as one document can lift.
  auto document = Rollout("r1");
  for (size_t i = 1; i < kMaxHaltsOfRollout; ++i)
    document.add_lifted_halts(Digest(i));
  EXPECT_TRUE(IsHalted(state_, document, Everybody));
  EXPECT_FALSE(Halted("r2"));
}

// What can't be read back after a restart would cost the device its state.
TEST_F(HaltsTest, T28_T43_TheLongestHaltsOfManyOperatorsCanBeReadBack) {
  const std::string reason(16'000, '\x01');
  for (size_t i = 0; i < 2 * kMaxHalts; ++i)
    RememberHalt(HexEncode(Digest(i)),
                 {.rollout_id = std::string(64, 'r') + std::to_string(i),
                  .counter = ~uint64_t{0},
                  .reason = reason,
                  .operator_key = std::string(60, 'k') + std::to_string(i % 9)},
                 Everybody, state_);
  EXPECT_EQ(state_.halts.size(), kMaxHalts);
  EXPECT_LT(EncodeState(state_).size(), 3u << 20);
  EXPECT_FALSE(state_.halts_all.empty());
}

TEST_F(HaltsTest, RolloutsThatAreFinishedHereMakeRoom) {
  for (size_t i = 0; i < 3 * kMaxHaltsOfOperator; ++i) {
    const std::string rollout = "r" + std::to_string(i);
    Halt(rollout, "ann");
    state_.rollouts[rollout].finished = true;
  }
  Halt("open", "ann");
  EXPECT_THAT(state_.halts_all, ::testing::IsEmpty());
  EXPECT_TRUE(Halted("open"));
  EXPECT_FALSE(Halted("another"));
}

}  // namespace
}  // namespace shoal::agent
