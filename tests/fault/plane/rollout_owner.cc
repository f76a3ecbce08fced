#include <gtest/gtest.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/status.h"
#include "dht/records/record.h"
#include "fmt/format.h"
#include "rules/position.h"
#include "shoal/records/v1/payloads.pb.h"
#include "tests/bench/load/load_outcomes.h"
#include "tests/fault/plane/owners.h"

namespace shoal::testing {
namespace {

using namespace rollout::v1;  // NOLINT: its states and requests, many of them

constexpr uint32_t kDevices = 3;  // of one rollout; the first is phase 0
constexpr size_t kLive = 4;

}  // namespace

bool RolloutOwner::AtEnd(const Known& one) {
  return one.last.state() == ROLLOUT_STATE_FINISHED ||
         one.last.state() == ROLLOUT_STATE_ABORTED;
}

RolloutOwner::Wanted RolloutOwner::After(Wanted before, Order order) {
  switch (order) {
    case Order::kPause:
      return Wanted::kPaused;
    case Order::kResume:
      return Wanted::kRunning;
    case Order::kHalt:
      return Wanted::kHalted;
    case Order::kAbort:
      return Wanted::kAborted;
    case Order::kNone:
    case Order::kCreate:
    case Order::kApprove:
      break;
  }
  return before;
}

CreateRolloutRequest RolloutOwner::Request(const Known& one) const {
  CreateRolloutRequest request;
  request.set_rollout_id(one.id);
  request.set_request_id(one.id);
  request.set_release(parts_.release);
  const auto at = static_cast<uint32_t>(&one - rollouts_.data());
  for (uint32_t i = 0; i < kDevices; ++i)
    request.mutable_selector()->add_device_ids(
        HexEncode(bench::DeviceId(first_ + kDevices * at + i)));
  auto* first = request.add_phases();
  first->set_name("first");
  first->set_count(1);
  first->mutable_gate()->set_manual(one.manual);
  if (!one.manual) first->mutable_gate()->set_soak_ms(200);
  auto* rest = request.add_phases();
  rest->set_name("rest");
  rest->set_percent(100);
  return request;
}

absl::StatusOr<Rollout> RolloutOwner::Ask(cli::PlaneClient& plane, Known& one,
                                          Order order) {
  const std::string name = "rollouts/" + one.id;
  switch (order) {
    case Order::kCreate:
      return plane.CreateRollout(Request(one));
    case Order::kApprove: {
      ApprovePhaseRequest request;
      request.set_name(name);
      request.set_phase(1);
      return plane.ApprovePhase(request);
    }
    case Order::kPause: {
      PauseRolloutRequest request;
      request.set_name(name);
      return plane.PauseRollout(request);
    }
    case Order::kResume: {
      ResumeRolloutRequest request;
      request.set_name(name);
      return plane.ResumeRollout(request);
    }
    case Order::kAbort: {
      AbortRolloutRequest request;
      request.set_name(name);
      request.set_stay(true);
      return plane.AbortRollout(request);
    }
    case Order::kHalt: {
      const absl::Time now = SystemClock().WallNow();
      records::v1::Halt halt;
      halt.set_rollout_id(one.id);
      halt.set_counter(static_cast<uint64_t>(absl::ToUnixMillis(now)));
      halt.set_reason("test");
      dht::RecordFields fields;
      fields.kind = records::v1::RECORD_KIND_HALT;
      fields.place = parts_.places->Halt("gateway");
      fields.version = halt.counter();
      fields.issued = now;
      fields.expires = now + absl::Hours(24);
      fields.payload = halt.SerializeAsString();
      HaltRolloutRequest request;
      request.set_name(name);
      request.set_halt_record(
          dht::SignRecord(fields, *parts_.halter, parts_.fleet_id));
      return plane.HaltRollout(request);
    }
    case Order::kNone:
      break;
  }
  GetRolloutRequest request;
  request.set_name(name);
  return plane.GetRollout(request);
}

absl::Status RolloutOwner::Do(cli::PlaneClient& plane, Known& one,
                              Order order) {
  open_ = {static_cast<size_t>(&one - rollouts_.data()), order};
  const auto answer = Ask(plane, one, order);
  if (absl::IsFailedPrecondition(answer.status())) {
    // It may have come to its end between the look and the order.
    open_.reset();
    SHOAL_ASSIGN_OR_RETURN(const auto now, Ask(plane, one, Order::kNone));
    CheckOne(one, now);
    return now.state() == ROLLOUT_STATE_FINISHED ? absl::OkStatus()
                                                 : answer.status();
  }
  SHOAL_RETURN_IF_ERROR(answer);
  open_.reset();
  one.made = true;
  // A halt of a rollout that came to its end meanwhile is taken, for the
  // devices that read it, and changes nothing here.
  const bool too_late = order == Order::kHalt && one.offered == kDevices &&
                        answer->state() == ROLLOUT_STATE_FINISHED;
  if (!too_late) one.wanted = After(one.wanted, order);
  one.approved |= order == Order::kApprove;
  Acknowledged();
  CheckOne(one, *answer);
  return absl::OkStatus();
}

// The next device of the rollout answers, through the storage nodes.
absl::Status RolloutOwner::Offer(Known& one) {
  const auto at = static_cast<uint32_t>(&one - rollouts_.data());
  std::vector<uint32_t> devices;
  for (uint32_t i = 0; i < kDevices; ++i)
    devices.push_back(first_ + kDevices * at + i);
  std::sort(devices.begin(), devices.end(), [&](uint32_t a, uint32_t b) {
    return rules::Position(one.id, bench::DeviceId(a)) <
           rules::Position(one.id, bench::DeviceId(b));
  });
  SHOAL_ASSIGN_OR_RETURN(
      const auto records,
      bench::OutcomesOf(parts_.plane_directory, devices[one.offered],
                        one.last.document(), {{.counter = 1}}));
  ++one.offered;
  parts_.feed->Offer(records);
  return absl::OkStatus();
}

absl::Status RolloutOwner::Work(cli::PlaneClient& plane) {
  std::vector<size_t> live;
  for (size_t i = 0; i < rollouts_.size(); ++i)
    if (!AtEnd(rollouts_[i])) live.push_back(i);
  if (live.size() < kLive && (live.empty() || Below(4) == 0)) {
    Known& one = rollouts_.emplace_back();
    one.id = fmt::format("{}{}", prefix_, rollouts_.size());
    one.manual = Below(2) == 0;
    return Do(plane, one, Order::kCreate);
  }
  Known& one = rollouts_[live[Below(static_cast<uint32_t>(live.size()))]];
  if (!one.made) return Do(plane, one, Order::kCreate);  // the same once more
  SHOAL_ASSIGN_OR_RETURN(const auto now, Ask(plane, one, Order::kNone));
  CheckOne(one, now);
  const uint32_t dice = Below(20);
  switch (now.state()) {
    case ROLLOUT_STATE_ACTIVE:
      if (dice == 0) return Do(plane, one, Order::kAbort);
      if (dice < 4) return Do(plane, one, Order::kHalt);
      if (dice < 8) return Do(plane, one, Order::kPause);
      if (one.manual && !one.approved && dice < 14)
        return Do(plane, one, Order::kApprove);
      return one.offered < kDevices ? Offer(one) : absl::OkStatus();
    case ROLLOUT_STATE_PAUSED:
      if (dice == 0) return Do(plane, one, Order::kAbort);
      if (dice < 3) return Do(plane, one, Order::kHalt);
      return dice < 10 ? Do(plane, one, Order::kResume) : absl::OkStatus();
    case ROLLOUT_STATE_HALTED:
      if (dice == 0) return Do(plane, one, Order::kAbort);
      return dice < 10 ? Do(plane, one, Order::kResume) : absl::OkStatus();
    default:
      return absl::OkStatus();
  }
}

void RolloutOwner::CheckOne(Known& one, const Rollout& now) {
  SCOPED_TRACE(one.id + " " + RolloutState_Name(now.state()) + " version " +
               std::to_string(now.document().version()));
  const auto& document = now.document();
  switch (one.wanted) {
    case Wanted::kRunning:
      EXPECT_TRUE(
          now.state() == ROLLOUT_STATE_PREPARING ||
          now.state() == ROLLOUT_STATE_ACTIVE ||
          (now.state() == ROLLOUT_STATE_FINISHED && one.offered == kDevices))
          << now.message();
      break;
    case Wanted::kPaused:
      EXPECT_EQ(now.state(), ROLLOUT_STATE_PAUSED) << now.message();
      break;
    case Wanted::kHalted:
      EXPECT_EQ(now.state(), ROLLOUT_STATE_HALTED) << now.message();
      break;
    case Wanted::kAborted:
      EXPECT_EQ(now.state(), ROLLOUT_STATE_ABORTED) << now.message();
      break;
  }
  if (document.open_phase() > 0) {
    EXPECT_GE(one.offered, 1u) << "a phase opened on no outcome";
    EXPECT_TRUE(!one.manual || one.approved) << "a phase opened unapproved";
  }
  EXPECT_EQ(now.approvals_size(), one.approved ? 1 : 0);
  EXPECT_LE(now.outcome_count(), one.offered);
  EXPECT_GE(now.outcome_count(), one.last.outcome_count())
      << "an outcome that was counted is gone";
  EXPECT_GE(document.version(), one.last.document().version());
  EXPECT_GE(document.open_phase(), one.last.document().open_phase());
  // Before the first signature it is a draft: nothing is open.
  if (one.last.phases_size() > 0 && one.last.phases(0).open() &&
      document.open_phase() == one.last.document().open_phase()) {
    EXPECT_EQ(document.opened_at(), one.last.document().opened_at())
        << "a phase was opened twice";
  }
  one.last = now;
}

void RolloutOwner::Check(cli::PlaneClient& plane) {
  for (size_t i = 0; i < rollouts_.size(); ++i) {
    Known& one = rollouts_[i];
    const auto now = Ask(plane, one, Order::kNone);
    const Order open =
        open_ && open_->first == i ? open_->second : Order::kNone;
    if (!one.made && absl::IsNotFound(now.status())) continue;
    ASSERT_TRUE(now.ok()) << "rollouts/" << one.id << ": " << now.status();
    one.made = true;
    // Whether what was open has happened: either is right, from now on that.
    const bool stopped = now->state() == ROLLOUT_STATE_PAUSED ||
                         now->state() == ROLLOUT_STATE_HALTED;
    if ((open == Order::kPause && now->state() == ROLLOUT_STATE_PAUSED) ||
        (open == Order::kHalt && now->state() == ROLLOUT_STATE_HALTED) ||
        (open == Order::kAbort && now->state() == ROLLOUT_STATE_ABORTED) ||
        (open == Order::kResume && !stopped))
      one.wanted = After(one.wanted, open);
    one.approved |= open == Order::kApprove && now->approvals_size() > 0;
    CheckOne(one, *now);
  }
  open_.reset();
}

absl::Status RolloutOwner::Finish(cli::PlaneClient& plane) {
  std::string waiting;
  for (Known& one : rollouts_) {
    if (!one.made) SHOAL_RETURN_IF_ERROR(Do(plane, one, Order::kCreate));
    if (AtEnd(one)) continue;
    SHOAL_ASSIGN_OR_RETURN(const auto now, Ask(plane, one, Order::kNone));
    CheckOne(one, now);
    if (now.state() == ROLLOUT_STATE_PAUSED ||
        now.state() == ROLLOUT_STATE_HALTED)
      SHOAL_RETURN_IF_ERROR(Do(plane, one, Order::kResume));
    if (now.state() == ROLLOUT_STATE_ACTIVE) {
      if (one.manual && !one.approved)
        SHOAL_RETURN_IF_ERROR(Do(plane, one, Order::kApprove));
      while (one.offered < kDevices) SHOAL_RETURN_IF_ERROR(Offer(one));
    }
    if (!AtEnd(one))
      waiting += fmt::format(" {} ({}, phase {}, {} outcomes: {})", one.id,
                             RolloutState_Name(now.state()),
                             now.document().open_phase(), now.outcome_count(),
                             now.message());
  }
  return waiting.empty() ? absl::OkStatus()
                         : Unavailable("not_finished", "waiting for" + waiting);
}

}  // namespace shoal::testing
