// shoal node: storage nodes.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"

namespace shoal::cli {
namespace {

struct EnrollOptions {
  std::string request;
  std::string out;
};

absl::StatusOr<fleet::v1::EnrollNodeRequest> ReadRequest(
    FileSystem& fs, const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs.Read(path, 65536));
  fleet::v1::EnrollNodeRequest request;
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(text, &request);
  if (!parsed.ok()) {
    return InvalidArgument(
        "bad_enroll_request",
        fmt::format("{} is no enroll-request.json of 'shoal-node init': {}",
                    path, std::string(parsed.message())));
  }
  return request;
}

absl::Status Enroll(Program& program, const EnrollOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const auto request,
                         ReadRequest(program.fs(), options.request));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto response, plane->EnrollNode(request));
  // It holds the network's keys.
  SHOAL_RETURN_IF_ERROR(program.fs().WriteAtomic(
      options.out, response.bundle().SerializeAsString(), 0600));
  if (program.json()) {
    program.PrintJson(
        JsonObject()
            .Text("node", request.node_id())
            .Text("bundle", options.out)
            .Number("nodes", response.bundle().directory().nodes_size())
            .ToString());
  } else {
    program.PrintText(fmt::format(
        "Node {} is enrolled. Its bundle is {} (secret: it holds the "
        "network's keys).\n",
        request.node_id(), options.out));
  }
  return absl::OkStatus();
}

absl::Status List(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  fleet::v1::ListNodesResponse response;
  auto listed = plane->ListNodes();
  if (listed.ok()) {
    response = std::move(*listed);
  } else if (ExitCodeOf(listed.status()) == kExitUnreachable) {
    program.Remark("shoald does not answer; this is what the context knows");
    SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
    *response.mutable_directory() = network.directory();
  } else {
    return listed.status();
  }
  program.Print(response, [&] {
    Table table({"ID", "DHT", "API", "HTTP", "SWARM"});
    for (const auto& node : response.directory().nodes()) {
      table.AddRow({HexEncode(node.id()), node.dht_address(),
                    node.grpc_address(), node.http_address(),
                    node.swarm_address()});
    }
    return table.Render(program.width());
  });
  return absl::OkStatus();
}

// The newest directory that can be had.
absl::StatusOr<records::v1::NodeDirectory> Directory(Program& program) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  const auto listed = plane->ListNodes();
  if (listed.ok()) return listed->directory();
  SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
  return network.directory();
}

absl::Status Status(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(const auto directory, Directory(program));
  if (directory.nodes().empty()) {
    return FailedPrecondition("no_nodes", "the fleet has no storage nodes");
  }
  Table table({"ID", "STATE", "RECORDS", "SIZE", "PEERS", "ARTIFACTS",
               "REPAIRED", "REFUSED", "VERSION"});
  std::string list;
  int unreachable = 0;
  for (const auto& node : directory.nodes()) {
    const std::string id = HexEncode(node.id());
    absl::StatusOr<node::v1::GetStatusResponse> status =
        Internal("unspecified", "not asked");
    auto client = program.ConnectNode(node, absl::Seconds(5));
    status = client.ok()
                 ? (*client)->GetStatus()
                 : absl::StatusOr<node::v1::GetStatusResponse>(client.status());
    JsonObject object;
    object.Text("id", id).Text("grpc_address", node.grpc_address());
    if (status.ok()) {
      table.AddRow({id, "up", std::to_string(status->records()),
                    HumanBytes(status->bytes()),
                    fmt::format("{}/{}", status->admitted_nodes(),
                                status->known_nodes()),
                    std::to_string(status->artifacts_size()),
                    std::to_string(status->repaired()),
                    std::to_string(status->refused()), status->version()});
      object.Boolean("reachable", true).Fields(MessageToJson(*status, false));
    } else {
      ++unreachable;
      table.AddRow({id, "down: " + ReasonOf(status.status())});
      object.Boolean("reachable", false)
          .Text("reason", ReasonOf(status.status()))
          .Text("message", std::string(status.status().message()));
    }
    list += (list.empty() ? "" : ",") + object.ToString();
  }
  if (program.json()) {
    program.PrintJson(JsonObject().Raw("nodes", "[" + list + "]").ToString());
  } else {
    program.PrintText(table.Render(program.width()));
  }
  if (unreachable == 0) return absl::OkStatus();
  return Unavailable("nodes_down",
                     fmt::format("{} of {} storage nodes did not answer",
                                 unreachable, directory.nodes_size()));
}

}  // namespace

void AddNodeCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "node", "Storage nodes");
  auto enroll = std::make_shared<EnrollOptions>();
  CLI::App* command = AddCommand(
      *group, "enroll", "Certify a node's keys and add it to the directory",
      "node enroll --request node-1/enroll-request.json --out "
      "node-1/bundle.pb");
  command
      ->add_option("--request", enroll->request,
                   "enroll-request.json, made by: shoal-node init")
      ->required();
  command->add_option("--out", enroll->out, "Where the bundle goes")
      ->required();
  OnRun(command, program, enroll, Enroll);
  OnRun(AddCommand(*group, "list", "The node directory", "node list"), program,
        std::make_shared<NoOptions>(), List);
  OnRun(AddCommand(*group, "status",
                   "Ask each node how it is; works with shoald down",
                   "node status\nnode status --output json"),
        program, std::make_shared<NoOptions>(), Status);
}

}  // namespace shoal::cli
