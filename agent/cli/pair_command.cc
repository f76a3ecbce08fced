// shoal-agent pair: into the fleet without a network, by two files.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>

#include "agent/cli/command.h"
#include "agent/engine/delta_abilities.h"
#include "agent/install/slots.h"
#include "agent/link/inventory.h"
#include "agent/link/pairing_file.h"
#include "agent/link/requests.h"
#include "common/bytes.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/status.h"
#include "signing/verify/entry_credential.h"

namespace shoal::agent {
namespace {

struct Flags {
  std::string request_file;
  std::string answer_file;
};

absl::Status Run(const AgentConfig& config, const Flags& flags) {
  FileSystem& fs = RealFileSystem();
  SHOAL_ASSIGN_OR_RETURN(const FileDescriptor lock, LockData(fs, config));
  SHOAL_ASSIGN_OR_RETURN(const auto member,
                         LoadMembership(fs, config.StateDirectory()));
  if (member)
    return MakeError(absl::StatusCode::kAlreadyExists, "already_paired",
                     "this device is in fleet " + HexEncode(member->fleet_id));
  SHOAL_ASSIGN_OR_RETURN(const DeviceKeys keys,
                         DeviceKeys::LoadOrCreate(fs, config.StateDirectory()));
  FileSlots slots(fs, config.data_directory);
  SHOAL_ASSIGN_OR_RETURN(const RunningImage running, slots.Running());
  PairingDevice device;
  device.fs = &fs;
  device.clock = &SystemClock();
  device.config = &config;
  device.keys = &keys;
  device.inventory = Inventory(config.data_directory, running.slot,
                               FindDeltaAbilities(config));
  if (!flags.request_file.empty()) {
    SHOAL_ASSIGN_OR_RETURN(const std::string request,
                           MakePairRequestFile(device));
    SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(flags.request_file, request));
    std::cout << fmt::format(
        "{} asks to let this device in. Its fingerprint: {}\nNext, where the "
        "plane is reached: shoal device pair {} --out ANSWER --fingerprint "
        "{}\n",
        flags.request_file, signing::FingerprintOf(keys.signing.public_key()),
        flags.request_file, signing::FingerprintOf(keys.signing.public_key()));
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string answer,
                         fs.Read(flags.answer_file, kMaxPairAnswer));
  SHOAL_ASSIGN_OR_RETURN(const Membership membership,
                         TakePairAnswerFile(device, answer));
  std::cout << fmt::format("Device {} is in fleet {}.\n",
                           HexEncode(membership.device_id()),
                           HexEncode(membership.fleet_id));
  return absl::OkStatus();
}

}  // namespace

void AddPairCommand(CLI::App& app, Shared& shared, Commands& commands) {
  auto flags = std::make_shared<Flags>();
  CLI::App* pair = app.add_subcommand(
      "pair",
      "Into the fleet without a network: a request to carry to the plane, and "
      "the answer carried back");
  AddConfig(pair, shared)->required();
  CLI::Option* request = pair->add_option(
      "--request-file", flags->request_file,
      "Write the request; needs a bootstrap file in the configuration");
  pair->add_option("--answer-file", flags->answer_file,
                   "Take the answer, after everything in it is verified")
      ->excludes(request);
  pair->footer(
      "Examples:\n"
      "  shoal-agent pair --config C --request-file /media/usb/request.pb\n"
      "  shoal device pair /media/usb/request.pb --out /media/usb/answer.pb "
      "--fingerprint F\n"
      "  shoal-agent pair --config C --answer-file /media/usb/answer.pb");
  commands.push_back({pair, [flags, &shared] {
                        if (flags->request_file.empty() &&
                            flags->answer_file.empty()) {
                          std::cerr << "shoal-agent: --request-file or "
                                       "--answer-file is needed\n";
                          return kExitUsage;
                        }
                        const auto config = shared.Config();
                        if (!config.ok())
                          return PrintError(config.status(), false);
                        const absl::Status done = Run(*config, *flags);
                        return done.ok() ? 0 : PrintError(done, false);
                      }});
}

}  // namespace shoal::agent
