#include "server/auth/access.h"

#include "common/log.h"

namespace shoal::server {
namespace {

rules::LocalTime PlaneTime(Clock& clock) {
  // Windows of rules about the plane count in UTC: a fleet spans time zones.
  const absl::TimeZone utc = absl::UTCTimeZone();
  const absl::CivilMinute minute = absl::ToCivilMinute(clock.WallNow(), utc);
  rules::LocalTime time;
  time.weekday = static_cast<int>(absl::GetWeekday(absl::CivilDay(minute))) + 1;
  time.minute = minute.hour() * 60 + minute.minute();
  return time;
}

}  // namespace

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
                         device, PlaneTime(store_.clock()))
      .allowed;
}

absl::Status Access::Check(const Caller& caller, std::string_view action,
                           const rules::DeviceFacts* device) const {
  const rules::Decision decision =
      rules::Evaluate(trust_.View()->policy, caller.principal, action, device,
                      PlaneTime(store_.clock()));
  if (decision.allowed) return absl::OkStatus();
  Transaction tx(store_);
  tx.Audit(caller.audit_name(), action, "", "permission_denied",
           decision.explanation);
  const absl::Status audited = tx.Commit();
  if (!audited.ok()) LogError("audit_failed", {{"error", audited}});
  return PermissionDenied("permission_denied", decision.explanation);
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
                         PlaneTime(store_.clock()));
}

}  // namespace shoal::server
