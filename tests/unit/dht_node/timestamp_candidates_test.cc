#include "dht/node/timestamp_candidates.h"

#include <gmock/gmock.h>

namespace shoal::dht::node {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Signed by a key in force when it says so.
bool Signed(std::string_view timestamp) { return timestamp.starts_with("ok"); }

TEST(TimestampCandidates, TheNewestThatSeemsSignedComesFirst) {
  TimestampCandidates waiting;
  EXPECT_TRUE(waiting.Add(3, "ok 3", "director", Signed));
  EXPECT_TRUE(waiting.Add(900, "junk", "director", Signed));
  EXPECT_TRUE(waiting.Add(4, "ok 4", "director", Signed));
  EXPECT_FALSE(waiting.Add(4, "ok 4", "director", Signed));
  EXPECT_THAT(waiting.InOrder(Signed), ElementsAre("ok 4", "ok 3", "junk"));
  EXPECT_THAT(waiting.OfVersion(900), ElementsAre("junk"));
  EXPECT_EQ(waiting.Failed("junk"), 1);
  EXPECT_EQ(waiting.Failed("junk"), 2);
  EXPECT_EQ(waiting.Failed("nobody's"), 0);
  // Whoever failed lets the others try.
  EXPECT_EQ(waiting.Failed("ok 4"), 1);
  EXPECT_THAT(waiting.InOrder(Signed), ElementsAre("ok 3", "ok 4", "junk"));
  waiting.DropUpTo(3);
  EXPECT_THAT(waiting.InOrder(Signed), ElementsAre("ok 4", "junk"));
  waiting.Drop("junk");
  waiting.Drop("ok 4");
  EXPECT_TRUE(waiting.empty());
}

TEST(TimestampCandidates, T05_T41_JunkUnderHighNumbersTakesNoHonestTurn) {
  for (const bool honest_first : {true, false}) {
    TimestampCandidates waiting;
    if (honest_first) {
      EXPECT_TRUE(waiting.Add(7, "ok 7", "director", Signed));
    }
    // By the very key that the honest one comes with, and by others.
    for (uint64_t i = 0; i < 5000; ++i)
      waiting.Add((uint64_t{1} << 60) + i, "junk " + std::to_string(i),
                  i % 2 == 0 ? "director" : "w" + std::to_string(i % 40),
                  Signed);
    if (!honest_first) {
      EXPECT_TRUE(waiting.Add(7, "ok 7", "director", Signed));
    }
    EXPECT_LE(waiting.size(), TimestampCandidates::kMaxWaiting);
    EXPECT_EQ(waiting.InOrder(Signed).front(), "ok 7");
  }
}

// A key that the fleet has lost signs on: what it signs seems good until the
// root that says so is here. The honest one waits beside it meanwhile.
TEST(TimestampCandidates, T08_T41_ALostKeysTimestampsLeaveTheNextOnesTurn) {
  bool root_known = false;
  const auto plausible = [&](std::string_view timestamp) {
    return timestamp.starts_with(root_known ? "new" : "old");
  };
  TimestampCandidates waiting;
  for (uint64_t i = 0; i < 100; ++i)
    waiting.Add(1000 + i, "old " + std::to_string(i), "director", plausible);
  EXPECT_TRUE(waiting.Add(8, "new 8", "director", plausible));
  EXPECT_NE(waiting.InOrder(plausible).front(), "new 8");
  root_known = true;
  EXPECT_EQ(waiting.InOrder(plausible).front(), "new 8");
  EXPECT_THAT(waiting.InOrder(plausible), Contains("old 99"));
  waiting.DropUpTo(2000);
  EXPECT_THAT(waiting.InOrder(plausible), IsEmpty());
}

}  // namespace
}  // namespace shoal::dht::node
