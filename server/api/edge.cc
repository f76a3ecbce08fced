#include "server/api/edge.h"

#include <map>
#include <string>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/x509.h"
#include "common/log.h"
#include "common/status.h"
#include "server/api/error_status.h"
#include "server/fleet/filter/filter.h"

namespace shoal::server {
namespace {

constexpr char kRequestIdKey[] = "shoal-request-id";
constexpr size_t kMaxRequestId = 64;

}  // namespace

absl::StatusOr<Caller> Edge::Identify(
    const grpc::ServerContextBase& context) const {
  // The certificate is not checked against a CA: its key alone counts, and
  // the TLS handshake has proved that the client holds it.
  std::string spki;
  const auto auth = context.auth_context();
  if (auth) {
    const auto certificates = auth->FindPropertyValues("x509_pem_cert");
    if (!certificates.empty()) {
      const auto digest = crypto::SpkiSha256(std::string_view(
          certificates.front().data(), certificates.front().size()));
      if (digest.ok()) spki = *digest;
    }
  }
  return parts_.access->Identify(spki);
}

absl::Status Edge::Check(const Caller& caller, std::string_view action) const {
  return action.empty() ? absl::OkStatus()
                        : parts_.access->Check(caller, action);
}

uint64_t Edge::PolicyVersion() const {
  const auto view = parts_.trust->View();
  return view ? view->policy.version() : 0;
}

absl::Status Edge::Readmit(const grpc::ServerContextBase& context,
                           Admission& admission) const {
  const uint64_t version = PolicyVersion();
  if (version == admission.policy_version) return absl::OkStatus();
  SHOAL_ASSIGN_OR_RETURN(Caller caller, Identify(context));
  SHOAL_RETURN_IF_ERROR(Check(caller, admission.action));
  admission.policy_version = version;
  admission.caller = std::move(caller);
  return absl::OkStatus();
}

std::string Edge::RequestId(grpc::ServerContextBase& context) {
  std::string id;
  const auto given = context.client_metadata().find(kRequestIdKey);
  if (given != context.client_metadata().end() &&
      given->second.size() <= kMaxRequestId) {
    id.assign(given->second.data(), given->second.size());
  }
  if (!IsIdentifier(id)) id = HexEncode(crypto::RandomBytes(8));
  context.AddTrailingMetadata(kRequestIdKey, id);
  return id;
}

grpc::Status Edge::Answer(grpc::ServerContextBase& context,
                          std::string_view caller, std::string_view action,
                          const absl::Status& status) {
  if (status.ok()) {
    LogDebug("call", {{"action", action}, {"caller", caller}});
    return grpc::Status::OK;
  }
  context.AddTrailingMetadata("shoal-reason", ReasonOf(status));
  if (absl::IsInternal(status) || absl::IsDataLoss(status)) {
    LogError("call_failed",
             {{"action", action}, {"caller", caller}, {"error", status}});
  } else {
    LogInfo("call_refused",
            {{"action", action}, {"caller", caller}, {"error", status}});
  }
  std::map<std::string, std::string> metadata;
  if (const auto position = FilterErrorPosition(status)) {
    metadata["position"] = std::to_string(*position);
  }
  return ErrorStatus(static_cast<grpc::StatusCode>(status.code()),
                     std::string(status.message()), ReasonOf(status), metadata);
}

}  // namespace shoal::server
