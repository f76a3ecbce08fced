// shoal-sign: offline keys and signatures.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "common/command_line.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/tool/commands.h"

namespace shoal::signing {
namespace {

void AddTree(CLI::App* app, Options& options) {
  app->add_option("--repo", options.repository, "Repository tree")->required();
  app->add_flag("--dry-run", options.dry_run,
                "Show what would be signed and written; write nothing");
}

void AddKeys(CLI::App* app, Options& options) {
  app->add_option("--keys", options.keys,
                  "Directory of encrypted key files; without it no signature "
                  "is made here");
  app->add_option("--passphrase-file", options.passphrase_file,
                  "File whose first line is the passphrase (default: ask)");
  app->add_option("--kdf", options.kdf,
                  "Cost of guessing the passphrase of keys made now: moderate "
                  "(256 MiB) or interactive (64 MiB, for trials)")
      ->check(CLI::IsMember({"moderate", "interactive"}))
      ->capture_default_str();
}

void AddRepository(CLI::App* app, Options& options) {
  AddTree(app, options);
  AddKeys(app, options);
  app->add_option("--expires-days", options.expires_days,
                  "Lifetime of what is proposed now")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();
}

// --PREFIX-key, --PREFIX-keys (--new-keys without a prefix),
// --PREFIX-threshold.
void AddChoice(CLI::App* app, const std::string& prefix, KeyChoice& choice) {
  const std::string dashed = prefix.empty() ? "--" : "--" + prefix + "-";
  app->add_option(dashed + "key", choice.keys,
                  "Public key of a custodian (.pub file); may be repeated");
  app->add_option(prefix.empty() ? "--new-keys" : dashed + "keys",
                  choice.new_keys, "Without public keys: how many to make here")
      ->capture_default_str();
  app->add_option(dashed + "threshold", choice.threshold,
                  "How many of them must sign")
      ->capture_default_str();
}

int Main(int argc, char** argv) {
  InitLog("shoal-sign", "warn");
  CLI::App app("Keeps a fleet's offline keys and signs its metadata.");
  app.require_subcommand(1);
  Options options;
  std::function<absl::Status()> run;

  std::vector<std::string> names;
  CLI::App* command = nullptr;
  CLI::App* group = app.add_subcommand("key", "Keys of a custodian");
  group->require_subcommand(1);
  command = group->add_subcommand(
      "create", "Makes NAME.key (secret, encrypted) and NAME.pub (to hand in)");
  AddKeys(command, options);
  command->add_option("name", names, "Name, such as alice-root")->required();
  command->footer("Example:\n  shoal-sign key create alice-root --keys STICK");
  command->callback(
      [&] { run = [&] { return RunKeyCreate(options, names); }; });

  InitOptions init;
  command = app.add_subcommand(
      "init", "Makes a fleet: root, targets and policy, first metadata");
  AddRepository(command, options);
  command->add_option("--online", init.online,
                      "The plane's public keys (online-public.json); without "
                      "it, these keys are made here too");
  AddChoice(command, "root", init.root);
  AddChoice(command, "targets", init.targets);
  AddChoice(command, "policy", init.policy);
  command->footer(
      "Examples:\n  shoal-sign init --keys /media/keys --repo repo "
      "--online online-public.json\n"
      "  shoal-sign init --repo repo --online online-public.json --root-key "
      "a.pub --root-key b.pub --root-key c.pub --root-threshold 2 "
      "--targets-key a.pub --policy-key b.pub");
  command->callback([&] { run = [&] { return RunInit(options, init); }; });

  std::string type;
  KeyChoice firmware;
  group = app.add_subcommand("device-type", "Device types");
  group->require_subcommand(1);
  command = group->add_subcommand("add", "Makes the role fw-TYPE");
  AddRepository(command, options);
  AddChoice(command, "", firmware);
  command->add_option("type", type, "Device type")->required();
  command->footer(
      "Examples:\n  shoal-sign device-type add gateway --keys K --repo R\n"
      "  shoal-sign device-type add gateway --key dora.pub --key eli.pub "
      "--key fay.pub --threshold 2 --repo R");
  command->callback(
      [&] { run = [&] { return RunDeviceTypeAdd(options, type, firmware); }; });

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
  command
      ->add_option("--hardware", image.hardware,
                   "Hardware that it fits [any]; repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("--requires", image.needs,
                   "ARTIFACT:COUNTER that the device must have beside it; "
                   "repeatable")
      ->allow_extra_args(false);
  command
      ->add_option("--attach", image.attachments,
                   "NAME=FILE about the release, at most 16 MiB: "
                   "sbom=bom.json; repeatable")
      ->allow_extra_args(false);
  command->add_option("file", image.file, "The image")->required();
  command->footer(
      "Example:\n  shoal-sign image add --type gateway --version 1.4.0 "
      "--counter 7 rootfs.squashfs --keys K --repo R\n"
      "  shoal-sign image add --type gateway --version 1.4.0 --counter 7 "
      "rootfs.squashfs\n    --requires modem:3 --hardware rev-b --attach "
      "sbom=bom.spdx.json --attach provenance=build.intoto.json\n"
      "    --keys K --repo R");
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

  ManufacturerOptions manufacturer;
  group = app.add_subcommand("manufacturer",
                             "Whose factory credentials the fleet takes");
  group->require_subcommand(1);
  command = group->add_subcommand("add", "Names a manufacturer and its key");
  AddRepository(command, options);
  command->add_option("name", manufacturer.name)->required();
  command
      ->add_option("--key", manufacturer.key,
                   "Its public key: a .pub file, a name under REPO/keys, or "
                   "hex")
      ->required();
  command->add_option("--type", manufacturer.device_types,
                      "Only for this device type; may be repeated");
  command->footer(
      "Example:\n  shoal-sign manufacturer add acme --key acme.pub --type "
      "gateway --repo R --keys K");
  command->callback(
      [&] { run = [&] { return RunManufacturerAdd(options, manufacturer); }; });
  command = group->add_subcommand(
      "remove", "Its devices that are not paired yet are strangers again");
  AddRepository(command, options);
  command->add_option("name", manufacturer.name)->required();
  command->callback([&] {
    run = [&] { return RunManufacturerRemove(options, manufacturer.name); };
  });

  FactoryOptions factory;
  group = app.add_subcommand("factory", "What a manufacturer does");
  group->require_subcommand(1);
  command = group->add_subcommand("issue",
                                  "Signs the factory credential of one device");
  AddKeys(command, options);
  command
      ->add_option("--signer", factory.signer,
                   "Name of the manufacturer's key (shoal-sign key create)")
      ->required();
  command
      ->add_option("--device-key", factory.device_key,
                   "The device's public key in hex, or the file that "
                   "'shoal-agent fingerprint --output json' wrote")
      ->required();
  command->add_option("--serial", factory.serial_number)->required();
  command->add_option("--type", factory.device_type, "Device type")->required();
  command->add_option("--valid-days", factory.valid_days,
                      "How long it may be used to pair; without it: for ever");
  command->add_option("--out", factory.out, "File; without it: printed");
  command->footer(
      "Example:\n  shoal-agent fingerprint --data /var/lib/shoal --output json "
      "> device.json\n  shoal-sign factory issue --keys STICK --signer acme "
      "--device-key device.json --serial SN-0001 --type gateway --out "
      "credential");
  command->callback(
      [&] { run = [&] { return RunFactoryIssue(options, factory); }; });

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

  RotateOptions rotate;
  command = app.add_subcommand(
      "rotate",
      "Other keys for a role: root, targets, snapshot, timestamp, policy, "
      "director, fw-TYPE; device_ca, node_ca, telemetry, time; or online (all "
      "of the plane's)");
  AddRepository(command, options);
  command->add_option("role", rotate.role)->required();
  command->add_option("--add", rotate.add,
                      "A .pub file, a name under REPO/keys, or hex");
  command->add_option("--remove", rotate.remove,
                      "The same; a role's only key is replaced without it");
  command->add_option("--new", rotate.new_keys, "Keys to make in --keys");
  command->add_option("--threshold", rotate.threshold,
                      "How many must sign from now on");
  command->add_option("--online", rotate.online,
                      "Take the new key from the plane's public keys");
  command->footer(
      "Examples:\n"
      "  shoal-sign rotate root --remove carol-root --add dan-root.pub --repo "
      "R --keys K\n"
      "  shoal-sign rotate time --add node-1-time.pub --add node-2-time.pub "
      "--repo R\n"
      "  shoal-sign rotate time --remove node-1-time --repo R\n"
      "  shoal-sign rotate online --online online-public.json --repo R --keys "
      "K");
  command->callback([&] { run = [&] { return RunRotate(options, rotate); }; });

  std::vector<std::string> roles;
  int within_days = 0;
  command = app.add_subcommand(
      "renew", "Proposes roles again with the same content and a new expiry");
  AddRepository(command, options);
  command->add_option("role", roles, "root, targets, policy or fw-TYPE");
  command->add_option("--within-days", within_days,
                      "Every role that expires until then");
  command->footer(
      "Examples:\n  shoal-sign renew fw-gateway --keys K --repo R\n"
      "  shoal-sign renew --within-days 60 --repo R");
  command->callback(
      [&] { run = [&] { return RunRenew(options, roles, within_days); }; });

  command = app.add_subcommand(
      "sign", "Shows what waits for signatures, asks, and signs it");
  AddTree(command, options);
  AddKeys(command, options);
  command->add_flag("--yes", options.yes, "Don't ask");
  command->add_option("role", roles, "Default: all that waits");
  command->footer("Example:\n  shoal-sign sign --repo R --keys STICK");
  command->callback([&] { run = [&] { return RunSign(options, roles); }; });

  std::string other;
  command = app.add_subcommand(
      "merge", "Takes drafts and signatures from another copy of the tree");
  AddTree(command, options);
  command->add_option("other", other, "That copy")->required();
  command->footer("Example:\n  shoal-sign merge /media/stick/repo --repo R");
  command->callback([&] { run = [&] { return RunMerge(options, other); }; });

  std::string role;
  command = app.add_subcommand("drop", "Gives up a draft");
  AddTree(command, options);
  command->add_option("role", role)->required();
  command->callback([&] { run = [&] { return RunDrop(options, role); }; });

  command = app.add_subcommand(
      "status", "What is in force, until when, and what waits for whom");
  AddTree(command, options);
  command->callback([&] { run = [&] { return RunStatus(options); }; });

  std::vector<std::string> compared;
  command = app.add_subcommand(
      "diff", "A draft against what is in force, or two metadata files");
  AddTree(command, options);
  command->add_option("what", compared, "ROLE, or FILE FILE")
      ->required()
      ->expected(1, 2);
  command->footer("Example:\n  shoal-sign diff fw-gateway --repo R");
  command->callback(
      [&] { run = [&] { return RunDifference(options, compared); }; });

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
      "  shoal-sign verify R\n"
      "Several custodians: docs/operations/ceremony.md");
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
