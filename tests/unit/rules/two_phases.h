// A rollout of two phases, and devices of both.
#ifndef SHOAL_TESTS_UNIT_RULES_TWO_PHASES_H_
#define SHOAL_TESTS_UNIT_RULES_TWO_PHASES_H_

#include <string>

#include "absl/time/time.h"
#include "rules/rollout.h"

namespace shoal::rules {

inline const absl::Time kStart = absl::FromUnixSeconds(1800000000);

// A canary by label, then everybody; the gate between is `soak` of time.
inline rollout::v1::RolloutDocument TwoPhases(
    absl::Duration soak = absl::Seconds(10)) {
  rollout::v1::RolloutDocument document;
  document.set_id("r1");
  document.set_version(1);
  document.set_fleet(std::string(32, 'f'));
  document.set_device_type("gateway");
  auto* release = document.mutable_release();
  release->set_version("2.0");
  release->set_image_target("fw/gateway/2.0/image");
  release->set_sha256(std::string(32, 's'));
  release->set_length(1000);
  document.mutable_selector()->set_all(true);
  auto* canary = document.add_phases();
  canary->set_name("canary");
  (*canary->mutable_labels())["ring"] = "canary";
  canary->set_expected_devices(1);
  canary->mutable_gate()->set_soak_ms(absl::ToInt64Milliseconds(soak));
  auto* all = document.add_phases();
  all->set_name("all");
  all->set_threshold(uint64_t{1} << 32);
  all->set_expected_devices(4);
  document.set_opened_at(absl::ToUnixMillis(kStart));
  document.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  document.set_expires(absl::ToUnixSeconds(kStart + absl::Hours(24)));
  document.set_unattended(true);
  document.set_error_threshold_permille(200);
  return document;
}

inline StartInput Device(bool canary, absl::Time now = kStart) {
  StartInput input;
  input.device.id = std::string(16, canary ? 'c' : 'd');
  input.device.device_type = "gateway";
  if (canary) input.device.labels["ring"] = "canary";
  input.fleet_id = std::string(32, 'f');
  input.now = now;
  return input;
}

}  // namespace shoal::rules

#endif  // SHOAL_TESTS_UNIT_RULES_TWO_PHASES_H_
