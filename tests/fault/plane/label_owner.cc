#include <gtest/gtest.h>

#include "common/bytes.h"
#include "common/status.h"
#include "fmt/format.h"
#include "tests/bench/load/load_outcomes.h"
#include "tests/fault/plane/owners.h"

namespace shoal::testing {
namespace {

constexpr char kGroup[] = "odd";

std::map<std::string, std::string> Labels(uint32_t number) {
  return {{"n", std::to_string(number)},
          {"parity", number % 2 == 1 ? "odd" : "even"}};
}

}  // namespace

std::string DeviceName(uint32_t number) {
  return "devices/" + HexEncode(bench::DeviceId(number));
}

std::vector<std::string> LabelOwner::Five(uint32_t five) const {
  std::vector<std::string> names;
  for (uint32_t i = 0; i < 5; ++i)
    names.push_back(DeviceName(first_ + 5 * five + i));
  return names;
}

absl::Status LabelOwner::Work(cli::PlaneClient& plane) {
  if (!group_made_) {
    fleet::v1::CreateGroupRequest request;
    request.set_group_id(kGroup);
    request.set_request_id("odd");
    request.mutable_group()->set_filter("labels.parity = odd");
    SHOAL_RETURN_IF_ERROR(plane.CreateGroup(request).status());
    group_made_ = true;
    Acknowledged();
    return absl::OkStatus();
  }
  const uint32_t five = Below(kFives);
  const uint32_t number = ++next_;
  fleet::v1::BatchUpdateDeviceLabelsRequest request;
  for (const std::string& name : Five(five)) request.add_names(name);
  for (const auto& [key, value] : Labels(number))
    (*request.mutable_labels())[key] = value;
  open_ = {five, number};
  SHOAL_RETURN_IF_ERROR(plane.BatchUpdateDeviceLabels(request).status());
  numbers_[five] = number;
  open_.reset();
  Acknowledged();
  return absl::OkStatus();
}

void LabelOwner::Check(cli::PlaneClient& plane) {
  std::set<std::string> odd;
  for (uint32_t five = 0; five < kFives; ++five) {
    std::set<std::string> seen;
    for (const std::string& name : Five(five)) {
      fleet::v1::GetDeviceRequest request;
      request.set_name(name);
      const auto device = plane.GetDevice(request);
      ASSERT_TRUE(device.ok()) << device.status();
      const auto label = device->labels().find("n");
      seen.insert(label == device->labels().end() ? "0" : label->second);
      if (device->labels().contains("parity") &&
          device->labels().at("parity") == "odd")
        odd.insert(name);
    }
    ASSERT_EQ(seen.size(), 1u) << "five devices, changed by half";
    if (open_ && open_->first == five &&
        *seen.begin() == std::to_string(open_->second))
      numbers_[five] = open_->second;
    EXPECT_EQ(*seen.begin(), std::to_string(numbers_[five]))
        << "an acknowledged label is lost";
  }
  open_.reset();
  if (!group_made_) return;
  fleet::v1::GetGroupRequest get;
  get.set_name(std::string("groups/") + kGroup);
  const auto group = plane.GetGroup(get);
  ASSERT_TRUE(group.ok()) << group.status();
  if (group->reconciling()) return;
  fleet::v1::ListGroupMembersRequest list;
  list.set_parent(get.name());
  list.set_page_size(1000);
  const auto members = plane.ListGroupMembers(list);
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_EQ(std::set<std::string>(members->devices().begin(),
                                  members->devices().end()),
            odd)
      << "a device's labels and its groups are one change";
}

}  // namespace shoal::testing
