#include "sim/stall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shoal::sim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class StallTest : public ::testing::Test {
 protected:
  StallTest() {
    auto& document = facts_.document;
    document.set_id("sim");
    document.set_version(3);
    document.set_device_type("sim");
    document.mutable_selector()->set_all(true);
    document.set_open_phase(0);
    document.add_phases()->set_threshold(uint64_t{1} << 31);
    document.add_phases()->set_threshold(uint64_t{1} << 32);
    for (int i = 0; i < 40; ++i) {
      Knowledge device;
      device.device_id = std::string(15, 'd') + static_cast<char>(i);
      device.rollout_version = 3;
      device.metadata_version = 9;
      device.looked_at = absl::Seconds(i);
      if (PhaseOf(facts_, device.device_id) == 0) first_phase_.push_back(i);
      devices_.push_back(std::move(device));
    }
  }
  Knowledge& Due(size_t i) { return devices_[first_phase_.at(i)]; }

  RolloutFacts facts_;
  std::vector<Knowledge> devices_;
  std::vector<size_t> first_phase_;
};

TEST_F(StallTest, OnlyWhoseTurnItIs) {
  EXPECT_THAT(WhoseTurnItIs(devices_, facts_), SizeIs(first_phase_.size()));
  Due(0).done = true;
  Due(1).away = true;
  Due(2).device_id.clear();
  EXPECT_THAT(WhoseTurnItIs(devices_, facts_), SizeIs(first_phase_.size() - 3));
  facts_.document.set_open_phase(1);
  EXPECT_THAT(WhoseTurnItIs(devices_, facts_), SizeIs(devices_.size() - 3));
}

TEST_F(StallTest, DevicesThatKnowTheSameAreOneLine) {
  for (Knowledge& device : devices_) device.done = true;
  for (const size_t i : {0, 1, 2}) Due(i).done = false;
  for (const size_t i : {0, 1}) {
    Due(i).rollout_version = 2;
    Due(i).metadata_version = 8;
    Due(i).waiting = "phase_closed";
    Due(i).socket = 4 + i;
    Due(i).looked_at = absl::Seconds(i == 0 ? 70 : 95);
  }
  Due(2).metadata_trouble = "no_source";
  EXPECT_THAT(
      ExplainStall(devices_, facts_, absl::Seconds(100)),
      ElementsAre(
          AllOf(HasSubstr("phase 1 is open by version 3"),
                HasSubstr("3 devices whose turn it is")),
          AllOf(HasSubstr("2 hold version 2 of 3"), HasSubstr("8 of 9"),
                HasSubstr("5 to 30 s ago"), HasSubstr("'phase_closed'"),
                HasSubstr("sockets 4, 5")),
          AllOf(HasSubstr("1 hold version 3 of 3"), HasSubstr("'no_source'"))));
}

TEST_F(StallTest, ManyKindsAreCut) {
  facts_.document.set_open_phase(1);
  for (size_t i = 0; i < devices_.size(); ++i)
    devices_[i].rollout_version = i + 1;
  const auto lines = ExplainStall(devices_, facts_, absl::Seconds(100));
  ASSERT_THAT(lines, SizeIs(12));
  EXPECT_THAT(lines.back(), HasSubstr("30 kinds more"));
}

}  // namespace
}  // namespace shoal::sim
