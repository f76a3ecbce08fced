// shoal-agent init: a data directory with keys, slots and configuration.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>

#include "agent/cli/command.h"
#include "agent/install/slots.h"
#include "agent/link/pairing.h"
#include "agent/state/identity.h"
#include "common/bytes.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

struct InitFlags {
  std::string data, type, ticket, ticket_file, bootstrap_file, factory, image,
      version = "factory", fleet_id;
};

absl::Status Init(const InitFlags& flags) {
  FileSystem& fs = RealFileSystem();
  if (!IsIdentifier(flags.type))
    return InvalidArgument("bad_config", "--type must be an identifier");
  if (!IsIdentifier(flags.version))
    return InvalidArgument("bad_config", "--image-version: an identifier");
  const std::string config_path = JoinPath(flags.data, "agent.toml");
  if (fs.Exists(config_path))
    return MakeError(absl::StatusCode::kAlreadyExists, "already_initialised",
                     config_path + " exists");
  std::string ticket = flags.ticket;
  if (!flags.ticket_file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(ticket, fs.Read(flags.ticket_file, 8192));
  }
  if (!ticket.empty()) SHOAL_RETURN_IF_ERROR(ParseTicket(ticket));
  std::string bootstrap;
  if (!flags.bootstrap_file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(bootstrap, fs.Read(flags.bootstrap_file, 8192));
    SHOAL_RETURN_IF_ERROR(ParseBootstrapFile(bootstrap));
  }
  std::string factory;
  if (!flags.factory.empty()) {
    SHOAL_ASSIGN_OR_RETURN(factory, fs.Read(flags.factory, 8192));
    SHOAL_RETURN_IF_ERROR(ParseFactoryCredential(factory));
    if (bootstrap.empty())
      return InvalidArgument("bad_config",
                             "--factory-credential needs --bootstrap-file");
  }
  if (!flags.fleet_id.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string id, HexDecode(flags.fleet_id));
    if (id.size() != 32)
      return InvalidArgument("bad_config", "--fleet-id: 64 hex digits");
  }
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(flags.data, 0755));
  FileSlots slots(fs, flags.data);
  SHOAL_RETURN_IF_ERROR(slots.Initialise(flags.image, flags.version));
  SHOAL_RETURN_IF_ERROR(
      DeviceKeys::LoadOrCreate(fs, JoinPath(flags.data, "state")));
  std::string text = fmt::format(
      "# This device's own configuration; docs/device.md explains every key.\n"
      "data = \".\"\n\n[device]\ntype = \"{}\"\n",
      flags.type);
  if (!flags.fleet_id.empty())
    text += fmt::format("\n[fleet]\nid = \"{}\"\n", flags.fleet_id);
  if (!ticket.empty()) {
    SHOAL_RETURN_IF_ERROR(
        fs.WriteAtomic(JoinPath(flags.data, "ticket"), ticket, 0600));
    text += "\n[pairing]\nticket_file = \"ticket\"\n";
  } else if (!bootstrap.empty()) {
    SHOAL_RETURN_IF_ERROR(
        fs.WriteAtomic(JoinPath(flags.data, "bootstrap"), bootstrap, 0600));
    text += "\n[pairing]\nbootstrap_file = \"bootstrap\"\n";
    if (!factory.empty()) {
      SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(
          JoinPath(flags.data, "factory-credential"), factory, 0600));
      text += "factory_credential = \"factory-credential\"\n";
    }
  }
  text +=
      "\n[network]\nbind = \"127.0.0.1:0\"\n"
      "\n[swarm]\nlisten = \"127.0.0.1:0\"\n"
      "\n[update]\nreboot = \"auto\"\n"
      "\n[telemetry]\ninterval = \"60s\"\n";
  // The configuration comes last: with it, everything is there.
  return fs.WriteAtomic(config_path, text);
}

}  // namespace

void AddInitCommand(CLI::App& app, Shared&, Commands& commands) {
  auto flags = std::make_shared<InitFlags>();
  CLI::App* init = app.add_subcommand("init", "Make a data directory");
  init->add_option("--data", flags->data, "Directory to make")->required();
  init->add_option("--type", flags->type, "Device type")->required();
  init->add_option("--ticket", flags->ticket, "Claim ticket, SHOAL1-…");
  init->add_option("--ticket-file", flags->ticket_file, "File with the ticket");
  init->add_option("--bootstrap-file", flags->bootstrap_file,
                   "Instead of a ticket: shoal device bootstrap-file");
  init->add_option("--factory-credential", flags->factory,
                   "The manufacturer's word for this device (shoal-sign "
                   "factory issue)");
  init->add_option("--image", flags->image, "Image that is installed now");
  init->add_option("--image-version", flags->version, "Its version");
  init->add_option("--fleet-id", flags->fleet_id,
                   "Fleet, 64 hex digits, for offline installation unpaired");
  commands.push_back({init, [flags] {
                        const absl::Status done = Init(*flags);
                        if (!done.ok()) return PrintError(done, false);
                        std::cout << fmt::format(
                            "Ready: shoal-boot --config {}/agent.toml\n",
                            flags->data);
                        return 0;
                      }});
}

}  // namespace shoal::agent
