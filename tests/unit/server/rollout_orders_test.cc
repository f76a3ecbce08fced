// What operators order: approvals of several, pause, resume, activation; and
// what the plane shows of lost devices and odd outcomes.
#include "rules/approval.h"
#include "server/rollout/driver_steps.h"
#include "server/rollout/explain.h"
#include "server/rollout/forecast.h"
#include "tests/unit/server/rollout_fixture.h"

namespace shoal::server {
namespace {

using records::v1::OUTCOME_RESULT_FAILED;
using records::v1::OUTCOME_RESULT_REFUSED;
using records::v1::OUTCOME_RESULT_ROLLED_BACK;
using records::v1::OUTCOME_RESULT_SUCCESS;
using testing::FailsBecause;

class RolloutOrdersTest : public RolloutReportsTest {};

TEST_F(RolloutOrdersTest, TwoOfThreeApproversOpenAGate) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.add_phases()->set_count(1);
  auto* gate = request.mutable_phases(0)->mutable_gate();
  gate->set_manual(true);
  gate->set_approvals(2);
  request.add_phases()->set_percent(100);
  ActiveRollout(2, devices, request);
  for (const TestDevice& device : devices) {
    ASSERT_OK(Take({OutcomeRecord(device, "r1", OUTCOME_RESULT_SUCCESS,
                                  ReleaseDigest(), 1)}));
  }
  for (int i = 0; i < 2; ++i)  // one operator is one, however often
    ASSERT_OK(Approve("rollouts/r1", 1, "", "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().document().open_phase(), 0u);
  EXPECT_EQ(Now().message(), "needs_approval");
  EXPECT_EQ(Now().approvals_size(), 1);
  ASSERT_OK(Approve("rollouts/r1", 1, "", "operator:bob"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().document().open_phase(), 1u);
}

TEST_F(RolloutOrdersTest, ApproversMustBeOperatorsWhoMay) {
  EnrollNode("n1");
  MakeRelease("2.0", "image two");
  rollout::v1::CreateRolloutRequest request;
  request.set_release("releases/gateway/2.0");
  auto* gate = request.add_phases()->mutable_gate();
  request.mutable_phases(0)->set_percent(100);
  gate->set_manual(true);
  gate->add_approvers("nobody");
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("unknown_approver"));
}

TEST_F(RolloutOrdersTest, APauseIsSignedAndResumedOnce) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  auto pause = For<rollout::v1::PauseRolloutRequest>("r1");
  pause.set_reason("trade fair");
  ASSERT_OK(rollouts_->Pause(pause, "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_PAUSED);
  EXPECT_EQ(Now().document().version(), 2u);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().document().version(), 2u) << "nothing more is signed";
  auto resume = For<rollout::v1::ResumeRolloutRequest>("r1");
  ASSERT_OK(rollouts_->Resume(resume, "operator:ann", true));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  EXPECT_EQ(Now().document().version(), 3u);
  EXPECT_THAT(rollouts_->Resume(resume, "operator:ann", true),
              FailsBecause("not_stopped"));
  pause.set_reason(std::string(513, 'x'));
  EXPECT_THAT(rollouts_->Pause(pause, "operator:ann"),
              FailsBecause("bad_reason"));
  pause.set_reason("");
  pause.set_etag("0");
  EXPECT_THAT(rollouts_->Pause(pause, "operator:ann"),
              FailsBecause("stale_etag"));
}

TEST_F(RolloutOrdersTest, T28_ResumingNamesTheHaltsThatItLifts) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  const std::string halt = HaltRecord(operator_, "r1");
  ASSERT_OK(Take({halt}));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  ASSERT_OK(rollouts_->Resume(For<rollout::v1::ResumeRolloutRequest>("r1"),
                              "operator:ann", true));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now().document().lifted_halts_size(), 1);
  EXPECT_EQ(Now().document().lifted_halts(0), dht::RecordDigest(halt));
  EXPECT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  // The same halt again changes nothing.
  ASSERT_OK(Take({halt}));
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
}

// Devices read no document above 16 KiB, and none of their type beside it.
TEST_F(RolloutOrdersTest, NoOrderMakesADocumentTooLarge) {
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r1");
  request.set_release("releases/gateway/2.0");
  for (int i = 0; i < 16; ++i)
    request.add_phases()->set_percent(6.25 * (i + 1));
  TestDevice device;
  EnrollNode("n1");
  release_ = MakeRelease("2.0", "image two");
  Pair(device);
  auto* ids = request.mutable_selector();
  ids->add_device_ids(HexEncode(device.id));
  const auto fill = [&](int n) {
    while (ids->device_ids_size() < n)
      ids->add_device_ids(std::string(32, 'a'));
    request.set_validate_only(true);
    return rollouts_->Create(request, "operator:ann");
  };
  int most = 300;
  while (fill(most + 1).ok()) ++most;
  EXPECT_THAT(fill(most + 1), FailsBecause("document_too_large"));
  ids->mutable_device_ids()->RemoveLast();
  request.set_validate_only(false);
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  ASSERT_OK(driver_->Step());
  EmptyOutbox();
  ASSERT_OK(driver_->Step());
  // What planning left room for fits; what comes beyond it is refused.
  int taken = 0;
  absl::Status refused;
  for (uint32_t phase = 0; phase < 16 && refused.ok(); ++phase) {
    refused =
        Approve("rollouts/r1", phase, "", "operator:ann",
                operator_.Sign(rules::ApprovalInput(Now().document(), phase)))
            .status();
    taken += refused.ok();
  }
  EXPECT_GE(taken, 4);
  EXPECT_THAT(refused, FailsBecause("document_too_large"));
  // Whoever stops it is not refused.
  ASSERT_OK(rollouts_->Pause(For<rollout::v1::PauseRolloutRequest>("r1"),
                             "operator:ann"));
  ASSERT_OK(driver_->Step());
  auto abort = For<rollout::v1::AbortRolloutRequest>("r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  ASSERT_OK(driver_->Step());
  ASSERT_OK_AND_ASSIGN(const auto target,
                       trust_->FindTarget("director/gateway/rollout/r1"));
  EXPECT_LE(target.length, rules::kMaxDocumentBytes);
  EXPECT_EQ(target.length, Now().document().ByteSizeLong());
  EXPECT_EQ(Now().document().state(), rollout::v1::ROLLOUT_STATE_ABORTED);
}

TEST_F(RolloutOrdersTest, FailuresMustBeAcceptedToGoOn) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(400);
  ActiveRollout(2, devices, request);
  ASSERT_OK(Take({OutcomeRecord(devices[0], "r1", OUTCOME_RESULT_ROLLED_BACK,
                                std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  auto resume = For<rollout::v1::ResumeRolloutRequest>("r1");
  EXPECT_THAT(rollouts_->Resume(resume, "operator:ann", true),
              FailsBecause("error_threshold"));
  resume.set_accept_failures(true);
  ASSERT_OK(rollouts_->Resume(resume, "operator:ann", true));
  ASSERT_OK(driver_->Step());
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_ACTIVE);
  ASSERT_OK(Take({OutcomeRecord(devices[1], "r1", OUTCOME_RESULT_ROLLED_BACK,
                                std::string(32, 'o'), 1)}));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_HALTED)
      << "new failures count";
}

// Devices that have no plane judge by the document.
TEST_F(RolloutOrdersTest, TheDocumentCarriesWhatWasAccepted) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_error_threshold_permille(400);
  ActiveRollout(3, devices, request);
  for (int i = 0; i < 2; ++i)
    ASSERT_OK(Answer(devices[static_cast<size_t>(i)],
                     OUTCOME_RESULT_ROLLED_BACK, "sick", 1, 2));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_EQ(Now().document().accepted_failures_size(), 0);
  auto resume = For<rollout::v1::ResumeRolloutRequest>("r1");
  resume.set_accept_failures(true);
  ASSERT_OK(rollouts_->Resume(resume, "operator:ann", true));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(Now().document().accepted_failures_size(), 1);
  const auto accepted = Now().document().accepted_failures(0);
  EXPECT_EQ(accepted.phase(), 0u);
  EXPECT_EQ(accepted.count(), 2u);
  EXPECT_EQ(accepted.until(), absl::ToUnixMillis(clock_.WallNow()));
  EXPECT_OK(rules::ValidateRollout(Now().document()));
  // One that is none any more makes no room for another.
  ASSERT_OK(Answer(devices[0], OUTCOME_RESULT_SUCCESS, "ok", 2));
  ASSERT_OK(rollouts_->Pause(For<rollout::v1::PauseRolloutRequest>("r1"),
                             "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().document().accepted_failures(0).count(), 1u);
}

TEST_F(RolloutOrdersTest, AnActivationIsReleasedByANewVersion) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.mutable_activation()->set_hold(true);
  ActiveRollout(1, devices, request);
  EXPECT_EQ(Now().document().rules_level(), 1u);
  ASSERT_OK(rollouts_->Activate(For<rollout::v1::ActivateRolloutRequest>("r1"),
                                "operator:ann"));
  ASSERT_OK(driver_->Step());
  EXPECT_TRUE(Now().document().activation().released());
  EXPECT_EQ(Now().document().version(), 2u);
  request.set_rollout_id("r2");
  request.set_release("releases/gateway/2.0");
  request.mutable_activation()->set_released(true);
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("bad_rollout"));
}

TEST_F(RolloutOrdersTest, LostDevicesAndOddOutcomesAreVisible) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_lost_after_seconds(3600);
  ActiveRollout(3, devices, request);
  EXPECT_EQ(Now().phases(0).lost(), 0u);
  ASSERT_OK(Take({OutcomeRecord(devices[0], "r1", OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 2)}));
  EXPECT_FALSE(Now().outcomes(0).late());
  EXPECT_GT(Now().outcomes(0).received_at(), 0);
  EXPECT_GT(Now().phase_eta(), 0);
  // Older, and older still.
  ASSERT_OK(Take({OutcomeRecord(devices[0], "r1", OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 1)}));
  EXPECT_EQ(Now().stale_outcomes(), 1u);
  EXPECT_EQ(Now().phases(0).succeeded(), 1u);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(Now().phases(0).lost(), 2u);
  auto abort = For<rollout::v1::AbortRolloutRequest>("r1");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  ASSERT_OK(Take({OutcomeRecord(devices[1], "r1", OUTCOME_RESULT_SUCCESS,
                                ReleaseDigest(), 1)}));
  int late = 0;
  const auto rollout = Now();
  for (const auto& outcome : rollout.outcomes()) late += outcome.late() ? 1 : 0;
  EXPECT_EQ(late, 1);
}

TEST_F(RolloutOrdersTest, MaxParallelAdmitsAsOutcomesCome) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_max_parallel(1);
  ActiveRollout(3, devices, request);
  const auto admitted = [&] {
    std::vector<const TestDevice*> some;
    for (const TestDevice& device : devices) {
      if (rules::AdmittedAt(Now().document(), device.id) ==
          absl::InfinitePast())
        some.push_back(&device);
    }
    return some;
  };
  std::set<const TestDevice*> done;
  for (size_t i = 1; i <= 3; ++i) {
    ASSERT_EQ(admitted().size(), i);
    for (const TestDevice* device : admitted()) {
      if (!done.insert(device).second) continue;
      ASSERT_OK(Take({OutcomeRecord(*device, "r1", OUTCOME_RESULT_SUCCESS,
                                    ReleaseDigest(), 1)}));
    }
    clock_.Advance(absl::Seconds(5));
    ASSERT_OK(driver_->Step());
  }
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_FINISHED);
}

