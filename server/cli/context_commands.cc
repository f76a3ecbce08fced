// shoal context: which fleet, as whom.
#include <fmt/format.h>

#include <filesystem>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/crypto/x509.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/fleet_view.h"

namespace shoal::cli {
namespace {

struct AddOptions {
  std::string name;
  std::string server;
  std::string certificate;
  std::string operator_dir;
  std::string fleet;
};

struct NameOptions {
  std::string name;
};

absl::StatusOr<std::string> FleetOf(
    const fleet::v1::GetNetworkResponse& network, const std::string& wanted) {
  if (network.roots_size() == 0) {
    return FailedPrecondition(
        "no_trust",
        "the management plane has no metadata yet; run: shoald "
        "import --data DIR REPO");
  }
  const std::string id = crypto::Sha256Digest(network.roots(0));
  if (!wanted.empty() && HexEncode(id) != wanted) {
    return PermissionDenied(
        "wrong_fleet",
        fmt::format("the management plane is of fleet {}", HexEncode(id)));
  }
  return id;
}

absl::Status Add(Program& program, const AddOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(ContextStore store, program.Contexts());
  if (!IsIdentifier(options.name)) {
    return UsageError(fmt::format("'{}' is no context name", options.name));
  }
  SHOAL_ASSIGN_OR_RETURN(const auto existing, store.List());
  if (std::find(existing.begin(), existing.end(), options.name) !=
      existing.end()) {
    return MakeError(
        absl::StatusCode::kAlreadyExists, "context_exists",
        fmt::format("there is a context '{}' already; remove {} "
                    "or choose another name",
                    options.name, store.DirectoryOf(options.name)));
  }
  Context context;
  context.name = options.name;
  context.directory = store.DirectoryOf(options.name);
  context.server = options.server;
  std::error_code error;
  context.operator_dir =
      std::filesystem::absolute(options.operator_dir, error).string();
  if (error) return ErrnoError(error.value(), options.operator_dir);
  SHOAL_ASSIGN_OR_RETURN(context.server_cert_pem,
                         program.fs().Read(options.certificate, 65536));
  SHOAL_RETURN_IF_ERROR(
      Annotate(crypto::ParseCertificate(context.server_cert_pem).status(),
               options.certificate));
  SHOAL_RETURN_IF_ERROR(
      LoadOperatorKey(program.fs(), context.operator_dir).status());
  // Nothing is kept of a context whose fleet can't be verified.
  SHOAL_ASSIGN_OR_RETURN(const auto plane, program.ConnectTo(context));
  SHOAL_ASSIGN_OR_RETURN(const auto network, plane->GetNetwork(0));
  SHOAL_ASSIGN_OR_RETURN(context.fleet_id, FleetOf(network, options.fleet));
  SHOAL_RETURN_IF_ERROR(program.fs().MakeDirectories(context.directory, 0700));
  absl::Status saved =
      VerifyNetwork(context, network, program.fs(), program.clock()).status();
  if (saved.ok()) saved = store.SaveNetwork(context, network);
  if (saved.ok()) saved = store.Save(context);
  if (!saved.ok()) {
    const absl::Status discarded = store.Discard(options.name);
    if (!discarded.ok()) program.Remark(std::string(discarded.message()));
    return saved;
  }
  if (!store.Current().ok()) SHOAL_RETURN_IF_ERROR(store.Use(options.name));
  const std::string fleet = HexEncode(context.fleet_id);
  if (program.json()) {
    program.PrintJson(JsonObject()
                          .Text("name", context.name)
                          .Text("server", context.server)
                          .Text("fleet", fleet)
                          .Number("nodes", network.directory().nodes_size())
                          .ToString());
  } else {
    program.PrintText(fmt::format(
        "Context {}: {}, fleet {}, {} storage nodes.\n", context.name,
        context.server, fleet, network.directory().nodes_size()));
  }
  return absl::OkStatus();
}

absl::Status List(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(const ContextStore store, program.Contexts());
  SHOAL_ASSIGN_OR_RETURN(const auto names, store.List());
  const auto current = store.Current();
  Table table({"CURRENT", "NAME", "SERVER", "FLEET"});
  std::string list;
  for (const auto& name : names) {
    SHOAL_ASSIGN_OR_RETURN(const Context context, store.Load(name));
    const bool used = current.ok() && *current == name;
    const std::string fleet = HexEncode(context.fleet_id);
    table.AddRow({used ? "*" : " ", name, context.server, fleet.substr(0, 16)});
    list += (list.empty() ? "" : ",") + JsonObject()
                                            .Text("name", name)
                                            .Boolean("current", used)
                                            .Text("server", context.server)
                                            .Text("fleet", fleet)
                                            .ToString();
  }
  if (program.json()) {
    program.PrintJson(
        JsonObject().Raw("contexts", "[" + list + "]").ToString());
  } else {
    program.PrintText(table.Render(program.width()));
  }
  return absl::OkStatus();
}

absl::Status Use(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(ContextStore store, program.Contexts());
  return store.Use(options.name);
}

absl::Status Show(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ContextStore store, program.Contexts());
  SHOAL_ASSIGN_OR_RETURN(
      const Context context,
      store.Load(options.name.empty() ? program.options().context
                                      : options.name));
  SHOAL_ASSIGN_OR_RETURN(const auto network, store.LoadNetwork(context));
  SHOAL_ASSIGN_OR_RETURN(
      const StoredTrust stored,
      LoadTrust(context, network, program.fs(), program.clock()));
  uint32_t epoch = 0;
  for (const auto& key : network.network().keys()) {
    epoch = std::max(epoch, key.epoch());
  }
  const std::string fleet = HexEncode(context.fleet_id);
  if (program.json()) {
    program.PrintJson(
        JsonObject()
            .Text("name", context.name)
            .Text("directory", context.directory)
            .Text("server", context.server)
            .Text("operator", context.operator_dir)
            .Text("fleet", fleet)
            .Number("nodes", network.directory().nodes_size())
            .Number("network_epoch", epoch)
            .Number("root_version", stored.trust.root_version)
            .Number("timestamp_version", stored.trust.timestamp_version)
            .Boolean("expired", stored.expired)
            .ToString());
    return absl::OkStatus();
  }
  program.PrintText(fmt::format(
      "name           {}\ndirectory      {}\nserver         {}\n"
      "operator       {}\nfleet          {}\nstorage nodes  {}\n"
      "network epoch  {}\ntrust          root {}, timestamp {}{}\n",
      context.name, context.directory, context.server, context.operator_dir,
      fleet, network.directory().nodes_size(), epoch, stored.trust.root_version,
      stored.trust.timestamp_version,
      stored.expired ? ", expired: shoald has not been up lately" : ""));
  return absl::OkStatus();
}

absl::Status Refresh(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto plane, program.ConnectTo(*context));
  SHOAL_RETURN_IF_ERROR(program.RefreshNetwork(*context, *plane));
  program.Remark("context " + context->name + " is up to date");
  return absl::OkStatus();
}

}  // namespace

