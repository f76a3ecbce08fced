#include "server/fleet/device_index.h"

#include <random>
#include <set>

#include "tests/unit/server_fleet/fleet_fixture.h"

namespace shoal::server {
namespace {

using testing::FailsBecause;

class DeviceIndexTest : public FleetTest {
 protected:
  // A device as random as the filters below.
  store::DeviceRow Random(uint32_t number) {
    store::DeviceRow row = NewRow(number);
    fleet::v1::Device& device = *row.mutable_device();
    const auto pick = [&](int n) { return static_cast<int>(random_() % n); };
    if (pick(4) == 0) {
      device.set_state(fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
    }
    if (pick(3) != 0) {
      (*device.mutable_labels())["site"] = "s" + std::to_string(pick(5));
    }
    if (pick(2) == 0) {
      (*device.mutable_labels())["ring"] = std::string(1, '\0') + "x";
    }
    (*device.mutable_inventory())["memory_mb"] = std::to_string(256 << pick(6));
    device.set_running_version("1." + std::to_string(pick(12)) + ".0");
    if (pick(5) != 0) {
      device.set_last_seen_at(absl::ToUnixMillis(
          clock_.WallNow() - absl::Minutes(pick(60 * 24 * 3))));
    }
    return row;
  }
  std::string RandomFilter(int depth) {
    static const char* const kConditions[] = {"state = accepted",
                                              "NOT state = accepted",
                                              "labels.site = s1",
                                              "labels.site != s1",
                                              "labels.site:s*",
                                              "labels:ring",
                                              "labels.none:*",
                                              "labels.site > s2",
                                              "inventory.memory_mb >= 1024",
                                              "inventory.memory_mb < 512",
                                              "running_version < 1.10.0",
                                              "running_version:1.1*",
                                              "last_seen > -20h",
                                              "last_seen <= -20h",
                                              "last_seen < -1h",
                                              "last_seen:*",
                                              "name:0000*",
                                              "name:*5"};
    const auto size = std::size(kConditions);
    if (depth == 0 || random_() % 3 == 0) return kConditions[random_() % size];
    const std::string a = RandomFilter(depth - 1);
    const std::string b = RandomFilter(depth - 1);
    switch (random_() % 3) {
      case 0:
        return "(" + a + ") AND (" + b + ")";
      case 1:
        return "(" + a + ") OR (" + b + ")";
      default:
        return "NOT (" + a + ")";
    }
  }
  std::mt19937 random_{11};
};

// The index and a look at every row answer alike, through changes.
TEST_F(DeviceIndexTest, AgreesWithEveryRow) {
  constexpr uint32_t kDevices_ = 300;
  std::map<uint32_t, store::DeviceRow> rows;
  for (int round = 0; round < 4; ++round) {
    {
      Transaction tx(*store_);
      for (uint32_t i = 1; i <= kDevices_; ++i) {
        if (round > 0 && random_() % 4 != 0) continue;
        rows[i] = Random(i);
        tx.Put(kDevices, Name(i).substr(8), rows[i]);
      }
      ASSERT_OK(tx.Commit());
    }
    clock_.Advance(absl::Minutes(random_() % 200));
    for (int i = 0; i < 150; ++i) {
      const std::string text = RandomFilter(3);
      ASSERT_OK_AND_ASSIGN(const FilterNode filter,
                           ParseFilter(text, clock_.WallNow()));
      std::set<std::string> expected;
      for (const auto& [number, row] : rows) {
        if (Matches(filter, FilterSubject(row))) expected.insert(Name(number));
      }
      const auto found = Found(text);
      ASSERT_EQ(std::set<std::string>(found.begin(), found.end()), expected)
          << text;
      ASSERT_TRUE(std::is_sorted(found.begin(), found.end()));
    }
  }
  // Gone from everywhere.
  {
    Transaction tx(*store_);
    for (const auto& [number, row] : rows) {
      tx.Delete(kDevices, Name(number).substr(8));
    }
    ASSERT_OK(tx.Commit());
  }
  // But for that they are gone, which watches are told.
  for (const auto table : {kDeviceTerms, kDeviceNumbers, kDeviceNames,
                           kDevicesSeen, kDeviceEvents}) {
    int left = 0;
    ASSERT_OK(
        store_->ScanRaw(table, "", "", [&](std::string_view, std::string_view) {
          ++left;
          return true;
        }));
    EXPECT_EQ(left, 0) << table;
  }
}

TEST_F(DeviceIndexTest, PagesGoOnWhereTheyEndedWhateverChangesBetween) {
  for (uint32_t i = 1; i <= 10; ++i) AddDevice(2 * i, {{"site", "north"}});
  fleet::v1::ListDevicesRequest request;
  request.set_filter("labels.site = north");
  request.set_page_size(4);
  ASSERT_OK_AND_ASSIGN(auto first, ListDevices(*store_, request));
  ASSERT_EQ(first.devices_size(), 4);
  EXPECT_EQ(first.total_size(), 10);
  EXPECT_EQ(first.devices(3).name(), Name(8));
  // One before the place comes, one behind it goes, the last shown one goes.
  AddDevice(1, {{"site", "north"}});
  AddDevice(9, {{"site", "north"}});
  store::DeviceRow row = RowOf(8);
  row.mutable_device()->mutable_labels()->clear();
  PutRow(row);
  request.set_page_token(first.next_page_token());
  ASSERT_OK_AND_ASSIGN(auto second, ListDevices(*store_, request));
  ASSERT_EQ(second.devices_size(), 4);
  EXPECT_EQ(second.devices(0).name(), Name(9));
  EXPECT_EQ(second.devices(1).name(), Name(10));
  request.set_page_token(second.next_page_token());
  ASSERT_OK_AND_ASSIGN(auto third, ListDevices(*store_, request));
  EXPECT_EQ(third.devices_size(), 3);
  EXPECT_TRUE(third.next_page_token().empty());
}

TEST_F(DeviceIndexTest, OrdersByTheLastReport) {
  // More than are sorted at once, so that both ways are taken.
  for (const uint32_t count : {50u, 2500u}) {
    Transaction tx(*store_);
    for (uint32_t i = 1; i <= count; ++i) {
      store::DeviceRow row = NewRow(i);
      row.mutable_device()->set_last_seen_at((i * 7919) % 1000 * 1000);
      tx.Put(kDevices, Name(i).substr(8), row);
    }
    ASSERT_OK(tx.Commit());
    for (const char* order : {"last_seen", "last_seen desc", "name"}) {
      fleet::v1::ListDevicesRequest request;
      request.set_order_by(order);
      request.set_page_size(37);
      std::vector<std::pair<int64_t, std::string>> seen;
      do {
        ASSERT_OK_AND_ASSIGN(auto page, ListDevices(*store_, request));
        EXPECT_EQ(page.total_size(), static_cast<int>(count));
        for (const auto& device : page.devices()) {
          seen.emplace_back(
              std::string(order) == "name" ? 0 : device.last_seen_at(),
              device.name());
        }
        request.set_page_token(page.next_page_token());
      } while (!request.page_token().empty());
      ASSERT_EQ(seen.size(), count) << order;
      if (std::string(order).ends_with("desc")) {
        std::reverse(seen.begin(), seen.end());
      }
      EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end())) << order;
    }
  }
}

TEST_F(DeviceIndexTest, RequestsBeyondTheirLimitsAreRefused) {
  AddDevice(1);
  AddDevice(2);
  const auto fails = [&](auto change) {
    fleet::v1::ListDevicesRequest request;
    change(request);
    return ListDevices(*store_, request).status();
  };
  EXPECT_THAT(fails([](auto& r) { r.set_page_size(-1); }),
              FailsBecause("bad_page_size"));
  EXPECT_THAT(fails([](auto& r) { r.set_page_token("zz"); }),
              FailsBecause("bad_page_token"));
  EXPECT_THAT(fails([](auto& r) { r.set_page_token(std::string(4096, 'a')); }),
              FailsBecause("bad_page_token"));
  EXPECT_THAT(fails([](auto& r) { r.set_filter(std::string(4097, ' ')); }),
              FailsBecause("bad_filter"));
  EXPECT_THAT(fails([](auto& r) { r.set_order_by("colour"); }),
              FailsBecause("bad_order_by"));
  EXPECT_THAT(fails([](auto& r) { r.set_device_type("a/b"); }),
              FailsBecause("bad_request"));
  EXPECT_THAT(fails([](auto& r) {
                for (int i = 0; i < 33; ++i) {
                  (*r.mutable_labels())["k" + std::to_string(i)] = "v";
                }
              }),
              FailsBecause("bad_label"));
  // A token belongs to its question.
  fleet::v1::ListDevicesRequest request;
  request.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(auto page, ListDevices(*store_, request));
  request.set_page_token(page.next_page_token());
  EXPECT_OK(ListDevices(*store_, request));
  request.set_filter("state = accepted");
  EXPECT_THAT(ListDevices(*store_, request), FailsBecause("bad_page_token"));
  request.set_page_size(5000);
  request.clear_page_token();
  EXPECT_EQ(ListDevices(*store_, request)->devices_size(), 2);
}

}  // namespace
}  // namespace shoal::server