// Who failed and will try again is at it.
TEST_F(RolloutOrdersTest, WhoTriesAgainHoldsItsPlace) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_max_parallel(1);
  request.set_error_threshold_permille(1000);
  ActiveRollout(3, devices, request);
  const auto admitted = [&] {
    std::vector<const TestDevice*> some;
    for (const TestDevice& device : devices) {
      if (rules::AdmittedAt(Now().document(), device.id) ==
          absl::InfinitePast())
        some.push_back(&device);
    }
    return some;
  };
  ASSERT_EQ(admitted().size(), 1u);
  const TestDevice& first = *admitted()[0];
  ASSERT_OK(Answer(first, OUTCOME_RESULT_FAILED, "no_source", 1, 2));
  clock_.Advance(absl::Seconds(5));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(admitted().size(), 1u);
  // What must be brought up to it first is not at it.
  ASSERT_OK(Answer(first, OUTCOME_RESULT_FAILED, "no_source", 2));
  clock_.Advance(absl::Seconds(5));
  ASSERT_OK(driver_->Step());
  ASSERT_EQ(admitted().size(), 2u);
  for (const TestDevice* device : admitted()) {
    if (device->id == first.id) continue;
    ASSERT_OK(Answer(*device, OUTCOME_RESULT_REFUSED, "dependency_unmet", 1));
  }
  clock_.Advance(absl::Seconds(5));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(admitted().size(), 3u);
}

