// The access policy: who may do what on which device. The same code answers in
// the API and on the device; the device's answer is final. Default deny.
#ifndef SHOAL_RULES_ACCESS_H_
#define SHOAL_RULES_ACCESS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rules/facts.h"
#include "shoal/policy/v1/policy.pb.h"

namespace shoal::rules {

// The management plane itself, or an operator of the policy.
struct Principal {
  bool director = false;
  std::string operator_name;
  std::vector<std::string> roles;
};

struct Decision {
  bool allowed = false;
  // Allowed, but somebody at the device must consent first.
  bool needs_consent = false;
  // Allowed, but so many operators must have signed it (rules/approval.h).
  uint32_t approvals = 0;
  std::string rule;         // name of the rule that allows
  std::string explanation;  // for people
};

// `device` null: an action on the plane. A rule without a device selector is
// about the plane only, one with a selector about devices only.
Decision Evaluate(const policy::v1::AccessPolicy& policy,
                  const Principal& principal, std::string_view action,
                  const DeviceFacts* device, const LocalTime& time);

// The device's facts as access rules may see them: labels from the policy.
DeviceFacts FactsFromPolicy(const policy::v1::AccessPolicy& policy,
                            std::string_view device_id,
                            std::string_view device_type);

// The operator with this ed25519 key (32 bytes), or this TLS key digest (32
// bytes); null when there is none or the key is revoked.
const policy::v1::Operator* FindOperatorByKey(
    const policy::v1::AccessPolicy& policy, std::string_view public_key);
const policy::v1::Operator* FindOperatorByTls(
    const policy::v1::AccessPolicy& policy, std::string_view spki_sha256);
Principal PrincipalOf(const policy::v1::Operator& op);

// Parses proto3 JSON of at most 65,536 bytes (unknown fields refused) and
// validates it. kInvalidArgument "bad_policy" says what is wrong and where.
absl::StatusOr<policy::v1::AccessPolicy> ParsePolicy(std::string_view json);
absl::Status ValidatePolicy(const policy::v1::AccessPolicy& policy);

}  // namespace shoal::rules

#endif  // SHOAL_RULES_ACCESS_H_
