// A fleet of the pure rules alone: a plane that signs what NextStep() says,
// devices that start when MayStart() says so, records that come late, twice, in
// any order or not at all, halts, restarts, clocks that jump. Every start and
// every opening is checked against what really happened.
#ifndef SHOAL_TESTS_UNIT_RULES_ROLLOUT_MODEL_H_
#define SHOAL_TESTS_UNIT_RULES_ROLLOUT_MODEL_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rules/outcomes.h"
#include "rules/progress.h"
#include "rules/rollout.h"
#include "rules/seen.h"

namespace shoal::rules {

struct ModelOptions {
  int devices = 6;
  std::vector<int> phase_of;  // by device
  int phases = 3;
  bool unattended = true;
  int64_t soak_ms = 1000;
  uint32_t threshold_permille = 500;
};

class RolloutModel {
 public:
  using Choose = std::function<uint32_t(uint32_t)>;  // below its argument

  RolloutModel(const ModelOptions& options, Choose choose)
      : options_(options), choose_(std::move(choose)) {
    document_.set_id("r1");
    document_.set_version(1);
    document_.set_fleet(std::string(32, 'f'));
    document_.set_device_type("gateway");
    document_.mutable_release()->set_sha256(std::string(32, 's'));
    document_.mutable_selector()->set_all(true);
    document_.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
    document_.set_opened_at(absl::ToUnixMillis(now_));
    document_.set_expires(absl::ToUnixSeconds(now_ + absl::Hours(1000)));
    document_.set_unattended(options.unattended);
    document_.set_error_threshold_permille(options.threshold_permille);
    document_.mutable_retry()->set_max_attempts(2);
    document_.mutable_retry()->set_backoff_ms(100);
    for (int i = 0; i < options.phases; ++i) {
      auto* phase = document_.add_phases();
      phase->set_name("p" + std::to_string(i));
      (*phase->mutable_labels())["phase"] = std::to_string(i);
      phase->mutable_gate()->set_soak_ms(options.soak_ms);
      phase->set_expected_devices(static_cast<uint32_t>(
          std::count(options.phase_of.begin(), options.phase_of.end(), i)));
    }
    document_.mutable_phases(options.phases - 1)
        ->set_threshold(uint64_t{1} << 32);
    devices_.resize(static_cast<size_t>(options.devices));
    for (size_t i = 0; i < devices_.size(); ++i) {
      devices_[i].facts.id = std::string(16, static_cast<char>('a' + i));
      devices_[i].facts.device_type = "gateway";
      devices_[i].facts.labels["phase"] = std::to_string(options.phase_of[i]);
    }
    Publish();
  }

  static constexpr uint32_t kActions = 10;
  void Act(uint32_t action) {
    switch (action) {
      case 0:
        now_ += absl::Milliseconds(options_.soak_ms * (1 + choose_(2)) / 2);
        break;
      case 1:
        Read(Any());
        break;
      case 2:
        Decide(Any());
        break;
      case 3:
        Pull();
        break;
      case 4:
        StepPlane();
        break;
      case 5:
        Operator();
        break;
      case 6:
        RestartPlane();
        break;
      case 7:
        plane_up_ = !plane_up_;
        break;
      case 8:  // the device's clock; its floor never moves back
        Any().offset = absl::Milliseconds(static_cast<int>(choose_(4)) * 700) -
                       absl::Milliseconds(700);
        break;
      case 9:
        Conflict();
        break;
    }
    CheckCounts();
  }

  uint64_t starts() const { return starts_; }
  uint64_t openings() const { return openings_; }
  uint64_t unattended_starts() const { return unattended_starts_; }

 private:
  struct Device {
    DeviceFacts facts;
    rollout::v1::RolloutDocument document;  // as it read it
    SeenVersion seen;
    bool halted = false;  // knows of the halt
    bool finished = false;
    Attempts attempts;
    uint64_t counter = 0;
    absl::Duration offset;
    absl::Time floor = absl::InfinitePast();
  };
  struct Outcome {
    size_t device;
    uint64_t counter;
    OutcomeVerdict verdict;
    absl::Time at;  // really; the devices' clocks may differ
  };