// It was let in a day ago and waits for its window: it will be at it. Nobody
// waits for one that is silent, or whose owner has not agreed.
TEST_F(RolloutOrdersTest, WhoWaitsForItsWindowHoldsItsPlace) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_max_parallel(1);
  ActiveRollout(2, devices, request);
  const auto admitted = [&] {
    return std::count_if(devices.begin(), devices.end(), [&](const auto& one) {
      return rules::AdmittedAt(Now().document(), one.id) ==
             absl::InfinitePast();
    });
  };
  ASSERT_EQ(admitted(), 1);
  const auto all_say = [&](const std::string& word, uint64_t version) {
    for (const TestDevice& device : devices)
      ASSERT_OK(Take({Waits(device, word, version)}));
  };
  clock_.Advance(absl::Hours(30));
  all_say("outside_window", 1);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(admitted(), 1);
  clock_.Advance(absl::Seconds(5));
  all_say("needs_consent", 2);
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(admitted(), 2);
}

// A look reads all devices and all outcomes.
TEST_F(RolloutOrdersTest, MaxParallelIsLookedAtNowAndThen) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  request.set_max_parallel(1);
  ActiveRollout(3, devices, request);
  clock_.Advance(absl::Seconds(10));
  ASSERT_OK(driver_->Step());  // nobody has answered
  const auto version = Now().document().version();
  for (const TestDevice& device : devices) {
    if (rules::AdmittedAt(Now().document(), device.id) != absl::InfinitePast())
      continue;
    ASSERT_OK(Take({OutcomeRecord(device, "r1", OUTCOME_RESULT_SUCCESS,
                                  ReleaseDigest(), 1)}));
  }
  ASSERT_OK(driver_->Step());  // it was looked a moment ago
  EXPECT_EQ(Now().document().version(), version);
  clock_.Advance(absl::Seconds(2));
  ASSERT_OK(driver_->Step());
  EXPECT_EQ(Now().document().version(), version + 1);
}

