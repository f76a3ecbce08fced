// Nodes, policies, trust and telemetry.
#include <map>
#include <string>
#include <utility>

#include "common/bytes.h"
#include "server/api/edge.h"
#include "server/store/state.pb.h"
#include "shoal/fleet/v1/node_service.grpc.pb.h"
#include "shoal/policy/v1/policy_service.grpc.pb.h"
#include "shoal/telemetry/v1/telemetry_service.grpc.pb.h"
#include "shoal/trust/v1/trust_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;
using grpc::ServerWriter;

constexpr absl::Duration kWatchTick = absl::Milliseconds(500);
constexpr size_t kMaxPublishBytes = 5'000'000;

class NodesService final : public fleet::v1::Nodes::Service {
 public:
  explicit NodesService(const Edge& edge) : edge_(edge) {}

  grpc::Status EnrollNode(ServerContext* context,
                          const fleet::v1::EnrollNodeRequest* request,
                          fleet::v1::EnrollNodeResponse* response) override {
    return edge_.Call(
        context, *request, "node.enroll",
        [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response->mutable_bundle(),
              edge_.parts().nodes->Enroll(*request, caller.audit_name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListNodes(ServerContext* context,
                         const fleet::v1::ListNodesRequest*,
                         fleet::v1::ListNodesResponse* response) override {
    return edge_.Call(
        context, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response->mutable_directory(),
                                 edge_.parts().nodes->Directory());
          return absl::OkStatus();
        });
  }

  grpc::Status GetNetwork(ServerContext* context,
                          const fleet::v1::GetNetworkRequest* request,
                          fleet::v1::GetNetworkResponse* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().nodes->Network(request->log_size()));
          return absl::OkStatus();
        });
  }

 private:
  const Edge& edge_;
};

class PoliciesService final : public policy::v1::Policies::Service {
 public:
  explicit PoliciesService(const Edge& edge) : edge_(edge) {}

  grpc::Status GetPolicy(ServerContext* context,
                         const policy::v1::GetPolicyRequest*,
                         policy::v1::GetPolicyResponse* response) override {
    return edge_.Call(context, kAnyOperator,
                      [&](const Caller&) -> absl::Status {
                        const auto view = edge_.parts().trust->View();
                        *response->mutable_policy() = view->policy;
                        response->set_sha256(HexEncode(view->policy_sha256));
                        const auto version = view->versions.find("policy");
                        if (version != view->versions.end()) {
                          response->set_metadata_version(version->second);
                        }
                        return absl::OkStatus();
                      });
  }

  grpc::Status TestPolicy(ServerContext* context,
                          const policy::v1::TestPolicyRequest* request,
                          policy::v1::TestPolicyResponse* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          rules::DeviceFacts facts;
          const bool device = !request->device().empty();
          if (device) {
            SHOAL_ASSIGN_OR_RETURN(
                auto found, edge_.parts().devices->Get(request->device()));
            SHOAL_ASSIGN_OR_RETURN(std::string key, DeviceKey(found.name()));
            SHOAL_ASSIGN_OR_RETURN(std::string id, HexDecode(key));
            facts = rules::FactsFromPolicy(edge_.parts().trust->View()->policy,
                                           id, found.device_type());
          }
          SHOAL_ASSIGN_OR_RETURN(rules::Decision decision,
                                 edge_.parts().access->Explain(
                                     request->principal(), request->action(),
                                     device ? &facts : nullptr));
          response->set_allowed(decision.allowed);
          response->set_explanation(decision.explanation);
          return absl::OkStatus();
        });
  }

 private:
  const Edge& edge_;
};

class TrustService final : public trust::v1::Trust::Service {
 public:
  explicit TrustService(const Edge& edge) : edge_(edge) {}

  grpc::Status Publish(ServerContext* context,
                       const trust::v1::PublishRequest* request,
                       trust::v1::PublishResponse* response) override {
    return edge_.Call(
        context, *request, "policy.publish",
        [&](const Caller& caller) -> absl::Status {
          if (request->ByteSizeLong() > kMaxPublishBytes) {
            return ResourceExhausted("request_too_large",
                                     "more than 5 MB in one request");
          }
          const ApiParts& parts = edge_.parts();
          RepositoryChange change;
          change.metadata = {request->metadata().begin(),
                             request->metadata().end()};
          change.documents = {request->documents().begin(),
                              request->documents().end()};
          const absl::Status applied = parts.trust->Apply(
              change,
              [&](Transaction& tx, const TrustRepository::Changed& changed,
                  const TrustView& view) -> absl::Status {
                std::string names;
                for (const auto& [name, bytes] : changed.metadata) {
                  names += (names.empty() ? "" : " ") + name;
                }
                tx.Audit(caller.audit_name(), "policy.publish", "trust", "ok",
                         names);
                return parts.publisher->AddPublication(tx, changed, view);
              });
          SHOAL_RETURN_IF_ERROR(applied);
          SHOAL_RETURN_IF_ERROR(parts.releases->SyncTree());
          for (const auto& [role, version] : parts.trust->View()->versions) {
            (*response->mutable_versions())[role] = version;
          }
          return absl::OkStatus();
        });
  }

