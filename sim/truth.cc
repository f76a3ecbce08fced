#include "sim/truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "rules/rollout.h"

namespace shoal::sim {
namespace {

constexpr size_t kMaxShown = 100;

class Findings {
 public:
  template <typename... Args>
  void Add(fmt::format_string<Args...> text, Args&&... args) {
    if (found_.size() < kMaxShown)
      found_.push_back(fmt::format(text, std::forward<Args>(args)...));
  }
  std::vector<std::string> Take() { return std::move(found_); }

 private:
  std::vector<std::string> found_;
};

void CheckDevice(const Truth& truth, const PlaneAccount& plane,
                 const RolloutFacts& facts, Findings& found) {
  const std::string name = HexEncode(truth.device_id);
  const auto it = plane.outcomes.find(truth.device_id);
  const bool told = it != plane.outcomes.end();
  if (truth.attempts.empty()) {
    if (told) found.Add("{}: the plane counts it, but it did nothing", name);
    if (truth.committed_sha256 == facts.new_sha256)
      found.Add("{}: runs the new image without an update", name);
    return;
  }
  const Attempt& last = truth.attempts.back();
  const bool runs_new = truth.committed_sha256 == facts.new_sha256;
  if (last.success != runs_new)
    found.Add("{}: reported {}, and its flash holds {}", name,
              last.success ? "success" : last.reason,
              runs_new ? "the new image" : "another image");
  if (!told) {
    found.Add("{}: its {} is not in the plane's account", name,
              last.success ? "success" : "failure");
    return;
  }
  if (it->second.success != last.success)
    found.Add("{}: the plane says {}, it was {}", name,
              it->second.success ? "success" : "failure",
              last.success ? "success" : "failure");
  if (it->second.success && it->second.running_sha256 != facts.new_sha256)
    found.Add("{}: counted a success with another image's digest", name);
  const int phase = PhaseOf(facts, truth.device_id);
  for (const Attempt& attempt : truth.attempts) {
    if (static_cast<int>(attempt.phase) != phase)
      found.Add("{}: took part in phase {}, its position is in {}", name,
                attempt.phase, phase);
    const auto opened = facts.opened_ms.find(attempt.phase);
    if (opened == facts.opened_ms.end())
      found.Add("{}: took part in phase {}, which nobody opened", name,
                attempt.phase);
    else if (attempt.started_ms < opened->second)
      found.Add("{}: began {} ms before phase {} was opened", name,
                opened->second - attempt.started_ms, attempt.phase);
  }
  if (static_cast<int>(it->second.phase) != phase)
    found.Add("{}: the plane counts it in phase {}, its position is in {}",
              name, it->second.phase, phase);
}

// What had truly been reported of `phase` at `time`, each device once.
rules::OutcomeCount CountAt(const std::vector<Truth>& truths, uint32_t phase,
                            int64_t time_ms) {
  rules::OutcomeCount count;
  for (const Truth& truth : truths) {
    const Attempt* newest = nullptr;
    for (const Attempt& attempt : truth.attempts)
      if (attempt.phase == phase && attempt.finished_ms <= time_ms)
        newest = &attempt;
    if (newest == nullptr) continue;
    ++(newest->success ? count.succeeded : count.failed);
  }
  return count;
}

void CheckGates(const std::vector<Truth>& truths, const RolloutFacts& facts,
                Findings& found) {
  for (const auto& [phase, opened] : facts.opened_ms) {
    if (phase == 0) continue;
    const int before = static_cast<int>(phase) - 1;
    const rules::OutcomeCount count = CountAt(truths, phase - 1, opened);
    if (!rules::EnoughOutcomes(facts.document, before, count))
      found.Add(
          "phase {} was opened on {} successes and {} failures of phase "
          "{}: too early",
          phase, count.succeeded, count.failed, before);
  }
}

}  // namespace

int PhaseOf(const RolloutFacts& facts, const std::string& id) {
  rules::DeviceFacts device;
  device.id = id;
  device.device_type = facts.document.device_type();
  return rules::PhaseOf(facts.document, device);
}

std::vector<std::string> Violations(const std::vector<Truth>& truths,
                                    const PlaneAccount& plane,
                                    const RolloutFacts& facts) {
  Findings found;
  if (plane.repeated > 0)
    found.Add("{} devices stand in the plane's account twice", plane.repeated);
  std::vector<PlaneAccount::Phase> sums(plane.phases.size());
  for (const Truth& truth : truths) {
    if (truth.device_id.empty()) {
      found.Add("a device never came into the fleet");
      continue;
    }
    CheckDevice(truth, plane, facts, found);
    const int phase = PhaseOf(facts, truth.device_id);
    if (phase < 0 || static_cast<size_t>(phase) >= sums.size()) {
      found.Add("{}: in no phase", HexEncode(truth.device_id));
      continue;
    }
    PlaneAccount::Phase& sum = sums[static_cast<size_t>(phase)];
    ++sum.expected;
    if (!truth.attempts.empty())
      ++(truth.attempts.back().success ? sum.succeeded : sum.failed);
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto& said = plane.phases[i];
    if (said.expected != sums[i].expected ||
        said.succeeded != sums[i].succeeded || said.failed != sums[i].failed)
      found.Add(
          "phase {}: the plane counts {} succeeded and {} failed of {}; "
          "it was {} and {} of {}",
          i, said.succeeded, said.failed, said.expected, sums[i].succeeded,
          sums[i].failed, sums[i].expected);
  }
  CheckGates(truths, facts, found);
  return found.Take();
}

}  // namespace shoal::sim
