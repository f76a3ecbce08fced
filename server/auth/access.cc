#include "server/auth/access.h"

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "fmt/format.h"

namespace shoal::server {
namespace {

// Refusals of one caller that are written at once, and the time after which
// one more is.
constexpr double kRefusalsAtOnce = 10;
constexpr absl::Duration kRefusalPause = absl::Minutes(1);
constexpr uint64_t kRefusalsKept = 1000;

}  // namespace

rules::LocalTime PlaneTime(absl::Time at) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  const absl::CivilMinute minute = absl::ToCivilMinute(at, utc);
  rules::LocalTime time;
  time.weekday = static_cast<int>(absl::GetWeekday(absl::CivilDay(minute))) + 1;
  time.minute = minute.hour() * 60 + minute.minute();
  return time;
}

absl::StatusOr<Caller> Access::Identify(std::string_view spki_sha256) const {
  if (spki_sha256.empty()) {
    return MakeError(absl::StatusCode::kUnauthenticated, "no_certificate",
                     "the client showed no certificate");
  }
  const auto view = trust_.View();
  const policy::v1::Operator* op =
      view ? rules::FindOperatorByTls(view->policy, spki_sha256) : nullptr;
  if (op == nullptr) {
    return MakeError(absl::StatusCode::kUnauthenticated, "unknown_operator",
                     "the client's key is not an operator's of the policy");
  }
  Caller caller;
  caller.name = op->name();
  caller.principal = rules::PrincipalOf(*op);
  return caller;
}

bool Access::Allows(const Caller& caller, std::string_view action,
                    const rules::DeviceFacts* device) const {
  return rules::Evaluate(trust_.View()->policy, caller.principal, action,
                         device, PlaneTime(store_.clock().WallNow()))
      .allowed;
}

absl::Status Access::Check(const Caller& caller, std::string_view action,
                           const rules::DeviceFacts* device) const {
  const rules::Decision decision =
      rules::Evaluate(trust_.View()->policy, caller.principal, action, device,
                      PlaneTime(store_.clock().WallNow()));
  if (decision.allowed) return absl::OkStatus();
  uint64_t left_out = 0;
  if (MayWrite(caller.audit_name(), left_out)) {
    const absl::Status audited = WriteRefusal(
        caller, action,
        left_out == 0 ? decision.explanation
                      : fmt::format("{}; {} more before it were not written",
                                    decision.explanation, left_out));
    if (!audited.ok()) LogError("audit_failed", {{"error", audited}});
  }
  return PermissionDenied("permission_denied", decision.explanation);
}

bool Access::MayWrite(const std::string& caller, uint64_t& left_out) const {
  const absl::Duration now = store_.clock().MonotonicNow();
  std::lock_guard lock(mutex_);
  const auto [it, first] =
      refused_.try_emplace(caller, Refused{kRefusalsAtOnce, now});
  Refused& refused = it->second;
  refused.may_write =
      std::min(kRefusalsAtOnce,
               refused.may_write +
                   absl::FDivDuration(now - refused.since, kRefusalPause));
  refused.since = now;
  if (refused.may_write < 1) {
    ++refused.left_out;
    return false;
  }
  refused.may_write -= 1;
  left_out = std::exchange(refused.left_out, 0);
  return true;
}

absl::Status Access::WriteRefusal(const Caller& caller, std::string_view action,
                                  std::string_view detail) const {
  const std::string ring = caller.audit_name() + "/";
  Transaction tx(store_);
  tx.Audit(caller.audit_name(), action, "", "permission_denied", detail);
  SHOAL_ASSIGN_OR_RETURN(const uint64_t row, tx.CurrentSequence(kAudit));
  // The ring's hand lies beside its places.
  SHOAL_ASSIGN_OR_RETURN(const auto hand, tx.GetRaw(kRefusals, ring));
  const uint64_t at = hand ? ReadBigEndian(*hand, 8) : 0;
  const std::string place = ring + SequenceKey(at % kRefusalsKept);
  SHOAL_ASSIGN_OR_RETURN(const auto oldest, tx.GetRaw(kRefusals, place));
  if (oldest) tx.Delete(kAudit, *oldest);
  tx.PutRaw(kRefusals, place, SequenceKey(row));
  tx.PutRaw(kRefusals, ring, SequenceKey(at + 1));
  return tx.Commit();
}

absl::StatusOr<rules::Decision> Access::Explain(
    const std::string& name, const std::string& action,
    const rules::DeviceFacts* device) const {
  const auto view = trust_.View();
  rules::Principal principal;
  constexpr std::string_view kOperator = "operator:";
  if (name == "director") {
    principal.director = true;
  } else if (name.rfind(kOperator, 0) == 0) {
    principal.operator_name = name.substr(kOperator.size());
    bool found = false;
    for (const policy::v1::Operator& op : view->policy.operators()) {
      if (op.name() != principal.operator_name) continue;
      principal = rules::PrincipalOf(op);
      found = true;
    }
    if (!found) return NotFound("not_found", "the policy has no " + name);
  } else {
    return InvalidArgument("bad_request",
                           "principal is 'operator:NAME' or 'director'");
  }
  return rules::Evaluate(view->policy, principal, action, device,
                         PlaneTime(store_.clock().WallNow()));
}

}  // namespace shoal::server