  grpc::Status GetTrust(ServerContext* context,
                        const trust::v1::GetTrustRequest*,
                        trust::v1::GetTrustResponse* response) override {
    return edge_.Call(
        context, kAnyOperator, [&](const Caller&) -> absl::Status {
          const auto view = edge_.parts().trust->View();
          response->set_fleet_id(HexEncode(view->fleet.fleet_id));
          for (const auto& [role, version] : view->versions) {
            (*response->mutable_versions())[role] = version;
          }
          response->set_timestamp_expires(
              absl::ToUnixSeconds(view->timestamp_expires));
          SHOAL_ASSIGN_OR_RETURN(*response->mutable_device_ca_certificate(),
                                 edge_.parts().enrolment->CaCertificate());
          return absl::OkStatus();
        });
  }

 private:
  const Edge& edge_;
};

class TelemetryService final : public telemetry::v1::Telemetry::Service {
 public:
  explicit TelemetryService(const Edge& edge) : edge_(edge) {}

  grpc::Status TailTelemetry(
      ServerContext* context,
      const telemetry::v1::TailTelemetryRequest* request,
      ServerWriter<telemetry::v1::TailTelemetryResponse>* writer) override {
    // The rule is about devices: each batch is judged by its own.
    return edge_.Watch(
        context, *request, kAnyOperator,
        [&](const Caller& caller) -> absl::Status {
          const ApiParts& parts = edge_.parts();
          Edge::Admission admission{kAnyOperator, 0, caller};
          std::string device;
          if (!request->device().empty()) {
            SHOAL_ASSIGN_OR_RETURN(std::string key,
                                   DeviceKey(request->device()));
            SHOAL_ASSIGN_OR_RETURN(device, HexDecode(key));
            SHOAL_ASSIGN_OR_RETURN(rules::DeviceFacts facts, FactsOfId(key));
            SHOAL_RETURN_IF_ERROR(
                parts.access->Check(caller, "telemetry.read", &facts));
          }
          uint64_t after = request->after();
          if (request->last() > 0) {
            SHOAL_ASSIGN_OR_RETURN(uint64_t from, parts.telemetry->CursorOfLast(
                                                      request->last(), device));
            after = std::max(after, from);
          }
          while (!context->IsCancelled() && !parts.store->shut_down()) {
            const uint64_t revision = parts.store->revision();
            SHOAL_RETURN_IF_ERROR(edge_.Readmit(*context, admission));
            std::map<std::string, bool> allowed;
            bool open = true;
            SHOAL_RETURN_IF_ERROR(parts.telemetry->Read(
                after, device,
                [&](const telemetry::v1::TailTelemetryResponse& response) {
                  after = response.cursor();
                  auto [it, first] = allowed.emplace(response.device(), false);
                  if (first) {
                    auto facts = FactsOfId(response.device().substr(8));
                    it->second = facts.ok() && parts.access->Allows(
                                                   admission.caller,
                                                   "telemetry.read", &*facts);
                  }
                  if (it->second) open = writer->Write(response);
                  return open;
                }));
            if (!open || !request->follow()) break;
            parts.store->WaitForChange(revision, kWatchTick);
          }
          return absl::OkStatus();
        });
  }

  grpc::Status GetTelemetryStatus(
      ServerContext* context, const telemetry::v1::GetTelemetryStatusRequest*,
      telemetry::v1::GetTelemetryStatusResponse* response) override {
    return edge_.Call(
        context, kAnyOperator, [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(auto status,
                                 edge_.parts().telemetry->Status());
          for (const auto& stream : status.streams()) {
            auto facts = FactsOfId(stream.device().substr(8));
            if (facts.ok() && edge_.parts().access->Allows(
                                  caller, "telemetry.read", &*facts)) {
              *response->add_streams() = stream;
            }
          }
          return absl::OkStatus();
        });
  }

 private:
  absl::StatusOr<rules::DeviceFacts> FactsOfId(const std::string& key) const {
    SHOAL_ASSIGN_OR_RETURN(
        auto row, edge_.parts().store->Get<store::DeviceRow>(kDevices, key));
    return rules::FactsFromPolicy(edge_.parts().trust->View()->policy,
                                  row.assignment().device_id(),
                                  row.device().device_type());
  }
  const Edge& edge_;
};

}  // namespace

void AddFleetServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<NodesService>(edge));
  services.push_back(std::make_unique<PoliciesService>(edge));
  services.push_back(std::make_unique<TrustService>(edge));
  services.push_back(std::make_unique<TelemetryService>(edge));
}

}  // namespace shoal::server