TEST_F(RolloutOrdersTest, AnApprovalEndsWithTheRightToGiveIt) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  for (int i = 0; i < 2; ++i) {
    request.add_phases()->set_count(1);
    request.mutable_phases(i)->mutable_gate()->set_manual(true);
  }
  request.add_phases()->set_percent(100);
  ActiveRollout(3, devices, request);
  ASSERT_OK(Approve("rollouts/r1", 1, "", "operator:ann"));
  const std::set<std::string> ann = {"ann"};
  policy::v1::AccessPolicy policy = trust_->View()->policy;
  ASSERT_OK_AND_ASSIGN(auto row, rollouts_->Row("rollouts/r1"));
  EXPECT_EQ(ApproversOf(row, 1, policy), ann);
  // A signed one, too, of a later phase.
  row.mutable_rollout()->clear_approvals();
  EXPECT_TRUE(ApproversOf(row, 1, policy).empty());
  auto* later = row.mutable_rollout()->add_approvals();
  later->set_phase(2);
  later->set_approver("operator:ann");
  later->set_operator_key(operator_.public_key());
  later->set_signature("s");
  EXPECT_EQ(ApproversOf(row, 1, policy), ann);
  policy.mutable_revocations()->add_operator_keys(
      HexEncode(operator_.public_key()));
  EXPECT_TRUE(ApproversOf(row, 1, policy).empty());
  row.mutable_rollout()->mutable_approvals(0)->clear_signature();
  row.mutable_rollout()->mutable_approvals(0)->set_phase(1);
  EXPECT_TRUE(ApproversOf(row, 1, policy).empty());
  policy.clear_revocations();
  EXPECT_EQ(ApproversOf(row, 1, policy), ann);
  // A window in which it was given and which is over takes nothing back.
  auto* approval = row.mutable_rollout()->mutable_approvals(0);
  approval->set_time(absl::ToUnixMillis(
      absl::FromCivil(absl::CivilMinute(2026, 11, 26, 9, 30),  // a Thursday
                      absl::UTCTimeZone())));
  for (auto& rule : *policy.mutable_rules()) {
    auto* window = rule.mutable_conditions()->add_windows();
    window->set_from_minute(9 * 60);
    window->set_to_minute(10 * 60);
    window->add_weekdays(4);
  }
  EXPECT_EQ(ApproversOf(row, 1, policy), ann);
  approval->set_time(approval->time() + 60 * 60'000);
  EXPECT_TRUE(ApproversOf(row, 1, policy).empty());
  policy.clear_rules();
  EXPECT_TRUE(ApproversOf(row, 1, policy).empty());
}

