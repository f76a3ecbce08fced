// What the devices truly did, and whether the plane's account and the signed
// documents agree with it. Pure.
#ifndef SHOAL_SIM_TRUTH_H_
#define SHOAL_SIM_TRUTH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shoal/rollout/v1/document.pb.h"

namespace shoal::sim {

// One update of one device, from its own journal.
struct Attempt {
  uint64_t counter = 0;  // of its outcome
  bool success = false;
  uint32_t phase = 0;
  bool used_delta = false;
  int64_t started_ms = 0;
  int64_t finished_ms = 0;
  std::string reason;
};

struct Truth {
  std::string device_id;  // 16 bytes; empty: never paired
  std::vector<Attempt> attempts;
  std::string committed_sha256;  // of the bytes in the slot that boots
};

// What the plane says of one device.
struct PlaneOutcome {
  bool success = false;
  bool refused = false;
  uint32_t phase = 0;
  std::string running_sha256;
};

struct PlaneAccount {
  // By device id (16 bytes). `repeated`: a device stood there twice.
  std::map<std::string, PlaneOutcome> outcomes;
  int repeated = 0;
  struct Phase {
    uint32_t expected = 0;
    uint32_t succeeded = 0;
    uint32_t failed = 0;
  };
  std::vector<Phase> phases;
  std::string state;  // "ROLLOUT_STATE_FINISHED"
};

struct RolloutFacts {
  rollout::v1::RolloutDocument document;  // the newest version
  // When each phase was opened, as the signed versions say, milliseconds.
  std::map<uint32_t, int64_t> opened_ms;
  std::string new_sha256;  // of the image that was rolled out
};

// The phase in which the device (16 bytes) is by its position; -1: in none.
int PhaseOf(const RolloutFacts& facts, const std::string& id);

// Everything that does not hold, a sentence each; at most 100.
//  - the plane's success, failure and phase of a device are the device's own
//  - nobody is counted twice, and the counts of a phase are their sum
//  - a success runs the new image: the bytes in its flash
//  - no device began before its phase was opened
//  - no phase was opened before its gate's sample and share were there
//  - a failure is in the account
std::vector<std::string> Violations(const std::vector<Truth>& truths,
                                    const PlaneAccount& plane,
                                    const RolloutFacts& facts);

}  // namespace shoal::sim

#endif  // SHOAL_SIM_TRUTH_H_
