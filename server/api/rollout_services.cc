#include <string>
#include <utility>

#include "server/api/edge.h"
#include "server/api/shared_progress.h"
#include "server/api/watch_stream.h"
#include "server/auth/access.h"
#include "server/release/deltas.h"
#include "server/rollout/explain.h"
#include "server/rollout/forecast.h"
#include "shoal/rollout/v1/rollout_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;

class RolloutsService final
    : public rollout::v1::Rollouts::WithCallbackMethod_WatchRollout<
          rollout::v1::Rollouts::Service> {
 public:
  explicit RolloutsService(const Edge& edge)
      : edge_(edge),
        progress_(*edge.parts().store, *edge.parts().rollouts),
        pump_(*edge.parts().store) {}

  grpc::Status CreateRollout(ServerContext* context,
                             const rollout::v1::CreateRolloutRequest* request,
                             rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.create",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().rollouts->Create(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status GetRollout(ServerContext* context,
                          const rollout::v1::GetRolloutRequest* request,
                          rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().rollouts->Get(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListRollouts(
      ServerContext* context, const rollout::v1::ListRolloutsRequest* request,
      rollout::v1::ListRolloutsResponse* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
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

  grpc::Status ListOutcomes(
      ServerContext* context, const rollout::v1::ListOutcomesRequest* request,
      rollout::v1::ListOutcomesResponse* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().rollouts->ListOutcomes(*request));
          return absl::OkStatus();
        });
  }

  grpc::ServerWriteReactor<rollout::v1::Rollout>* WatchRollout(
      grpc::CallbackServerContext* context,
      const rollout::v1::WatchRolloutRequest* request) override {
    using Stream = WatchStream<rollout::v1::Rollout>;
    return Stream::Open(
        edge_, pump_, context, *request, kAnyOperator,
        [&](const Caller&) -> absl::StatusOr<Stream::Source> {
          using Progress = SharedProgress::Progress;
          return [this, name = request->name(),
                  sent = std::shared_ptr<const Progress>()]() mutable
                 -> absl::StatusOr<Stream::Next> {
            SHOAL_ASSIGN_OR_RETURN(auto progress, progress_.Of(name));
            Stream::Next next;
            next.last = IsFinal(progress->rollout.state());
            // Deltas in the making change it without a new etag.
            if (sent == progress ||
                (sent != nullptr && sent->bytes == progress->bytes))
              return next;
            next.message = progress->rollout;
            sent = std::move(progress);
            return next;
          };
        });
  }

  grpc::Status ApprovePhase(ServerContext* context,
                            const rollout::v1::ApprovePhaseRequest* request,
                            rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.approve",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().rollouts->Approve(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status ActivateRollout(
      ServerContext* context,
      const rollout::v1::ActivateRolloutRequest* request,
      rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.approve",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().rollouts->Activate(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status PauseRollout(ServerContext* context,
                            const rollout::v1::PauseRolloutRequest* request,
                            rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.create",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().rollouts->Pause(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status ResumeRollout(ServerContext* context,
                             const rollout::v1::ResumeRolloutRequest* request,
                             rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.create",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response,
                            edge_.parts().rollouts->Resume(
                                *request, caller.audit_name(),
                                edge_.parts().access->Allows(
                                    caller, "rollout.halt", nullptr)));
                        return absl::OkStatus();
                      });
  }

  grpc::Status AbortRollout(ServerContext* context,
                            const rollout::v1::AbortRolloutRequest* request,
                            rollout::v1::Rollout* response) override {
    return edge_.Call(context, *request, "rollout.create",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().rollouts->Abort(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status PlanRollout(ServerContext* context,
                           const rollout::v1::PlanRolloutRequest* request,
                           rollout::v1::RolloutPlan* response) override {
    return edge_.Call(
        context, *request, "rollout.create",
        [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              const auto draft,
              edge_.parts().rollouts->MakeDraft(request->rollout()));
          SHOAL_ASSIGN_OR_RETURN(
              *response,
              Forecast(draft, *edge_.parts().deltas, *edge_.parts().rollouts,
                       edge_.parts().store->clock().WallNow()));
          return absl::OkStatus();
        });
  }

  grpc::Status ExplainRollout(ServerContext* context,
                              const rollout::v1::ExplainRolloutRequest* request,
                              rollout::v1::Explanation* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().explainer->Rollout(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ExplainDevice(ServerContext* context,
                             const rollout::v1::ExplainDeviceRequest* request,
                             rollout::v1::Explanation* response) override {
    return edge_.Call(
        context, *request, kAnyOperator, [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(
              *response, edge_.parts().explainer->Device(request->device(),
                                                         request->rollout()));
          return absl::OkStatus();
        });
  }

  grpc::Status HaltRollout(ServerContext* context,
                           const rollout::v1::HaltRolloutRequest* request,
                           rollout::v1::Rollout* response) override {
    return edge_.Call(
        context, *request, "rollout.halt",
        [&](const Caller& caller) -> absl::Status {
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
  SharedProgress progress_;
  WatchPump pump_;
};

}  // namespace

void AddRolloutServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<RolloutsService>(edge));
}

}  // namespace shoal::server
