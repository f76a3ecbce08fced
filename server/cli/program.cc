#include "server/cli/program.h"

#include "common/status.h"
#include "server/cli/exit_code.h"
#include "server/cli/fleet_view.h"

namespace shoal::cli {

absl::Status Program::Run() {
  if (!action_) return UsageError("no command given");
  const absl::Status result = action_();
  // A new node or key that shoald knows of is needed most when it is down.
  if (plane_ && plane_->reached() && context_) {
    const absl::Status refreshed = RefreshNetwork(*context_, *plane_);
    if (!refreshed.ok()) {
      Remark("the context's network part was not refreshed: " +
             std::string(refreshed.message()));
    }
  }
  return result;
}

absl::StatusOr<ContextStore> Program::Contexts() {
  std::string directory = options_.context_dir;
  if (directory.empty()) {
    SHOAL_ASSIGN_OR_RETURN(directory, ContextStore::DefaultDirectory());
  }
  return ContextStore(fs_, directory);
}

absl::StatusOr<const Context*> Program::CurrentContext() {
  if (!context_) {
    SHOAL_ASSIGN_OR_RETURN(const ContextStore store, Contexts());
    SHOAL_ASSIGN_OR_RETURN(context_, store.Load(options_.context));
  }
  return &*context_;
}

absl::StatusOr<std::unique_ptr<PlaneClient>> Program::ConnectTo(
    const Context& context) {
  SHOAL_ASSIGN_OR_RETURN(const OperatorKeys keys,
                         LoadOperatorTls(fs_, context.operator_dir));
  PlaneOptions options;
  options.address = context.server;
  options.server_cert_pem = context.server_cert_pem;
  options.client_cert_pem = keys.tls_cert_pem;
  options.client_key_pem = std::string(keys.tls_key_pem.view());
  return PlaneClient::Open(std::move(options));
}

absl::StatusOr<PlaneClient*> Program::Plane() {
  if (!plane_) {
    SHOAL_ASSIGN_OR_RETURN(const Context* context, CurrentContext());
    SHOAL_ASSIGN_OR_RETURN(plane_, ConnectTo(*context));
  }
  return plane_.get();
}

absl::StatusOr<std::unique_ptr<NodeClient>> Program::ConnectNode(
    const records::v1::NodeEntry& node, absl::Duration timeout) {
  SHOAL_ASSIGN_OR_RETURN(const Context* context, CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const OperatorKeys keys,
                         LoadOperatorTls(fs_, context->operator_dir));
  NodeClientOptions options;
  options.node = node;
  options.client_cert_pem = keys.tls_cert_pem;
  options.client_key_pem = std::string(keys.tls_key_pem.view());
  options.timeout = timeout;
  return NodeClient::Open(std::move(options));
}

absl::StatusOr<fleet::v1::GetNetworkResponse> Program::StoredNetwork() {
  SHOAL_ASSIGN_OR_RETURN(const Context* context, CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const ContextStore store, Contexts());
  return store.LoadNetwork(*context);
}

absl::Status Program::RefreshNetwork(const Context& context,
                                     PlaneClient& plane) {
  SHOAL_ASSIGN_OR_RETURN(ContextStore store, Contexts());
  SHOAL_ASSIGN_OR_RETURN(const auto network,
                         plane.GetNetwork(KnownLogSize(context, fs_)));
  const auto trust = VerifyNetwork(context, network, fs_, clock_);
  if (!trust.ok()) {
    return Annotate(trust.status(),
                    "what the management plane says of the network");
  }
  return store.SaveNetwork(context, network);
}

void Program::Print(const google::protobuf::Message& message,
                    const std::function<std::string()>& table) {
  if (options_.output == Format::kYaml) {
    streams_.out << MessageToYaml(message);
  } else if (json()) {
    streams_.out << MessageToJson(message, /*pretty=*/true) << "\n";
  } else {
    streams_.out << table();
  }
  streams_.out << std::flush;
}

void Program::PrintLine(const google::protobuf::Message& message,
                        const std::function<std::string()>& text) {
  if (options_.output == Format::kYaml) {
    streams_.out << "---\n" << MessageToYaml(message);
  } else if (json()) {
    streams_.out << MessageToJson(message, /*pretty=*/false) << "\n";
  } else {
    streams_.out << text();
  }
  streams_.out << std::flush;
}

void Program::PrintText(std::string_view text) {
  streams_.out << text << std::flush;
}

void Program::PrintJson(std::string_view json) {
  if (options_.output == Format::kYaml) {
    PrintText(JsonToYaml(json));
    return;
  }
  PrintText(json);
  PrintText("\n");
}

void Program::Remark(std::string_view text) {
  streams_.err << "shoal: " << text << "\n" << std::flush;
}

}  // namespace shoal::cli
