// Who calls, and whether it may: the TLS key of the client is looked up in the
// signed policy, and every action is judged by the same rules that devices
// use. Refusals are written to the audit log: of each caller the first ones and
// then one a minute, with the number of those that were left out, and of the
// written ones the newest 1,000 are kept. A caller who is refused may call as
// often as it likes, and each row costs an fsync.
#ifndef SHOAL_SERVER_AUTH_ACCESS_H_
#define SHOAL_SERVER_AUTH_ACCESS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "rules/access.h"
#include "server/store/store.h"
#include "server/trust/repository.h"

namespace shoal::server {

// By which windows of rules about the plane count: UTC, since a fleet spans
// time zones.
rules::LocalTime PlaneTime(absl::Time at);

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
  struct Refused {
    double may_write;  // so many at once
    absl::Duration since;
    uint64_t left_out = 0;
  };
  // Whether this one is written; sets how many before it were not.
  bool MayWrite(const std::string& caller, uint64_t& left_out) const;
  absl::Status WriteRefusal(const Caller& caller, std::string_view action,
                            std::string_view detail) const;

  Store& store_;
  const TrustRepository& trust_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, Refused> refused_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_AUTH_ACCESS_H_