TEST_F(RolloutOrdersTest, ExplainCountsTheApprovalsThatTheGateCounts) {
  std::vector<TestDevice> devices;
  rollout::v1::CreateRolloutRequest request;
  for (int i = 0; i < 2; ++i) {
    request.add_phases()->set_count(1);
    request.mutable_phases(i)->mutable_gate()->set_manual(true);
  }
  request.add_phases()->set_percent(100);
  ActiveRollout(3, devices, request);
  // Of the last phase, and so of all before it.
  ASSERT_OK(Approve("rollouts/r1", 2, "", "operator:ann",
                    operator_.Sign(rules::ApprovalInput(Now().document(), 2))));
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  ASSERT_OK_AND_ASSIGN(const auto out, explainer.Rollout("rollouts/r1"));
  const auto approval =
      std::find_if(out.conditions().begin(), out.conditions().end(),
                   [](const auto& one) { return one.name() == "approval"; });
  ASSERT_NE(approval, out.conditions().end());
  EXPECT_EQ(approval->state(), rollout::v1::CONDITION_STATE_MET);
  EXPECT_EQ(approval->explanation(), "1 of 1 approvals (ann)");
}

// Of one rollout 65 halts are kept, as on a device: a document lifts 64.
TEST_F(RolloutOrdersTest, AStolenHaltKeyGrowsNoRow) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  size_t size = 0;
  for (int i = 1; i <= 70; ++i) {
    records::v1::Halt halt;
    halt.set_rollout_id("r1");
    halt.set_counter(static_cast<uint64_t>(i));
    halt.set_reason(std::string(1000, 'r'));
    dht::RecordFields fields;
    fields.kind = records::v1::RECORD_KIND_HALT;
    fields.place = writer_->places().Halt("gateway");
    fields.version = static_cast<uint64_t>(i);
    fields.issued = clock_.WallNow();
    fields.expires = clock_.WallNow() + absl::Hours(24);
    fields.payload = halt.SerializeAsString();
    ASSERT_OK(Take({dht::SignRecord(fields, operator_, writer_->fleet_id())}));
    const size_t now = rollouts_->Row("rollouts/r1")->ByteSizeLong();
    if (i > 65) {
      EXPECT_EQ(now, size) << i;
    }
    size = now;
  }
  EXPECT_LT(size, 8'000u);
  EXPECT_EQ(Now().state(), rollout::v1::ROLLOUT_STATE_HALTED);
  EXPECT_THAT(rollouts_->Resume(For<rollout::v1::ResumeRolloutRequest>("r1"),
                                "operator:ann", true),
              FailsBecause("bad_rollout"));
}

