// shoal-sign: offline keys and signatures.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "common/command_line.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

void AddRepository(CLI::App* app, Options& options) {
  app->add_option("--keys", options.keys, "Directory of encrypted key files")
      ->required();
  app->add_option("--repo", options.repository, "Repository tree")->required();
  app->add_option("--passphrase-file", options.passphrase_file,
                  "File whose first line is the passphrase (default: ask)");
  app->add_option("--kdf", options.kdf,
                  "Cost of guessing the passphrase of keys made now: moderate "
                  "(256 MiB) or interactive (64 MiB, for trials)")
      ->check(CLI::IsMember({"moderate", "interactive"}))
      ->capture_default_str();
  app->add_option("--expires-days", options.expires_days,
                  "Lifetime of what is signed now")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
}

int Main(int argc, char** argv) {
  InitLog("shoal-sign", "warn");
  CLI::App app("Keeps a fleet's offline keys and signs its metadata.");
  app.require_subcommand(1);
  Options options;
  std::function<absl::Status()> run;

  InitOptions init;
  CLI::App* command = app.add_subcommand(
      "init", "Makes a fleet: root, targets and policy keys, first metadata");
  AddRepository(command, options);
  command->add_option("--online", init.online,
                      "The plane's public keys (shoald print-keys); without "
                      "it, these keys are made here too");
  command->add_option("--root-keys", init.root_keys)->capture_default_str();
  command->add_option("--root-threshold", init.root_threshold)
      ->capture_default_str();
  command->footer(
      "Example:\n  shoal-sign init --keys /media/keys --repo repo "
      "--online plane-keys.json");
  command->callback([&] { run = [&] { return RunInit(options, init); }; });

  std::string type;
  CLI::App* group = app.add_subcommand("device-type", "Device types");
  group->require_subcommand(1);
  command = group->add_subcommand("add", "Makes the role fw-TYPE and its key");
  AddRepository(command, options);
  command->add_option("type", type, "Device type")->required();
  command->footer(
      "Example:\n  shoal-sign device-type add gateway --keys K --repo R");
  command->callback(
      [&] { run = [&] { return RunDeviceTypeAdd(options, type); }; });

  ImageOptions image;
  group = app.add_subcommand("image", "Firmware images");
  group->require_subcommand(1);
  command = group->add_subcommand("add", "Signs an image");
  AddRepository(command, options);
  command->add_option("--type", image.type, "Device type")->required();
  command->add_option("--version", image.version)->required();
  command
      ->add_option("--counter", image.counter,
                   "Orders the images of a device type")
      ->required();
  command
      ->add_option("--min-counter", image.min_counter,
                   "Once this image is committed, none below it may run")
      ->capture_default_str();
  command->add_option("--artifact", image.artifact)->capture_default_str();
  command->add_option("file", image.file, "The image")->required();
  command->footer(
      "Example:\n  shoal-sign image add --type gateway --version 1.4.0 "
      "--counter 7 rootfs.squashfs --keys K --repo R");
  command->callback([&] { run = [&] { return RunImageAdd(options, image); }; });

  std::string policy_file;
  group = app.add_subcommand("policy", "Access policy");
  group->require_subcommand(1);
  command = group->add_subcommand("set", "Signs a new access policy");
  AddRepository(command, options);
  command->add_option("file", policy_file, "proto3 JSON of AccessPolicy")
      ->required();
  command->footer(
      "Example:\n  shoal-sign policy set access.json --keys K --repo R");
  command->callback(
      [&] { run = [&] { return RunPolicySet(options, policy_file); }; });

  PublishOptions publish;
  command = app.add_subcommand(
      "publish", "Signs snapshot and timestamp (a fleet without a plane)");
  AddRepository(command, options);
  command
      ->add_option("--timestamp-days", publish.timestamp_days,
                   "How long devices may go on without a newer timestamp")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
  command->footer("Example:\n  shoal-sign publish --keys K --repo R");
  command->callback(
      [&] { run = [&] { return RunPublish(options, publish); }; });

  std::string role;
  std::string online;
  group = app.add_subcommand("root", "Root keys and rotation");
  group->require_subcommand(1);
  command = group->add_subcommand(
      "add-signature", "Signs the newest root with the root keys at hand");
  AddRepository(command, options);
  command->footer(
      "Example:\n  shoal-sign root add-signature --keys K2 --repo R");
  command->callback(
      [&] { run = [&] { return RunRootAddSignature(options); }; });
  command = group->add_subcommand(
      "rotate-key",
      "Replaces the key of ROLE: root-1, targets, snapshot, timestamp, policy, "
      "director, fw-TYPE, device_ca, node_ca or telemetry");
  AddRepository(command, options);
  command->add_option("role", role)->required();
  command->add_option("--online", online,
                      "Take the new key from the plane's public keys");
  command->footer(
      "Example:\n  shoal-sign root rotate-key timestamp --online "
      "plane-keys.json --keys K --repo R");
  command->callback(
      [&] { run = [&] { return RunRootRotateKey(options, role, online); }; });

  command = app.add_subcommand(
      "renew", "Signs a role again with the same content and a new expiry");
  AddRepository(command, options);
  command->add_option("role", role, "root, targets, policy or fw-TYPE")
      ->required();
  command->footer("Example:\n  shoal-sign renew fw-gateway --keys K --repo R");
  command->callback([&] { run = [&] { return RunRenew(options, role); }; });

  std::string file;
  command = app.add_subcommand("inspect", "Prints a metadata file");
  command->add_option("file", file)->required();
  command->footer("Example:\n  shoal-sign inspect repo/metadata/1.root.json");
  command->callback([&] { run = [&] { return RunInspect(file); }; });

  std::string repository;
  std::string fleet_id;
  command = app.add_subcommand(
      "verify", "Verifies a repository and its files as a device does");
  command->add_option("repo", repository)->required();
  command->add_option("--fleet-id", fleet_id,
                      "Hex; default: whatever root 1 says");
  command->footer("Example:\n  shoal-sign verify repo --fleet-id HEX");
  command->callback(
      [&] { run = [&] { return RunVerify(repository, fleet_id); }; });

  app.footer(
      "A fleet without a management plane:\n"
      "  shoal-sign init --keys K --repo R\n"
      "  shoal-sign device-type add gateway --keys K --repo R\n"
      "  shoal-sign image add --type gateway --version 1.0.0 --counter 1 "
      "image.bin --keys K --repo R\n"
      "  shoal-sign publish --keys K --repo R\n"
      "  shoal-sign verify R");
  if (const auto code = shoal::ParseCommandLine(app, argc, argv)) return *code;
  const absl::Status status = run();
  if (status.ok()) return 0;
  fprintf(stderr, "shoal-sign: %s (%s)\n",
          std::string(status.message()).c_str(), ReasonOf(status).c_str());
  return 1;
}

}  // namespace
}  // namespace shoal::signing

int main(int argc, char** argv) { return shoal::signing::Main(argc, argv); }
