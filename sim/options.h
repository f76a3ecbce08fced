// What a run of shoal-sim is given. docs/scale.md explains the model.
#ifndef SHOAL_SIM_OPTIONS_H_
#define SHOAL_SIM_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::sim {

// A share of all devices that have a link of this speed.
struct LinkClass {
  double share = 1;             // of the sum of all shares
  double bytes_per_second = 0;  // above 0
};

// "1mbit:3,100kbit:1" or "2MB": SPEED[:SHARE], comma separated; a speed is a
// number with bit, kbit, mbit, gbit or B, kB, MB, GB (per second). "bad_links".
absl::StatusOr<std::vector<LinkClass>> ParseLinks(std::string_view text);
// "64M": bytes, with k, M or G of 1,024. "bad_size".
absl::StatusOr<uint64_t> ParseSize(std::string_view text);
// "1,10,50,100": percent of the fleet up to each phase, growing, the last one
// 100; at most 32. "bad_phases".
absl::StatusOr<std::vector<double>> ParsePhases(std::string_view text);

struct SimOptions {
  // The fleet.
  uint32_t devices = 1000;
  int nodes = 3;
  uint32_t devices_per_socket = 250;  // that share one DHT client
  int threads = 48;                   // that drive the devices
  int pairing_at_once = 48;
  uint64_t seed = 1;  // of everything that is random

  // The devices.
  double failing = 0.02;  // share whose new image does not do
  double offline = 0;     // share that is away when the rollout begins
  absl::Duration offline_for = absl::Minutes(1);  // at most
  absl::Duration reboot_time = absl::Seconds(5);
  std::vector<LinkClass> links = {{1, 1.25e6}};
  uint64_t image_bytes = 32u << 20;  // that a download is taken to have
  uint64_t delta_bytes = 1u << 20;

  // The rollout.
  std::vector<double> phases = {1, 10, 50, 100};
  double gate_success = 80;     // percent
  double gate_sample = 60;      // percent of a phase that must have answered
  double error_threshold = 25;  // percent
  uint32_t attempts = 1;
  absl::Duration time_limit = absl::Minutes(60);

  // This machine.
  std::string programs;   // where shoald and the others are
  std::string directory;  // of the plane and the nodes: a real disk
  std::string flash;      // of the devices: memory is best
  std::string json_out;   // empty: none
  std::string plot_out;   // a prefix; empty: none
  bool quiet = false;     // no live progress
  bool keep = false;      // the directories
};

// "bad_options" with what is wrong.
absl::Status Validate(const SimOptions& options);

// The policy document of the rollout for `shoal rollout create -f`.
std::string RolloutYaml(const SimOptions& options, const std::string& release,
                        const std::string& id);

// Uniform in [0, 1), always the same for the same arguments: what a device is
// like does not depend on when it is asked.
double Chance(uint64_t seed, uint64_t device, std::string_view what);
// The link of a device.
double LinkOf(const SimOptions& options, uint64_t device);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_OPTIONS_H_
