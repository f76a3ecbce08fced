// What the publisher tells the network, with a network that takes everything.
#include "server/publish/publisher.h"

#include <gmock/gmock.h>

#include <limits>
#include <mutex>
#include <utility>

#include "server/store/state.pb.h"
#include "shoal/records/v1/payloads.pb.h"
#include "tests/support/process_harness.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

class PublisherTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    StartAnother();
  }
  void TearDown() override {
    store_->Shutdown();
    publisher_->Stop();
  }
  // As a plane that starts over the same store does.
  void StartAnother() {
    publisher_ = std::make_unique<Publisher>(
        *store_, *writer_, *trust_, absl::Hours(1),
        [this](std::string record, dht::Network::PutCallback done) {
          if (const auto body = dht::BodyOf(record)) {
            std::lock_guard lock(mutex_);
            taken_.push_back(*body);
          }
          dht::PutResult result;
          result.receipts = result.wanted = 1;
          done(result);
        },
        [] { return 1; });
    ASSERT_OK(publisher_->PublishCurrent());
    publisher_->Start();
    ASSERT_OK(Settled());
  }
  absl::Status Settled() {
    return testing::WaitFor("everything to be published", [this] {
      const auto published =
          publisher_->Published(std::numeric_limits<uint64_t>::max());
      return published.ok() && *published &&
             Outbox(records::v1::RECORD_KIND_HEAD).empty();
    });
  }
  // What was put since the last call.
  std::vector<records::v1::Head> Heads() {
    std::lock_guard lock(mutex_);
    std::vector<records::v1::Head> heads;
    for (const dht::RecordBody& body : taken_) {
      if (body.kind() != records::v1::RECORD_KIND_HEAD) continue;
      // A plane over an older backup goes on above the renewals it lacks.
      EXPECT_GE(body.version(), trust_->View()->versions.at("timestamp"));
      EXPECT_TRUE(heads.emplace_back().ParseFromString(body.payload()));
    }
    taken_.clear();
    return heads;
  }
  void Renew(absl::Duration age) {
    const std::string before = Now();
    ASSERT_OK_AND_ASSIGN(
        const bool renewed,
        trust_->Renew(age, [this](Transaction& tx,
                                  const TrustRepository::Changed& changed,
                                  const TrustView& view) {
          return publisher_->AddPublication(tx, changed, view);
        }));
    ASSERT_TRUE(renewed);
    ASSERT_NE(Now(), before);
    ASSERT_OK(Settled());
  }
  std::string Now() { return trust_->View()->metadata.at("timestamp.json"); }

  std::mutex mutex_;
  std::vector<dht::RecordBody> taken_;
};

TEST_F(PublisherTest, T05_ARenewedTimestampIsAnnounced) {
  ASSERT_EQ(Heads().size(), trust_->View()->device_types.size());
  for (int hour = 0; hour < 3; ++hour) {
    clock_.Advance(absl::Minutes(61));
    ASSERT_NO_FATAL_FAILURE(Renew(absl::Hours(1)));
    const auto heads = Heads();
    EXPECT_EQ(heads.size(), trust_->View()->device_types.size());
    for (const records::v1::Head& head : heads) {
      EXPECT_EQ(head.timestamp(), Now());
      EXPECT_EQ(head.snapshot_version(),
                trust_->View()->versions.at("snapshot"));
      EXPECT_TRUE(head.changed_roles().empty());
    }
  }
}

// A log that grows makes a timestamp each minute; a fleet need not hear of each
// one, but of one in an hour.
TEST_F(PublisherTest, T05_TimestampsThatComeOftenAreAnnouncedByTheHour) {
  Heads();
  size_t announced = 0;
  for (int i = 0; i < 19; ++i) {
    clock_.Advance(absl::Minutes(8));
    ASSERT_NO_FATAL_FAILURE(Renew(absl::ZeroDuration()));
    announced += Heads().size();
  }
  EXPECT_EQ(announced, 2 * trust_->View()->device_types.size());
}

// Open() signs a new timestamp when the one in the store is past half its
// life: devices have to hear of that one too, and of nothing otherwise.
TEST_F(PublisherTest, T05_AStartAnnouncesWhatItRenewed) {
  store_->Shutdown();
  publisher_->Stop();
  for (const bool renewed : {false, true}) {
    if (renewed) clock_.Advance(absl::Hours(24 * 4));
    ASSERT_OK_AND_ASSIGN(trust_, TrustRepository::Open(*store_, *keys_, clock_,
                                                       absl::Hours(24 * 7)));
    Publisher next(
        *store_, *writer_, *trust_, absl::Hours(1),
        [](const std::string&, const dht::Network::PutCallback&) {},
        [] { return 1; });
    ASSERT_OK(next.PublishCurrent());
    ASSERT_OK_AND_ASSIGN(const auto head,
                         store_->Get<store::HeadRow>(kMeta, "head"));
    EXPECT_EQ(head.pending(), renewed);
  }
}

}  // namespace
}  // namespace shoal::server