void AddContextCommands(CLI::App& app, Program& program) {
  CLI::App* group =
      AddGroup(app, "context", "Which fleet to talk to, and as whom");
  auto add = std::make_shared<AddOptions>();
  CLI::App* command = AddCommand(
      *group, "add",
      "Add a fleet; asks its shoald for what is needed when it is down later",
      "context add home --server 127.0.0.1:7443 --server-cert server.crt "
      "--operator ~/alice");
  command->add_option("name", add->name, "A name for it")->required();
  command->add_option("--server", add->server, "HOST:PORT of shoald's API")
      ->required();
  command
      ->add_option("--server-cert", add->certificate,
                   "shoald's certificate (server.crt of its data directory): "
                   "no other one is accepted")
      ->required();
  command
      ->add_option("--operator", add->operator_dir,
                   "Directory made by: shoal operator create")
      ->required();
  command->add_option("--fleet", add->fleet,
                      "Fleet id in hex that it must be, when known");
  OnRun(command, program, add, Add);

  OnRun(AddCommand(*group, "list", "All contexts", "context list"), program,
        std::make_shared<NoOptions>(), List);

  auto use = std::make_shared<NameOptions>();
  command = AddCommand(*group, "use", "Make a context the current one",
                       "context use home");
  command->add_option("name", use->name, "Its name")->required();
  OnRun(command, program, use, Use);

  auto show = std::make_shared<NameOptions>();
  command = AddCommand(*group, "show", "What a context holds",
                       "context show\ncontext show home --output json");
  command->add_option("name", show->name, "Its name [the current one]");
  OnRun(command, program, show, Show);

  OnRun(AddCommand(*group, "refresh",
                   "Read network keys, storage nodes and metadata anew",
                   "context refresh"),
        program, std::make_shared<NoOptions>(), Refresh);
}

}  // namespace shoal::cli
