#include <string>
#include <utility>

#include "server/api/edge.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;

constexpr absl::Duration kWatchTick = absl::Milliseconds(500);

class RolloutsService final : public rollout::v1::Rollouts::Service {
 public:
  explicit RolloutsService(const Edge& edge) : edge_(edge) {}

  grpc::Status CreateRollout(ServerContext* context,
                             const rollout::v1::CreateRolloutRequest* request,
                             rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, "rollout.create", [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response, edge_.parts().rollouts->Create(
                                                *request, caller.audit_name()));
          return absl::OkStatus();
        });
  }

  grpc::Status GetRollout(ServerContext* context,
                          const rollout::v1::GetRolloutRequest* request,
                          rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().rollouts->Get(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListRollouts(
      ServerContext* context, const rollout::v1::ListRolloutsRequest* request,
      rollout::v1::ListRolloutsResponse* response) override {
    return edge_.Call(
        context, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              auto page, edge_.parts().rollouts->List(request->page_size(),
                                                      request->page_token()));
          for (auto& rollout : page.rollouts) {
            *response->add_rollouts() = std::move(rollout);
          }
          response->set_next_page_token(page.next_page_token);
          return absl::OkStatus();
        });
  }

  grpc::Status WatchRollout(
      ServerContext* context, const rollout::v1::WatchRolloutRequest* request,
      grpc::ServerWriter<rollout::v1::Rollout>* writer) override {
    return edge_.Watch(
        context, kAnyOperator, [&](const Caller&) -> absl::Status {
          const Store& store = *edge_.parts().store;
          std::string sent;
          while (!context->IsCancelled() && !store.shut_down()) {
            const uint64_t revision = store.revision();
            SHOAL_ASSIGN_OR_RETURN(
                auto rollout, edge_.parts().rollouts->Get(request->name()));
            // Deltas in the making change it without a new etag.
            std::string bytes = rollout.SerializeAsString();
            if (bytes != sent) {
              if (!writer->Write(rollout)) return absl::OkStatus();
              sent = std::move(bytes);
            }
            if (IsFinal(rollout.state())) return absl::OkStatus();
            store.WaitForChange(revision, kWatchTick);
          }
          return absl::OkStatus();
        });
  }

  grpc::Status ApprovePhase(ServerContext* context,
                            const rollout::v1::ApprovePhaseRequest* request,
                            rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, "rollout.approve", [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().rollouts->Approve(
                             request->name(), request->phase(), request->etag(),
                             caller.audit_name()));
          return absl::OkStatus();
        });
  }

  grpc::Status HaltRollout(ServerContext* context,
                           const rollout::v1::HaltRolloutRequest* request,
                           rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, "rollout.halt", [&](const Caller& caller) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              dht::VerifiedRecord record,
              edge_.parts().intake->Verify(request->halt_record()));
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().rollouts->Halt(request->name(), record,
                                                      caller.audit_name()));
          return absl::OkStatus();
        });
  }

 private:
  const Edge& edge_;
};

}  // namespace

void AddRolloutServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<RolloutsService>(edge));
}

}  // namespace shoal::server
