// Who calls, and whether it may: the TLS key of the client is looked up in the
// signed policy, and every action is judged by the same rules that devices
// use. Refusals are written to the audit log.
#ifndef SHOAL_SERVER_AUTH_ACCESS_H_
#define SHOAL_SERVER_AUTH_ACCESS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rules/access.h"
#include "server/store/store.h"
#include "server/trust/repository.h"

namespace shoal::server {

struct Caller {
  std::string name;  // of the operator
  rules::Principal principal;
  std::string audit_name() const { return "operator:" + name; }
};

// Thread-safe.
class Access {
 public:
  Access(Store& store, const TrustRepository& trust)
      : store_(store), trust_(trust) {}

  // `spki_sha256`: of the client's certificate; empty: it showed none.
  // kUnauthenticated "no_certificate", "unknown_operator".
  absl::StatusOr<Caller> Identify(std::string_view spki_sha256) const;

  // kPermissionDenied "permission_denied" with the rules' explanation.
  // `device`: null for an action on the plane.
  absl::Status Check(const Caller& caller, std::string_view action,
                     const rules::DeviceFacts* device = nullptr) const;
  // Without a trace: to filter lists.
  bool Allows(const Caller& caller, std::string_view action,
              const rules::DeviceFacts* device) const;
  // For Policies/TestPolicy. `principal`: "operator:NAME" or "director".
  absl::StatusOr<rules::Decision> Explain(
      const std::string& principal, const std::string& action,
      const rules::DeviceFacts* device) const;

 private:
  Store& store_;
  const TrustRepository& trust_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_AUTH_ACCESS_H_
