// Groups.
#include "server/api/edge.h"
#include "shoal/fleet/v1/group_service.grpc.pb.h"

namespace shoal::server {
namespace {

using grpc::ServerContext;

class GroupsService final : public fleet::v1::Groups::Service {
 public:
  explicit GroupsService(const Edge& edge) : edge_(edge) {}

  grpc::Status CreateGroup(ServerContext* context,
                           const fleet::v1::CreateGroupRequest* request,
                           fleet::v1::Group* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->Create(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status GetGroup(ServerContext* context,
                        const fleet::v1::GetGroupRequest* request,
                        fleet::v1::Group* response) override {
    return edge_.Call(
        context, *request, "device.read", [&](const Caller&) -> absl::Status {
          SHOAL_ASSIGN_OR_RETURN(*response,
                                 edge_.parts().groups->Get(request->name()));
          return absl::OkStatus();
        });
  }

  grpc::Status ListGroups(ServerContext* context,
                          const fleet::v1::ListGroupsRequest* request,
                          fleet::v1::ListGroupsResponse* response) override {
    return edge_.Call(context, *request, "device.read",
                      [&](const Caller&) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->List(*request));
                        return absl::OkStatus();
                      });
  }

  grpc::Status UpdateGroup(ServerContext* context,
                           const fleet::v1::UpdateGroupRequest* request,
                           fleet::v1::Group* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->Update(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status DeleteGroup(ServerContext* context,
                           const fleet::v1::DeleteGroupRequest* request,
                           fleet::v1::Group* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->Delete(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status ListGroupMembers(
      ServerContext* context, const fleet::v1::ListGroupMembersRequest* request,
      fleet::v1::ListGroupMembersResponse* response) override {
    return edge_.Call(context, *request, "device.read",
                      [&](const Caller&) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->Members(*request));
                        return absl::OkStatus();
                      });
  }

  grpc::Status AddGroupMembers(ServerContext* context,
                               const fleet::v1::AddGroupMembersRequest* request,
                               fleet::v1::Group* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->AddMembers(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

  grpc::Status RemoveGroupMembers(
      ServerContext* context,
      const fleet::v1::RemoveGroupMembersRequest* request,
      fleet::v1::Group* response) override {
    return edge_.Call(context, *request, "device.label",
                      [&](const Caller& caller) -> absl::Status {
                        SHOAL_ASSIGN_OR_RETURN(
                            *response, edge_.parts().groups->RemoveMembers(
                                           *request, caller.audit_name()));
                        return absl::OkStatus();
                      });
  }

 private:
  const Edge& edge_;
};

}  // namespace

void AddGroupServices(const Edge& edge, Services& services) {
  services.push_back(std::make_unique<GroupsService>(edge));
}

}  // namespace shoal::server
