#include "server/rollout/plan.h"

#include <algorithm>
#include <cmath>

#include "common/bytes.h"
#include "common/status.h"
#include "fmt/format.h"
#include "rules/parallel.h"
#include "rules/position.h"
#include "rules/rollout.h"
#include "rules/selector.h"

namespace shoal::server {
namespace {

constexpr uint64_t kAll = rules::kEveryPosition;
constexpr int64_t kDefaultLifetime = 30 * 24 * 3600;
constexpr int64_t kMaxLifetime = 365 * 24 * 3600;
constexpr int64_t kMaxBackoffMs = int64_t{30} * 24 * 3600 * 1000;
constexpr int64_t kMaxDeltaWait = 604'800;
constexpr uint32_t kDefaultDeviceSeconds = 600;
constexpr uint32_t kMaxDeviceSeconds = 86'400;
// How often the plane says again whom it admitted: two of them without a word
// are what a device takes for a plane that is down.
constexpr int64_t kRenewMs = 3'600'000;

absl::Status Bad(std::string_view message) {
  return InvalidArgument("bad_rollout", message);
}

absl::Status CheckPhaseLabels(const rollout::v1::PhaseSpec& spec) {
  if (spec.labels().size() > 32)
    return Bad(fmt::format("phase '{}': at most 32 labels", spec.name()));
  for (const auto& [key, value] : spec.labels()) {
    if (!IsIdentifier(key) || value.size() > 128) {
      return Bad(
          fmt::format("phase '{}': label '{}' is not an identifier with "
                      "at most 128 bytes",
                      spec.name(), key));
    }
  }
  return absl::OkStatus();
}

// What an agent must know (RolloutDocument.rules_level): one that would skip a
// part of the document must not start it.
uint32_t NeededLevel(const rollout::v1::RolloutDocument& document) {
  if (document.selector().groups_size() > 0) return 2;
  const auto newer = [](const rollout::v1::Phase& phase) {
    return phase.groups_size() > 0 || phase.gate().settle_ms() > 0;
  };
  const bool first =
      document.has_calendar() || document.has_activation() ||
      document.has_bandwidth() || document.has_parallel() ||
      document.consent() || document.optional() || document.deadline() > 0 ||
      !document.only_running_sha256().empty() ||
      document.retry().max_backoff_ms() > 0 ||
      std::any_of(document.phases().begin(), document.phases().end(), newer);
  return first ? 1 : 0;
}

// Fields that go into the document as they are, with their limits.
absl::Status CopyPolicy(const rollout::v1::CreateRolloutRequest& request,
                        absl::Time now,
                        rollout::v1::RolloutDocument& document) {
  if (request.retry().backoff_ms() > kMaxBackoffMs)
    return Bad("backoff_ms is at most 30 days");
  if (request.activation().released())
    return Bad("activation.released is set by ActivateRollout alone");
  if (request.deadline_seconds() < 0)
    return Bad("deadline_seconds is negative");
  if (request.max_parallel() > 1'000'000)
    return Bad("max_parallel is at most 1,000,000");
  if (request.device_seconds() > kMaxDeviceSeconds)
    return Bad("device_seconds is at most 86,400");
  if (request.delta_wait_seconds() < -1 ||
      request.delta_wait_seconds() > kMaxDeltaWait)
    return Bad("delta_wait_seconds is -1 to 604,800");
  *document.mutable_windows() = request.windows();
  *document.mutable_retry() = request.retry();
  document.set_error_threshold_permille(request.error_threshold_permille());
  document.set_unattended(request.unattended());
  if (request.has_calendar()) *document.mutable_calendar() = request.calendar();
  if (request.has_activation())
    *document.mutable_activation() = request.activation();
  if (request.has_bandwidth())
    *document.mutable_bandwidth() = request.bandwidth();
  document.set_consent(request.consent());
  document.set_optional(request.optional());
  document.set_priority(request.priority());
  document.set_lost_after_seconds(request.lost_after_seconds());
  document.set_only_running_sha256(request.only_running_sha256());
  *document.mutable_previous() = request.previous();
  document.set_leads_back_from(request.leads_back_from());
  if (request.deadline_seconds() > 0)
    document.set_deadline(absl::ToUnixSeconds(now) +
                          request.deadline_seconds());
  if (request.max_parallel() > 0) {
    auto* parallel = document.mutable_parallel();
    parallel->set_max(request.max_parallel());
    parallel->set_renew_ms(kRenewMs);
    parallel->set_admitted_at(absl::ToUnixMillis(now));
  }
  return absl::OkStatus();
}

// What is added while the rollout is at work: the names of delta indexes, the
// approvals that its gates ask for (of one phase at least: the access policy
// may ask for it), some halts that are lifted, and what the plane says of
// itself.
size_t RoomFor(const rollout::v1::RolloutDocument& document) {
  constexpr size_t kApproval = 112;  // phase, key, signature
  constexpr size_t kLiftedHalt = 34;
  constexpr size_t kHaltsToLift = 8;
  constexpr size_t kApprovalsOfPolicy = 4;
  const auto index_of = [&](const rollout::v1::ReleaseRef& release) {
    return DeltaIndexTarget(document.device_type(), release.version()).size() +
           4;
  };
  size_t room = rules::kRoomForOrders + kHaltsToLift * kLiftedHalt +
                index_of(document.release());
  for (const auto& previous : document.previous()) room += index_of(previous);
  size_t approvals = kApprovalsOfPolicy;
  for (const auto& phase : document.phases()) {
    if (phase.gate().manual())
      approvals += std::max<size_t>(1, phase.gate().approvals());
  }
  return room + std::min<size_t>(approvals, 64) * kApproval;
}

// Rounded up. In whole millionths of a percent: 7 % of 100 devices are 7, and
// not what 0.07 comes to in binary.
uint64_t DevicesOf(double percent, size_t devices) {
  constexpr uint64_t kUnits = 1'000'000;
  const auto units = static_cast<uint64_t>(std::llround(percent * kUnits));
  return (units * devices + 100 * kUnits - 1) / (100 * kUnits);
}

void SetSpread(const rollout::v1::CreateRolloutRequest& request,
               rollout::v1::RolloutDocument& document) {
  if (!document.has_parallel() ||
      document.priority() == rollout::v1::ROLLOUT_PRIORITY_URGENT)
    return;
  uint64_t devices = 0;
  for (const auto& phase : document.phases())
    devices += phase.expected_devices();
  document.mutable_parallel()->set_spread_ms(absl::ToInt64Milliseconds(
      rules::SpreadOf(devices, document.parallel().max(),
                      absl::Seconds(DeviceSeconds(request.device_seconds())))));
}

}  // namespace

absl::StatusOr<rollout::v1::ReleaseRef> ReferenceTo(
    const store::ReleaseRow& release) {
  rollout::v1::ReleaseRef reference;
  reference.set_version(release.release().version());
  reference.set_image_target(release.release().image_target());
  SHOAL_ASSIGN_OR_RETURN(*reference.mutable_sha256(),
                         HexDecode(release.release().sha256()));
  reference.set_length(release.release().length());
  reference.set_counter(release.release().counter());
  return reference;
}

uint32_t DeviceSeconds(uint32_t asked) {
  return asked == 0 ? kDefaultDeviceSeconds : asked;
}

std::string RolloutTarget(const rollout::v1::RolloutDocument& document) {
  return fmt::format("director/{}/rollout/{}", document.device_type(),
                     document.id());
}

std::string DeltaIndexTarget(const std::string& device_type,
                             const std::string& version) {
  return fmt::format("director/{}/deltas/{}", device_type, version);
}

absl::StatusOr<rollout::v1::RolloutDocument> PlanRollout(
    const rollout::v1::CreateRolloutRequest& request,
    const store::ReleaseRow& release, const std::string& fleet_id,
    const std::vector<rules::DeviceFacts>& devices, absl::Time now) {
  const int64_t lifetime = request.lifetime_seconds() == 0
                               ? kDefaultLifetime
                               : request.lifetime_seconds();
  if (lifetime < 0 || lifetime > kMaxLifetime) {
    return Bad("lifetime_seconds is at most a year");
  }
  if (request.device_type() != release.release().device_type()) {
    return Bad(fmt::format("the release is for '{}', the rollout for '{}'",
                           release.release().device_type(),
                           request.device_type()));
  }
  rollout::v1::RolloutDocument document;
  document.set_id(request.rollout_id());
  document.set_version(1);
  document.set_fleet(fleet_id);
  document.set_device_type(request.device_type());
  SHOAL_ASSIGN_OR_RETURN(*document.mutable_release(), ReferenceTo(release));
  *document.mutable_selector() = request.selector();
  if (!request.has_selector()) document.mutable_selector()->set_all(true);
  document.set_opened_at(absl::ToUnixMillis(now));
  document.set_state(rollout::v1::ROLLOUT_STATE_ACTIVE);
  document.set_expires(absl::ToUnixSeconds(now) + lifetime);
  SHOAL_RETURN_IF_ERROR(CopyPolicy(request, now, document));
  SHOAL_RETURN_IF_ERROR(rules::ValidateSelector(document.selector()));

  std::vector<uint64_t> positions;
  for (const rules::DeviceFacts& device : devices) {
    if (rules::Matches(document.selector(), device)) {
      positions.push_back(rules::Position(document.id(), device.id));
    }
  }
  std::sort(positions.begin(), positions.end());
  // Below the answer are exactly `count` positions.
  const auto threshold_of = [&](uint64_t count) -> uint64_t {
    if (count == 0) return 0;
    if (positions.empty()) return 0;
    // Whoever enrols later is none of those that were counted.
    if (count >= positions.size()) return positions.back() + 1;
    return positions[count];  // the first that is not in
  };

  auto specs = request.phases();
  if (specs.empty()) specs.Add()->set_name("all");
  uint64_t counted = 0;
  uint64_t threshold = 0;
  for (int i = 0; i < specs.size(); ++i) {
    const auto& spec = specs.Get(i);
    const bool last = i + 1 == specs.size();
    rollout::v1::Phase& phase = *document.add_phases();
    phase.set_name(spec.name().empty() ? fmt::format("phase-{}", i + 1)
                                       : spec.name());
    SHOAL_RETURN_IF_ERROR(CheckPhaseLabels(spec));
    *phase.mutable_labels() = spec.labels();
    *phase.mutable_groups() = spec.groups();
    *phase.mutable_gate() = spec.gate();
    uint64_t here = threshold;
    switch (spec.size_case()) {
      case rollout::v1::PhaseSpec::kPercent: {
        const double percent = spec.percent();
        if (!(percent >= 0 && percent <= 100)) {
          return Bad(
              fmt::format("phase '{}': percent is 0 to 100", phase.name()));
        }
        if (percent == 100) {
          here = kAll;
        } else if (positions.empty()) {
          // Nobody is here yet: those who come are spread evenly.
          here = static_cast<uint64_t>(percent / 100 * kAll);
        } else {
          counted = std::max(counted, DevicesOf(percent, positions.size()));
          here = threshold_of(counted);
        }
        break;
      }
      case rollout::v1::PhaseSpec::kCount:
        counted += spec.count();
        here = last ? kAll : threshold_of(counted);
        break;
      case rollout::v1::PhaseSpec::SIZE_NOT_SET:
        if (last) {
          here = kAll;
        } else if (spec.labels().empty() && spec.groups().empty()) {
          return Bad(fmt::format(
              "phase '{}' has neither size, labels nor groups", phase.name()));
        }
        break;
    }
    if (here < threshold) {
      return Bad(fmt::format("phase '{}' is smaller than the one before it",
                             phase.name()));
    }
    threshold = here;
    phase.set_threshold(threshold);
  }
  if (threshold != kAll) {
    return Bad("the last phase must take all devices (100 percent)");
  }
  for (const rules::DeviceFacts& device : devices) {
    const int phase = rules::PhaseOf(document, device);
    if (phase < 0) continue;
    auto* entry = document.mutable_phases(phase);
    entry->set_expected_devices(entry->expected_devices() + 1);
  }
  SetSpread(request, document);
  document.set_rules_level(NeededLevel(document));
  SHOAL_RETURN_IF_ERROR(rules::ValidateRollout(document));
  SHOAL_RETURN_IF_ERROR(rules::CheckDocumentSize(document, RoomFor(document)));
  return document;
}

}  // namespace shoal::server