  Device& Any() {
    return devices_[choose_(static_cast<uint32_t>(devices_.size()))];
  }
  int PhaseOfDevice(size_t i) const { return options_.phase_of[i]; }
  absl::Time NowOf(Device& device) {
    device.floor = std::max(device.floor, now_ + device.offset);
    return device.floor;
  }

  void Publish() { published_.push_back(document_); }

  void Read(Device& device) {
    // Any version that ever was: a storage node may be behind.
    const auto& document =
        published_[choose_(static_cast<uint32_t>(published_.size()))];
    if (Note(device.seen, document.version(), document.SerializeAsString()) ==
        SeenAnswer::kNewer)
      device.document = document;
    if (halt_stands_ && choose_(2) == 0) device.halted = true;
  }

  std::vector<OutcomeCount> Count(const std::vector<Outcome>& outcomes) const {
    OutcomeTally tally(options_.phases);
    for (const Outcome& one : outcomes)
      tally.Add(devices_[one.device].facts.id, one.counter,
                PhaseOfDevice(one.device), one.verdict, one.at);
    return tally.ByPhase();
  }

  // What the device finds: some of the records, in any order, some twice.
  std::vector<Outcome> Readable() {
    std::vector<Outcome> some;
    for (const Outcome& one : records_) {
      if (choose_(4) == 0) continue;
      some.insert(
          some.begin() + choose_(static_cast<uint32_t>(some.size()) + 1), one);
      if (choose_(4) == 0) some.push_back(one);
    }
    return some;
  }

  void Decide(Device& device) {
    if (device.finished || device.seen.version == 0) return;
    StartInput input;
    input.device = device.facts;
    input.fleet_id = std::string(32, 'f');
    input.now = NowOf(device);
    input.attempts = device.attempts;
    const bool lifted =
        !document_lifts_.empty() &&
        std::count(document_lifts_.begin(), document_lifts_.end(),
                   device.document.version()) > 0;
    input.halted = device.seen.conflict || (device.halted && !lifted);
    const std::vector<Outcome> readable = Readable();
    input.samples = Count(readable);
    const StartDecision decision = MayStart(device.document, input);
    if (!decision.start) return;
    ++starts_;
    CheckStart(device, input, decision.phase);
    ++device.attempts.count;
    device.attempts.last = input.now;
    ASSERT_LE(device.attempts.count, 2u) << "more tries than allowed";
    const uint32_t luck = choose_(4);
    device.finished = luck != 0;
    records_.push_back(
        {static_cast<size_t>(&device - devices_.data()), ++device.counter,
         luck == 0 ? OutcomeVerdict::kFailed : OutcomeVerdict::kSucceeded,
         now_});
  }

