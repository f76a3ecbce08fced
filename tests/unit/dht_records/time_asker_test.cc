// Time from storage nodes: who answers, what counts as an answer (T26).
#include "dht/records/time_asker.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/fake_clock.h"
#include "tests/unit/dht_records/network_fixture.h"

namespace shoal::dht {
namespace {

using testing::NetworkTest;
using testing::TestNode;

// The asker alone, with the test as its network.
class TimeAskerTest : public ::testing::Test {
 protected:
  TimeAskerTest() {
    TimeAsker::Options options;
    options.fleet_id = fleet_id_;
    options.monotonic = [this] { return now_; };
    options.send = [this](const Address&, const records::v1::Datagram& sent) {
      nonces_.push_back(sent.time_request().nonce());
    };
    options.at = [this](absl::Duration, std::function<void()> task) {
      later_.push_back(std::move(task));
    };
    asker_ = std::make_unique<TimeAsker>(std::move(options));
  }
  void Ask(size_t nodes) {
    std::vector<Address> addresses;
    for (size_t i = 0; i < nodes; ++i)
      addresses.push_back(
          *Address::Parse("127.0.0.1:" + std::to_string(9 + i)));
    asker_->Start(addresses, {key_.public_key(), other_.public_key()},
                  absl::Seconds(3), [this](std::vector<TimeSample> samples) {
                    done_ = true;
                    samples_ = std::move(samples);
                  });
  }

  const std::string fleet_id_ = std::string(32, 'f');
  const crypto::SigningKey key_ = crypto::SigningKey::Generate();
  const crypto::SigningKey other_ = crypto::SigningKey::Generate();
  const absl::Time time_ = absl::FromUnixSeconds(1'800'000'000);
  absl::Duration now_ = absl::Seconds(100);
  std::vector<std::string> nonces_;
  std::vector<std::function<void()>> later_;
  std::unique_ptr<TimeAsker> asker_;
  bool done_ = false;
  std::vector<TimeSample> samples_;
};

TEST_F(TimeAskerTest, HalfOfTheRoundTripIsAdded) {
  Ask(2);
  ASSERT_EQ(nonces_.size(), 2u);
  now_ += absl::Milliseconds(400);
  asker_->OnAnswer(MakeTimeAnswer(key_, fleet_id_, nonces_[0], time_));
  EXPECT_FALSE(done_);
  asker_->OnAnswer(MakeTimeAnswer(other_, fleet_id_, nonces_[1], time_));
  ASSERT_TRUE(done_);
  ASSERT_EQ(samples_.size(), 2u);
  EXPECT_EQ(samples_[0].time, time_ + absl::Milliseconds(200));
  EXPECT_EQ(samples_[0].taken, now_);
  EXPECT_EQ(samples_[0].key, key_.public_key());
}

TEST_F(TimeAskerTest, T26_OnlyATimeKeysAnswerToOurNonceCounts) {
  Ask(4);
  ASSERT_EQ(nonces_.size(), 4u);
  const auto stranger = crypto::SigningKey::Generate();
  // Of a key that no targets.json names; of another fleet; replayed from
  // another question; changed.
  asker_->OnAnswer(MakeTimeAnswer(stranger, fleet_id_, nonces_[0], time_));
  asker_->OnAnswer(
      MakeTimeAnswer(key_, std::string(32, 'g'), nonces_[0], time_));
  asker_->OnAnswer(
      MakeTimeAnswer(key_, fleet_id_, std::string(kTimeNonceSize, 'n'), time_));
  auto forged = MakeTimeAnswer(stranger, fleet_id_, nonces_[0], time_);
  forged.set_key(key_.public_key());
  asker_->OnAnswer(forged);
  auto changed = MakeTimeAnswer(key_, fleet_id_, nonces_[0], time_);
  records::v1::TimeAnswerBody body;
  ASSERT_TRUE(body.ParseFromString(changed.body()));
  body.set_time_ms(body.time_ms() + 1);
  body.SerializeToString(changed.mutable_body());
  asker_->OnAnswer(changed);
  // A key speaks once, a nonce is answered once.
  asker_->OnAnswer(MakeTimeAnswer(key_, fleet_id_, nonces_[0], time_));
  asker_->OnAnswer(MakeTimeAnswer(key_, fleet_id_, nonces_[1],
                                  time_ + absl::Hours(24 * 3650)));
  asker_->OnAnswer(MakeTimeAnswer(other_, fleet_id_, nonces_[0], time_));
  EXPECT_FALSE(done_);
  now_ += absl::Seconds(3);
  for (const auto& task : std::exchange(later_, {})) task();
  ASSERT_TRUE(done_);
  ASSERT_EQ(samples_.size(), 1u);
  EXPECT_EQ(samples_[0].key, key_.public_key());
  EXPECT_LT(samples_[0].time, time_ + absl::Seconds(1));
}

TEST_F(TimeAskerTest, WithoutNodesOrKeysThereIsNothingToWaitFor) {
  Ask(0);
  EXPECT_TRUE(done_);
  EXPECT_TRUE(samples_.empty());
}

TEST_F(TimeAskerTest, ALostQuestionIsAskedAgain) {
  Ask(1);
  now_ += absl::Milliseconds(500);
  for (const auto& task : std::exchange(later_, {})) task();
  ASSERT_EQ(nonces_.size(), 2u);
  EXPECT_NE(nonces_[0], nonces_[1]);
  asker_->OnAnswer(MakeTimeAnswer(key_, fleet_id_, nonces_[1], time_));
  ASSERT_TRUE(done_);
  EXPECT_EQ(samples_[0].round_trip, absl::ZeroDuration());
}

TEST_F(NetworkTest, T26_NodesWithTimeKeysTellAClientTheTime) {
  shoal::testing::FakeClock lying(absl::FromUnixSeconds(4'000'000'000));
  std::vector<std::unique_ptr<TestNode>> nodes;
  std::vector<std::string> keys;
  for (int i = 0; i < 4; ++i) {
    nodes.push_back(std::make_unique<TestNode>(fleet_, i));
    TestNode& node = *nodes.back();
    if (i < 3) {  // the fourth was made without a key
      node.time_key = crypto::SigningKey::Generate();
      keys.push_back(node.time_key->public_key());
    }
    if (i == 2) node.clock = &lying;
    ASSERT_OK(node.Open());
    auto* entry = fleet_.directory.add_nodes();
    entry->set_id(node.member().id);
    entry->set_public_key(node.member().key.public_key());
    entry->set_dht_address(node.address());
  }
  auto client = Client();
  std::promise<std::vector<TimeSample>> promise;
  client->AskTime(keys, absl::Seconds(20),
                  [&](std::vector<TimeSample> samples) {
                    promise.set_value(std::move(samples));
                  });
  const std::vector<TimeSample> samples = promise.get_future().get();
  ASSERT_EQ(samples.size(), 3u);
  int right = 0;
  for (const TimeSample& sample : samples)
    right += absl::AbsDuration(sample.time - absl::Now()) < absl::Minutes(5);
  EXPECT_EQ(right, 2);  // what to make of the third is not the network's
}

}  // namespace
}  // namespace shoal::dht