TEST_F(RolloutOrdersTest, AForecastCountsDevicesBytesAndTime) {
  std::vector<TestDevice> devices;
  ActiveRollout(4, devices);
  ASSERT_OK(Take({Report(devices[0], ReleaseDigest(), 1)}));
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r2");
  request.set_release("releases/gateway/2.0");
  request.set_device_seconds(60);
  request.add_phases()->set_count(1);
  request.mutable_phases(0)->mutable_gate()->set_soak_ms(3'600'000);
  request.mutable_phases(0)->mutable_gate()->set_min_outcomes(2);
  request.add_phases()->set_percent(100);
  ASSERT_OK_AND_ASSIGN(const auto draft, rollouts_->MakeDraft(request));
  ASSERT_OK_AND_ASSIGN(const auto plan,
                       Forecast(draft, *deltas_, *rollouts_, clock_.WallNow()));
  EXPECT_EQ(plan.total_devices(), 4u);
  EXPECT_EQ(plan.up_to_date(), 1u);
  EXPECT_EQ(plan.total_bytes(), 3 * release_.release().length());
  EXPECT_EQ(plan.phases(0).devices(), 1u);
  EXPECT_EQ(plan.phases(0).seconds(), 3600);
  EXPECT_EQ(plan.phases(1).seconds(), 60);
  ASSERT_GE(plan.warnings_size(), 1);
  EXPECT_NE(plan.warnings(0).find("it never opens"), std::string::npos);
  EXPECT_EQ(rollouts_->List(0, "")->rollouts.size(), 1u) << "nothing is made";
}

TEST_F(RolloutOrdersTest, WhoseDevicesARolloutTakesOverIsSaidBefore) {
  MakeRelease("3.0", "image three");
  std::vector<TestDevice> devices;
  ActiveRollout(3, devices);  // to all
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("hotfix");
  request.set_release("releases/gateway/3.0");
  for (size_t i = 0; i < 2; ++i)
    request.mutable_selector()->add_device_ids(HexEncode(devices[i].id));
  const auto warnings = [&] {
    const auto draft = rollouts_->MakeDraft(request);
    EXPECT_OK(draft);
    const auto plan = Forecast(*draft, *deltas_, *rollouts_, clock_.WallNow());
    EXPECT_OK(plan);
    std::vector<std::string> found;
    for (const std::string& one : plan->warnings())
      if (one.find("takes over") != one.npos) found.push_back(one);
    return found;
  };
  EXPECT_THAT(warnings(),
              ::testing::ElementsAre("takes over 2 devices from rollouts/r1, "
                                     "which goes on without them"));
  // Who runs what the older one brings has nothing to lose.
  ASSERT_OK(Take({Report(devices[0], ReleaseDigest(), 1)}));
  EXPECT_THAT(warnings(),
              ::testing::ElementsAre("takes over 1 device from rollouts/r1, "
                                     "which goes on without it"));
  // What is covered whole ends, as it should.
  auto all = request;
  all.set_rollout_id("all");
  all.mutable_selector()->Clear();
  all.mutable_selector()->set_all(true);
  std::swap(all, request);
  EXPECT_THAT(warnings(), ::testing::IsEmpty());
  std::swap(all, request);
  // And so says the answer to the call that does it, once.
  request.set_request_id("once");
  ASSERT_OK_AND_ASSIGN(auto made, rollouts_->Create(request, "operator:ann"));
  EXPECT_EQ(made.warnings_size(), 1);
  EXPECT_EQ(Now("hotfix").warnings_size(), 0);
  // An ended one loses nothing.
  for (const char* id : {"r1", "hotfix"}) {
    auto abort = For<rollout::v1::AbortRolloutRequest>(id);
    abort.set_stay(true);
    ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  }
  request.set_rollout_id("late");
  EXPECT_THAT(warnings(), ::testing::IsEmpty());
}

