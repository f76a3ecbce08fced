// One run: a fleet is set up, its devices come in, take a rollout, and are
// compared with what the plane says of them.
#ifndef SHOAL_SIM_SIMULATION_H_
#define SHOAL_SIM_SIMULATION_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sim/device.h"
#include "sim/fleet.h"
#include "sim/meter.h"
#include "sim/options.h"
#include "sim/plot.h"
#include "sim/scheduler.h"
#include "sim/stall.h"

namespace shoal::sim {

// The fleet at a moment; seconds since the rollout was created.
struct Sample {
  double seconds = 0;
  std::array<uint32_t, kDeviceStates> states{};  // not yet updated ones
  uint32_t updated = 0;                          // truly
  uint32_t failed = 0;                           // truly
  uint32_t counted = 0;         // successes, as the plane counts
  uint32_t counted_failed = 0;  // failures, the same
  int open_phase = -1;          // -1: not published yet
  uint32_t late = 0;            // devices that wait for this machine
  double plane_cpu = 0;         // seconds of shoald so far
  uint64_t plane_resident = 0;
};

// What a stretch of the run cost.
struct Costs {
  double seconds = 0;
  Usage plane;
  std::vector<Usage> nodes;
  Usage simulator;
  uint64_t device_udp_in = 0;  // of all sockets
  uint64_t device_udp_out = 0;
};

struct Report {
  SimOptions options;
  Costs pairing;
  Costs idle;
  Costs rollout;
  std::vector<Sample> samples;
  int restarted_pairings = 0;
  std::vector<Mark> phase_marks;
  size_t sockets = 0;
  uint32_t updated = 0;
  uint32_t failed = 0;
  uint32_t by_delta = 0;
  std::string state;
  // What the devices knew when nothing went on any more; empty: it did.
  std::vector<std::string> stall;
  std::vector<std::string> violations;
};

class Simulation {
 public:
  explicit Simulation(SimOptions options);
  ~Simulation();

  // Until the end, or until `stop`. An error: the run could not be carried
  // through; violations of an ended run stand in the report.
  absl::StatusOr<Report> Run(const std::atomic<bool>& stop);

 private:
  struct Readings;
  absl::Status SetUp();
  absl::Status Manufacture();
  absl::Status PairAll(const std::atomic<bool>& stop);
  absl::Status Idle(const std::atomic<bool>& stop);
  absl::Status RollOut(const std::atomic<bool>& stop);
  std::vector<Knowledge> Known() const;  // of all devices
  bool Stalled(absl::Duration quiet, const std::vector<Knowledge>& before);
  void SayStall(absl::Duration quiet);
  absl::Status Judge();
  Readings Read();
  Costs CostsSince(const Readings& before);
  Sample Look();
  absl::Status StillRuns(const std::atomic<bool>& stop);
  void Say(const std::string& line, bool last);
  std::string Progress(const Sample& sample) const;

  const SimOptions options_;
  Fleet fleet_;
  World world_;
  std::unique_ptr<agent::LazyFetch> fetch_;
  std::unique_ptr<Artifacts> artifacts_;
  std::unique_ptr<Sockets> sockets_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  std::unique_ptr<Scheduler> scheduler_;
  absl::Duration rollout_began_;
  absl::Time rollout_wall_;
  absl::Duration last_said_;
  Report report_;
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_SIMULATION_H_
