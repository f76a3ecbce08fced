// The devices of the bench and what they say: rows in the plane's store, and
// outcomes that each signs with its own key under its own credential.
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_OUTCOMES_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_OUTCOMES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "shoal/rollout/v1/document.pb.h"
#include "tests/bench/load/load_feed.h"

namespace shoal::bench {

// `directory`: shoald's, after import, while shoald is not running. Devices of
// type gateway, a hundred to a site (label "site").
absl::Status FillDevices(const std::string& directory, uint32_t devices);

// The 16-byte id of device `number`, from 0.
std::string DeviceId(uint32_t number);

struct OutcomeOptions {
  uint64_t counter = 1;
  bool failed = false;
};
// The outcomes of one device, in the order of `options`. `directory`: shoald's.
absl::StatusOr<std::vector<SharedRecord>> OutcomesOf(
    const std::string& directory, uint32_t number,
    const rollout::v1::RolloutDocument& document,
    const std::vector<OutcomeOptions>& options);

// `count` records: in the order of the devices' positions, as a rollout goes;
// round after round, each device's newer than its last. One in fifty fails. All
// devices but the last hundredth, so that the rollout does not end; the last
// record is the only one of its device: who sees it has seen all.
absl::StatusOr<std::vector<SharedRecord>> MakeOutcomes(
    const std::string& directory, uint32_t devices, size_t count,
    const rollout::v1::RolloutDocument& document);
// Devices that `count` outcomes come from.
uint32_t AnsweringDevices(uint32_t devices, size_t count);

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_OUTCOMES_H_