  void CheckStart(const Device& device, const StartInput& input, int phase) {
    EXPECT_FALSE(device.seen.conflict) << "two documents with one version";
    EXPECT_FALSE(input.halted) << "a halt was lost";
    EXPECT_EQ(device.document.state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
    const int open = static_cast<int>(device.document.open_phase());
    if (phase <= open) return;
    ++unattended_starts_;
    ASSERT_TRUE(device.document.unattended());
    absl::Time opened = absl::FromUnixMillis(device.document.opened_at());
    for (int i = 0; i < phase; ++i) {
      const uint32_t expected = device.document.phases(i).expected_devices();
      const OutcomeCount& sample = input.samples[static_cast<size_t>(i)];
      EXPECT_LE(sample.total() + sample.refused, expected);
      EXPECT_TRUE(sample.failed == 0 ||
                  sample.failed * 1000 <
                      options_.threshold_permille *
                          std::max(sample.total(), std::min(10u, expected)))
          << "a phase opened beside failures";
      if (i < open) continue;
      opened += absl::Milliseconds(options_.soak_ms);
      EXPECT_GE(input.now, opened) << "a phase opened before its time";
      if (expected == 0) continue;
      const uint32_t wanted = std::min(20u, expected);
      ASSERT_GE(sample.total(), wanted);
      EXPECT_GE(sample.succeeded, 1u);
      opened = std::max(opened, sample.answered_at[wanted - 1]);
    }
  }

  void Pull() {
    if (!plane_up_) return;
    for (const Outcome& one : Readable()) pulled_.push_back(one);
  }

  void StepPlane() {
    if (!plane_up_ || document_.state() != rollout::v1::ROLLOUT_STATE_ACTIVE)
      return;
    PlaneView view;
    view.counts = Count(pulled_);
    view.now = now_;
    const int open = static_cast<int>(document_.open_phase());
    switch (const PlaneStep step = NextStep(document_, view); step.kind) {
      case PlaneStep::Kind::kWait:
        return;
      case PlaneStep::Kind::kOpenNext: {
        const OutcomeCount& count = view.counts[static_cast<size_t>(open)];
        EXPECT_GE(now_, absl::FromUnixMillis(document_.opened_at() +
                                             options_.soak_ms));
        EXPECT_GE(count.total(), document_.phases(open).expected_devices());
        EXPECT_FALSE(TooManyFailures(document_, open, count));
        ++openings_;
        document_.set_open_phase(document_.open_phase() + 1);
        document_.set_opened_at(absl::ToUnixMillis(now_));
        break;
      }
      case PlaneStep::Kind::kHalt:
        document_.set_state(rollout::v1::ROLLOUT_STATE_HALTED);
        break;
      case PlaneStep::Kind::kFinish:
        document_.set_state(rollout::v1::ROLLOUT_STATE_FINISHED);
        break;
    }
    document_.set_version(document_.version() + 1);
    // A version after the one that lifted the halt lifts it as well.
    if (!document_lifts_.empty())
      document_lifts_.push_back(document_.version());
    Publish();
  }

  // Halts, and once halted lifts it by a new version.
  void Operator() {
    if (!halt_stands_) {
      halt_stands_ = true;
    } else if (plane_up_ && document_lifts_.empty() &&
               document_.state() == rollout::v1::ROLLOUT_STATE_ACTIVE) {
      document_.set_version(document_.version() + 1);
      document_.add_lifted_halts(std::string(32, 'h'));
      document_lifts_.push_back(document_.version());
      Publish();
    }
  }

  // What it stored is all it has: the same counts, whatever the order.
  void RestartPlane() {
    const auto before = Count(pulled_);
    std::rotate(pulled_.begin(),
                pulled_.begin() + static_cast<ptrdiff_t>(pulled_.size() / 2),
                pulled_.end());
    const auto after = Count(pulled_);
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i].succeeded, after[i].succeeded);
      EXPECT_EQ(before[i].failed, after[i].failed);
    }
  }

  // A stolen director signs other bytes under the newest number.
  void Conflict() {
    if (choose_(4) != 0) return;
    auto other = published_.back();
    other.set_expires(other.expires() + 1);
    published_.push_back(other);
  }

  void CheckCounts() {
    const auto counts = Count(pulled_);
    for (int i = 0; i < options_.phases; ++i) {
      const OutcomeCount& count = counts[static_cast<size_t>(i)];
      EXPECT_LE(count.total() + count.refused,
                document_.phases(i).expected_devices())
          << "a device was counted twice";
    }
  }

  ModelOptions options_;
  Choose choose_;
  absl::Time now_ = absl::FromUnixSeconds(1800000000);
  rollout::v1::RolloutDocument document_;
  std::vector<rollout::v1::RolloutDocument> published_;
  std::vector<uint64_t> document_lifts_;  // versions that lift the halt
  bool halt_stands_ = false;
  bool plane_up_ = true;
  std::vector<Device> devices_;
  std::vector<Outcome> records_;  // at the storage nodes
  std::vector<Outcome> pulled_;   // in the plane's store
  uint64_t starts_ = 0, openings_ = 0, unattended_starts_ = 0;
};

}  // namespace shoal::rules

#endif  // SHOAL_TESTS_UNIT_RULES_ROLLOUT_MODEL_H_
