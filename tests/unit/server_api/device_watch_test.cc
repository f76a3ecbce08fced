#include "server/api/device_watch.h"

#include <thread>

#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

using testing::Fails;
using testing::FailsBecause;

class DeviceWatchTest : public FleetTest {
 protected:
  fleet::v1::WatchDevicesRequest Request(const std::string& filter,
                                         const std::string& token = "") {
    fleet::v1::WatchDevicesRequest request;
    request.set_filter(filter);
    request.set_resume_token(token);
    return request;
  }
  // What a watch sends until it has sent `count` devices; `between` runs after
  // each.
  std::vector<fleet::v1::Device> Watch(
      const fleet::v1::WatchDevicesRequest& request, size_t count,
      const std::function<void(size_t)>& between = [](size_t) {}) {
    std::vector<fleet::v1::Device> sent;
    auto watch = DeviceWatch::Start(*store_, request);
    EXPECT_OK(watch);
    if (!watch.ok() || count == 0) return sent;
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    EXPECT_OK(watch->Run([&] { return absl::Now() > deadline; },
                         [&](const fleet::v1::Device& device) {
                           sent.push_back(device);
                           between(sent.size());
                           return sent.size() < count;
                         }));
    EXPECT_EQ(sent.size(), count);
    return sent;
  }
  void Label(uint32_t number, const std::string& site) {
    ASSERT_OK(
        devices_->UpdateLabels(Name(number), {{"site", site}}, "", "ann"));
  }
};

TEST_F(DeviceWatchTest, SendsAllThenEachChange) {
  AddDevice(1);
  AddDevice(2);
  const auto sent = Watch(Request(""), 4, [&](size_t count) {
    if (count == 2) Label(1, "a");
    if (count == 3) AddDevice(3);
  });
  ASSERT_EQ(sent.size(), 4u);
  EXPECT_EQ(sent[0].name(), Name(1));
  EXPECT_EQ(sent[1].name(), Name(2));
  EXPECT_EQ(sent[2].labels().at("site"), "a");
  EXPECT_EQ(sent[3].name(), Name(3));
}

TEST_F(DeviceWatchTest, GoesOnWhereAnEarlierOneEnded) {
  for (uint32_t i = 1; i <= 3; ++i) AddDevice(i);
  const auto first = Watch(Request(""), 3);
  Label(2, "a");
  Label(2, "b");
  AddDevice(4);
  const auto second = Watch(Request("", first.back().resume_token()), 2);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].name(), Name(2));  // once, as it is now
  EXPECT_EQ(second[0].labels().at("site"), "b");
  EXPECT_EQ(second[1].name(), Name(4));
}

TEST_F(DeviceWatchTest, SaysWhenADeviceLeavesTheFilter) {
  AddDevice(1, {{"site", "a"}});
  AddDevice(2, {{"site", "b"}});
  const std::string filter = "labels.site = a";
  const auto sent = Watch(Request(filter), 3, [&](size_t count) {
    if (count == 1) Label(1, "b");
    if (count == 2) {
      Label(2, "c");  // never matched: nothing is said
      Label(2, "a");
    }
  });
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_FALSE(sent[0].left_filter());
  EXPECT_TRUE(sent[1].left_filter());
  EXPECT_EQ(sent[2].name(), Name(2));
  EXPECT_FALSE(sent[2].left_filter());
  // A resumed one can't know whom the earlier one sent: it says so of all.
  Label(1, "x");
  const auto resumed = Watch(Request(filter, sent[2].resume_token()), 1);
  EXPECT_TRUE(resumed[0].left_filter());
}

TEST_F(DeviceWatchTest, RefusesWhatItCantGoOnFrom) {
  AddDevice(1);
  const auto sent = Watch(Request(""), 1);
  const std::string token = sent[0].resume_token();
  EXPECT_THAT(DeviceWatch::Start(*store_, Request("state:*", token)),
              FailsBecause("bad_page_token"));
  EXPECT_THAT(DeviceWatch::Start(*store_, Request("", token + "00")),
              Fails(absl::StatusCode::kOutOfRange, "resume_token_expired"));
  EXPECT_THAT(DeviceWatch::Start(*store_, Request("", std::string(200, 'a'))),
              FailsBecause("bad_page_token"));
  // The store was set back behind the token.
  Label(1, "a");
  const auto later = Watch(Request("", token), 1);
  {
    Transaction tx(*store_);
    ASSERT_OK_AND_ASSIGN(const uint64_t last,
                         tx.CurrentSequence(kDeviceChanges));
    tx.PutRaw(kMeta, "sequence/device_change", SequenceKey(last - 1));
    ASSERT_OK(tx.Commit());
  }
  EXPECT_THAT(DeviceWatch::Start(*store_, Request("", later[0].resume_token())),
              Fails(absl::StatusCode::kOutOfRange, "resume_token_expired"));
  EXPECT_THAT(DeviceWatch::Start(*store_, Request("last_seen > -1h")),
              FailsBecause("bad_filter"));
}

// Requests that ran out or were rejected: their rows are deleted.
TEST_F(DeviceWatchTest, WhatIsDeletedIsToldAndNumbersStayGood) {
  AddDevice(1);
  AddDevice(2);
  ASSERT_OK_AND_ASSIGN(DeviceWatch watch,
                       DeviceWatch::Start(*store_, Request("")));
  std::string token, gone;
  const auto read = [&] {
    gone.clear();
    for (auto step = watch.Next(); step.ok() && step->more;
         step = watch.Next()) {
      if (!step->device) continue;
      token = step->device->resume_token();
      if (step->device->left_filter()) gone = step->device->name();
    }
  };
  Label(1, "a");  // at the last change
  read();
  ASSERT_NE(token, "");
  const std::string last = token;
  {
    Transaction tx(*store_);
    tx.Delete(kDevices, Name(1).substr(8));
    ASSERT_OK(tx.Commit());
  }
  EXPECT_OK(DeviceWatch::Start(*store_, Request("", last)));
  read();
  EXPECT_EQ(gone, Name(1));
  EXPECT_NE(token, last);
  // One that resumes from before hears of it too, one from after does not.
  ASSERT_OK_AND_ASSIGN(DeviceWatch again,
                       DeviceWatch::Start(*store_, Request("", last)));
  ASSERT_OK_AND_ASSIGN(const auto step, again.Next());
  ASSERT_TRUE(step.device);
  EXPECT_EQ(step.device->name(), Name(1));
  EXPECT_TRUE(step.device->left_filter());
  ASSERT_OK_AND_ASSIGN(DeviceWatch after,
                       DeviceWatch::Start(*store_, Request("", token)));
  ASSERT_OK_AND_ASSIGN(const auto nothing, after.Next());
  EXPECT_FALSE(nothing.device);
}

}  // namespace
}  // namespace shoal::server