TEST_F(RolloutOrdersTest, AGroupThatARolloutNamesStays) {
  std::vector<TestDevice> devices;
  ActiveRollout(1, devices);
  for (const char* id : {"lab", "canaries"}) {
    fleet::v1::CreateGroupRequest group;
    group.set_group_id(id);
    ASSERT_OK(groups_->Create(group, "operator:ann"));
  }
  rollout::v1::CreateRolloutRequest request;
  request.set_rollout_id("r2");
  request.set_release("releases/gateway/2.0");
  request.mutable_selector()->add_groups("lab");
  request.add_phases()->set_percent(10);
  request.mutable_phases(0)->add_groups("canaries");
  request.add_phases()->set_percent(100);
  ASSERT_OK(rollouts_->Create(request, "operator:ann"));
  fleet::v1::DeleteGroupRequest gone;
  for (const bool only_look : {true, false}) {
    for (const char* id : {"lab", "canaries"}) {
      gone.set_name(std::string("groups/") + id);
      gone.set_validate_only(only_look);
      const auto refused = groups_->Delete(gone, "operator:ann");
      EXPECT_THAT(refused, testing::Fails(absl::StatusCode::kFailedPrecondition,
                                          "group_in_use"));
      EXPECT_NE(refused.status().message().find("rollouts/r2"),
                std::string::npos);
      EXPECT_FALSE(groups_->Get(gone.name())->deleting());
    }
  }
  auto abort = For<rollout::v1::AbortRolloutRequest>("r2");
  abort.set_stay(true);
  ASSERT_OK(rollouts_->Abort(abort, "operator:ann"));
  EXPECT_OK(groups_->Delete(gone, "operator:ann"));
  // Nor does one begin that names what is on its way out.
  request.set_rollout_id("r3");
  EXPECT_THAT(rollouts_->Create(request, "operator:ann"),
              FailsBecause("unknown_group"));
}

TEST_F(RolloutOrdersTest, ExplanationsNameWhatIsNotMet) {
  std::vector<TestDevice> devices;
  ActiveRollout(2, devices);
  const Explainer explainer(*store_, *rollouts_, *devices_, *trust_,
                            writer_->fleet_id());
  const std::string name = "devices/" + HexEncode(devices[0].id);
  const auto state = [](const rollout::v1::Explanation& out,
                        const std::string& condition) {
    for (const auto& one : out.conditions())
      if (one.name() == condition) return one.state();
    return rollout::v1::CONDITION_STATE_UNSPECIFIED;
  };
  ASSERT_OK_AND_ASSIGN(auto device, explainer.Device(name, ""));
  EXPECT_EQ(device.rollout(), "rollouts/r1");
  EXPECT_EQ(state(device, "phase"), rollout::v1::CONDITION_STATE_MET);
  EXPECT_EQ(state(device, "attempts"), rollout::v1::CONDITION_STATE_UNKNOWN);
  ASSERT_OK(Take({HaltRecord(operator_, "r1")}));
  ASSERT_OK_AND_ASSIGN(device, explainer.Device(name, "rollouts/r1"));
  EXPECT_EQ(state(device, "halt"), rollout::v1::CONDITION_STATE_UNMET);
  ASSERT_OK_AND_ASSIGN(const auto rollout, explainer.Rollout("rollouts/r1"));
  EXPECT_EQ(state(rollout, "halt"), rollout::v1::CONDITION_STATE_UNMET);
  EXPECT_EQ(state(rollout, "answers"), rollout::v1::CONDITION_STATE_UNMET);
  EXPECT_THAT(explainer.Device("devices/x", ""), FailsBecause("bad_name"));
}

}  // namespace
}  // namespace shoal::server
