// What a rollout's document may say at all: the limits of
// proto/shoal/rollout/v1/document.proto.
#include <fmt/format.h>

#include <set>
#include <string_view>

#include "common/bytes.h"
#include "common/status.h"
#include "rules/calendar.h"
#include "rules/parallel.h"
#include "rules/rollout.h"
#include "rules/selector.h"

namespace shoal::rules {
namespace {

using rollout::v1::Gate;
using rollout::v1::Phase;
using rollout::v1::RolloutDocument;

constexpr int kMaxPhases = 32;
constexpr int kMaxWindows = 32;
constexpr int64_t kThirtyDaysMs = int64_t{30} * 24 * 3600 * 1000;
constexpr int64_t kYear9999Ms = 253'402'300'799'999;
constexpr uint32_t kMaxAttempts = 10;
constexpr int kMaxGroups = 64;
constexpr size_t kMaxLiftedHalts = 64;
constexpr int kMaxPrevious = 8;
constexpr int kMaxApprovals = 64;
constexpr uint32_t kMaxAccepted = 10'000'000;

absl::Status Bad(const std::string& what) {
  return InvalidArgument("bad_rollout", what);
}

absl::Status ValidateGate(const std::string& phase, const Gate& gate) {
  const auto bad = [&phase](const std::string& what) {
    return Bad(fmt::format("phase {}: {}", phase, what));
  };
  if (gate.soak_ms() < 0 || gate.soak_ms() > kThirtyDaysMs)
    return bad("soak is from 0 to 30 days");
  if (gate.settle_ms() < 0 || gate.settle_ms() > kThirtyDaysMs)
    return bad("settle is from 0 to 30 days");
  if (gate.success_permille() > 1000)
    return bad("success_permille is at most 1000");
  if (gate.approvals() > 16) return bad("at most 16 approvals");
  if (gate.approvers_size() > 64) return bad("at most 64 approvers");
  if (!gate.manual() && (gate.approvals() > 0 || gate.approvers_size() > 0))
    return bad("approvals and approvers are of a manual gate");
  std::set<std::string_view> names;
  for (const std::string& name : gate.approvers()) {
    if (!IsIdentifier(name))
      return bad(fmt::format("\"{}\" is not an operator's name", name));
    if (!names.insert(name).second)
      return bad(fmt::format("approver {} stands there twice", name));
  }
  if (!names.empty() && gate.approvals() > names.size())
    return bad(fmt::format("{} approvals of {} approvers", gate.approvals(),
                           names.size()));
  return absl::OkStatus();
}

absl::Status ValidateRetry(const rollout::v1::RetryPolicy& retry) {
  if (retry.max_attempts() > kMaxAttempts)
    return Bad(fmt::format("at most {} attempts", kMaxAttempts));
  if (retry.backoff_ms() < 0) return Bad("backoff is negative");
  if (retry.max_backoff_ms() < 0 || retry.max_backoff_ms() > kThirtyDaysMs)
    return Bad("max_backoff is from 0 to 30 days");
  if (retry.max_backoff_ms() > 0 && retry.max_backoff_ms() < retry.backoff_ms())
    return Bad("max_backoff is less than the first pause");
  return absl::OkStatus();
}

absl::Status ValidateActivation(const rollout::v1::Activation& activation) {
  if (activation.windows_size() > kMaxWindows)
    return Bad(fmt::format("at most {} activation windows", kMaxWindows));
  for (const auto& window : activation.windows())
    SHOAL_RETURN_IF_ERROR(ValidateWindow(window));
  if (activation.not_before() < 0) return Bad("not_before is negative");
  if (activation.released() && !activation.hold())
    return Bad("only what is held can be released");
  return absl::OkStatus();
}

absl::Status ValidatePhases(const RolloutDocument& document) {
  if (document.phases().empty() || document.phases_size() > kMaxPhases)
    return Bad(fmt::format("a rollout has 1 to {} phases", kMaxPhases));
  uint64_t last = 0;
  std::set<std::string_view> names;
  for (const Phase& phase : document.phases()) {
    if (!IsIdentifier(phase.name()))
      return Bad(
          fmt::format("phase name \"{}\" is not an identifier", phase.name()));
    if (!names.insert(phase.name()).second)
      return Bad(fmt::format("two phases are named \"{}\"", phase.name()));
    if (phase.threshold() < last || phase.threshold() > kEveryPosition)
      return Bad(
          fmt::format("phase {}: thresholds never fall and are at most "
                      "2^32",
                      phase.name()));
    last = phase.threshold();
    const Gate& gate = phase.gate();
    SHOAL_RETURN_IF_ERROR(ValidateGate(phase.name(), gate));
    if (phase.groups_size() > kMaxGroups)
      return Bad(
          fmt::format("phase {}: at most {} groups", phase.name(), kMaxGroups));
    for (const std::string& group : phase.groups())
      if (!IsIdentifier(group))
        return Bad(fmt::format("phase {}: \"{}\" is not a group's id",
                               phase.name(), group));
  }
  if (last != kEveryPosition)
    return Bad(
        "the last phase must include every selected device "
        "(threshold 2^32)");
  if (document.open_phase() >= static_cast<uint32_t>(document.phases_size()))
    return Bad("open_phase is not one of the phases");
  return absl::OkStatus();
}

absl::Status ValidateWayBack(const RolloutDocument& document) {
  if (document.previous_size() > kMaxPrevious)
    return Bad(fmt::format("at most {} previous releases", kMaxPrevious));
  if (document.previous_size() > 0 && document.only_running_sha256().empty())
    return Bad("previous releases are of a rollout that leads back");
  std::set<std::string_view> images = {document.release().sha256()};
  for (const auto& previous : document.previous()) {
    if (previous.sha256().size() != 32 || previous.image_target().empty() ||
        previous.length() == 0)
      return Bad("a previous release needs image target, sha256 and length");
    if (!images.insert(previous.sha256()).second)
      return Bad("two of the releases have one image");
  }
  if (!document.leads_back_from().empty() &&
      !IsIdentifier(document.leads_back_from()))
    return Bad("leads_back_from is not an identifier");
  return absl::OkStatus();
}

absl::Status ValidateApprovals(const RolloutDocument& document) {
  if (document.approvals_size() > kMaxApprovals)
    return Bad(fmt::format("at most {} approvals", kMaxApprovals));
  for (const auto& approval : document.approvals()) {
    if (approval.phase() >= static_cast<uint32_t>(document.phases_size()) ||
        approval.operator_key().size() != 32 ||
        approval.signature().size() != 64)
      return Bad("an approval names a phase, a key and a signature");
  }
  return absl::OkStatus();
}

absl::Status ValidateAccepted(const RolloutDocument& document) {
  std::set<uint32_t> phases;
  for (const auto& entry : document.accepted_failures()) {
    if (entry.phase() >= static_cast<uint32_t>(document.phases_size()) ||
        !phases.insert(entry.phase()).second)
      return Bad("accepted failures are of one of the phases, once");
    if (entry.count() == 0 || entry.count() > kMaxAccepted ||
        entry.until() < 0 || entry.until() > kYear9999Ms)
      return Bad("accepted failures have a number and a time");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateRollout(const RolloutDocument& document) {
  if (!IsIdentifier(document.id()))
    return Bad(fmt::format("id \"{}\" is not an identifier", document.id()));
  if (document.version() == 0) return Bad("version must be at least 1");
  if (document.fleet().size() != 32) return Bad("fleet must be 32 bytes");
  if (!IsIdentifier(document.device_type()))
    return Bad(fmt::format("device type \"{}\" is not an identifier",
                           document.device_type()));
  if (document.release().sha256().size() != 32 ||
      document.release().image_target().empty() ||
      document.release().length() == 0)
    return Bad("the release needs image target, sha256 and length");
  if (document.error_threshold_permille() > 1000)
    return Bad("error_threshold_permille is at most 1000");
  SHOAL_RETURN_IF_ERROR(ValidateRetry(document.retry()));
  SHOAL_RETURN_IF_ERROR(ValidateSelector(document.selector()));
  if (document.windows_size() > kMaxWindows)
    return Bad(fmt::format("at most {} windows", kMaxWindows));
  for (const auto& window : document.windows())
    SHOAL_RETURN_IF_ERROR(ValidateWindow(window));
  SHOAL_RETURN_IF_ERROR(ValidateActivation(document.activation()));
  SHOAL_RETURN_IF_ERROR(ValidateCalendar(
      document.calendar(),
      document.windows_size() > 0 || document.activation().windows_size() > 0));
  if (document.bandwidth().max_bytes_per_second() > 0 &&
      document.bandwidth().max_bytes_per_second() < 4096)
    return Bad("max_bytes_per_second is 0 or at least 4,096");
  if (document.has_parallel())
    SHOAL_RETURN_IF_ERROR(ValidateParallel(document.parallel()));
  if (document.opened_at() < 0 || document.opened_at() > kYear9999Ms)
    return Bad("opened_at is no time");
  if (document.deadline() < 0) return Bad("deadline is negative");
  if (document.deadline() > 0 && document.expires() > 0 &&
      document.deadline() >= document.expires())
    return Bad("the deadline must lie before the expiry");
  if (!rollout::v1::RolloutPriority_IsValid(document.priority()))
    return Bad("there is no such priority");
  if (!document.only_running_sha256().empty() &&
      document.only_running_sha256().size() != 32)
    return Bad("only_running_sha256 is 32 bytes");
  if (document.lost_after_seconds() != 0 &&
      (document.lost_after_seconds() < 60 ||
       document.lost_after_seconds() > 31'536'000))
    return Bad("lost_after_seconds is 60 to 31,536,000");
  if (static_cast<size_t>(document.lifted_halts_size()) > kMaxLiftedHalts)
    return Bad(fmt::format("at most {} lifted halts", kMaxLiftedHalts));
  SHOAL_RETURN_IF_ERROR(ValidateWayBack(document));
  SHOAL_RETURN_IF_ERROR(ValidateApprovals(document));
  SHOAL_RETURN_IF_ERROR(ValidateAccepted(document));
  return ValidatePhases(document);
}

absl::Status CheckDocumentSize(const RolloutDocument& document, size_t room) {
  const size_t size = document.ByteSizeLong();
  if (size + room <= kMaxDocumentBytes) return absl::OkStatus();
  return FailedPrecondition(
      "document_too_large",
      fmt::format("the document of rollout {} would have {} bytes and need "
                  "room for {} more; devices read none above {}",
                  document.id(), size, room, kMaxDocumentBytes));
}

}  // namespace shoal::rules
