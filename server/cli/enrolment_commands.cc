// shoal device accept, reject, preauthorize, bootstrap-file, pending; shoal
// network.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/parse.h"

namespace shoal::cli {
namespace {

struct AcceptOptions {
  std::string device;
  std::string fingerprint;
  std::vector<std::string> labels;
  bool unchecked = false;
};
struct RejectOptions {
  std::string device;
  std::string reason;
};
struct PreauthorizeOptions {
  std::string device_type;
  std::string manufacturer;
  std::string serial_number;
  std::string fingerprint;
  std::vector<std::string> labels;
};
struct BootstrapOptions {
  std::string device_type;
  std::string lifetime = "90d";
  std::string out;
  bool factory_only = false;
};
struct PairOptions {
  std::string request;
  std::string out;
  std::string fingerprint;
  std::vector<std::string> labels;
  bool unchecked = false;
};
struct RotateOptions {
  std::string reason;
};

void PrintShort(Program& program, const fleet::v1::Device& device,
                const std::string& what) {
  program.Print(device, [&] {
    return Printable(fmt::format("{} {} {}\n", ShortName(device.name()), what,
                                 device.fingerprint()),
                     /*keep_lines=*/true);
  });
}

absl::Status Accept(Program& program, const AcceptOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  fleet::v1::AcceptDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(options.device));
  request.set_fingerprint(options.fingerprint);
  request.set_unchecked(options.unchecked);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->AcceptDevice(request));
  PrintShort(program, device, "accepted");
  return absl::OkStatus();
}

absl::Status Reject(Program& program, const RejectOptions& options) {
  fleet::v1::RejectDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_name(), DeviceName(options.device));
  request.set_reason(options.reason);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->RejectDevice(request));
  PrintShort(program, device, "rejected");
  return absl::OkStatus();
}

absl::Status Preauthorize(Program& program,
                          const PreauthorizeOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  fleet::v1::PreauthorizeDeviceRequest request;
  request.set_device_type(options.device_type);
  request.set_manufacturer(options.manufacturer);
  request.set_serial_number(options.serial_number);
  request.set_fingerprint(options.fingerprint);
  request.mutable_labels()->insert(labels.begin(), labels.end());
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto device, plane->PreauthorizeDevice(request));
  PrintShort(program, device, "preauthorized");
  return absl::OkStatus();
}

absl::Status Bootstrap(Program& program, const BootstrapOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const absl::Duration lifetime,
                         ParseDuration(options.lifetime));
  fleet::v1::CreateBootstrapFileRequest request;
  request.set_device_type(options.device_type);
  request.set_lifetime_seconds(absl::ToInt64Seconds(lifetime));
  request.set_factory_only(options.factory_only);
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto file, plane->CreateBootstrapFile(request));
  if (!options.out.empty()) {
    SHOAL_RETURN_IF_ERROR(
        program.fs().WriteAtomic(options.out, file.file() + "\n", 0600));
  }
  if (options.out.empty() || program.json()) {
    program.Print(file, [&] { return file.file() + "\n"; });
  }
  program.Remark(fmt::format(
      "good until {} for as many devices as ask; each waits for 'shoal device "
      "accept'{}",
      FormatSeconds(file.expires_at()),
      options.out.empty() ? "" : "; in " + options.out));
  return absl::OkStatus();
}

constexpr uint64_t kMaxRequestFile = 32 * 1024;

absl::Status Pair(Program& program, const PairOptions& options) {
  fleet::v1::PairDeviceRequest request;
  SHOAL_ASSIGN_OR_RETURN(*request.mutable_request(),
                         program.fs().Read(options.request, kMaxRequestFile));
  request.set_fingerprint(options.fingerprint);
  request.set_unchecked(options.unchecked);
  SHOAL_ASSIGN_OR_RETURN(const Labels labels, ParseLabels(options.labels));
  request.mutable_labels()->insert(labels.begin(), labels.end());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto paired, plane->PairDevice(request));
  // Sealed to the device: who reads it learns what an origin serves anyway.
  SHOAL_RETURN_IF_ERROR(
      program.fs().WriteAtomic(options.out, paired.answer(), 0600));
  PrintShort(program, paired.device(), "accepted");
  program.Remark(fmt::format(
      "carry {} to the device: shoal-agent pair --answer-file {}; it is good "
      "for as long as the fleet's timestamp",
      options.out, options.out));
  return absl::OkStatus();
}

absl::Status RotateKey(Program& program, const RotateOptions& options) {
  fleet::v1::RotateNetworkKeyRequest request;
  request.set_reason(options.reason);
  request.set_request_id(HexEncode(crypto::RandomBytes(16)));
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto rotated, plane->RotateNetworkKey(request));
  program.Print(rotated, [&] {
    return fmt::format(
        "epoch {} is sealed to the nodes and {} devices; the one before is in "
        "force until {}\n",
        rotated.epoch(), rotated.devices(),
        FormatSeconds(rotated.overlap_until()));
  });
  program.Remark(
      "operators: run 'shoal context refresh' before the overlap is over");
  return absl::OkStatus();
}

}  // namespace

void AddEnrolmentCommands(CLI::App& app, Program& program) {
  CLI::App* group = app.get_subcommand("device");
  auto accept = std::make_shared<AcceptOptions>();
  CLI::App* command = AddCommand(
      *group, "accept", "Let in a device that waits, or one that was rejected",
      "device accept 0123456789abcdef0123456789abcdef --fingerprint "
      "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ\n"
      "device accept 0123456789abcdef0123456789abcdef --label site=lab");
  command->add_option("device", accept->device, "Device id")->required();
  command->add_option("--fingerprint", accept->fingerprint,
                      "What the device itself shows (shoal-agent fingerprint)");
  command
      ->add_option("--label", accept->labels,
                   "key=value for the device; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--unchecked", accept->unchecked,
                    "Nobody compared the fingerprint of a device for which "
                    "nothing else vouches");
  OnRun(command, program, accept, Accept);

  auto reject = std::make_shared<RejectOptions>();
  command = AddCommand(*group, "reject",
                       "Turn away a device that waits, or take back a "
                       "preauthorization",
                       "device reject 0123456789abcdef0123456789abcdef "
                       "--reason \"not ours\"");
  command->add_option("device", reject->device, "Device id")->required();
  command->add_option("--reason", reject->reason, "Shown on the device")
      ->required();
  OnRun(command, program, reject, Reject);

  auto before = std::make_shared<PreauthorizeOptions>();
  command = AddCommand(
      *group, "preauthorize", "Announce a device: it is accepted when it comes",
      "device preauthorize --type gateway --manufacturer acme --serial "
      "SN-0001 --label site=lab\n"
      "device preauthorize --type gateway --fingerprint "
      "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ");
  command->add_option("--type", before->device_type, "Device type")->required();
  command->add_option("--manufacturer", before->manufacturer,
                      "As the offline targets role names it");
  command->add_option("--serial", before->serial_number,
                      "Serial number of its factory credential");
  command->add_option("--fingerprint", before->fingerprint,
                      "Fingerprint of its key");
  command
      ->add_option("--label", before->labels,
                   "key=value for the device; may be repeated")
      ->allow_extra_args(false);
  OnRun(command, program, before, Preauthorize);

  auto file = std::make_shared<BootstrapOptions>();
  command = AddCommand(
      *group, "bootstrap-file",
      "A file with which devices ask to be let in without a ticket",
      "device bootstrap-file --type gateway --out gateway.bootstrap\n"
      "device bootstrap-file --factory-only --lifetime 700d");
  command->add_option("--type", file->device_type, "Only for this device type");
  command->add_option("--lifetime", file->lifetime,
                      "How long it may be used, at most 2 years [90d]");
  command->add_option("--out", file->out, "Write it to a file");
  command->add_flag("--factory-only", file->factory_only,
                    "Only for devices with a factory credential");
  OnRun(command, program, file, Bootstrap);

  auto pair = std::make_shared<PairOptions>();
  command =
      AddCommand(*group, "pair",
                 "Answer the request of a device without a network, by files",
                 "device pair request.pb --out answer.pb --fingerprint "
                 "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ\n"
                 "device pair request.pb --out answer.pb --label site=lab");
  command
      ->add_option("request", pair->request,
                   "What shoal-agent pair --request-file wrote")
      ->required();
  command->add_option("--out", pair->out, "The answer to carry back")
      ->required();
  command->add_option("--fingerprint", pair->fingerprint,
                      "What the device itself shows (shoal-agent fingerprint)");
  command
      ->add_option("--label", pair->labels,
                   "key=value for the device; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--unchecked", pair->unchecked,
                    "Nobody compared the fingerprint of a device for which "
                    "nothing else vouches");
  OnRun(command, program, pair, Pair);

  group = AddGroup(app, "network", "The fleet's sealed network");
  auto rotate = std::make_shared<RotateOptions>();
  command = AddCommand(*group, "rotate-key",
                       "Make the next epoch of the network key now",
                       "network rotate-key --reason \"laptop lost\"");
  command->add_option("--reason", rotate->reason, "For the audit log")
      ->required();
  OnRun(command, program, rotate, RotateKey);
}

}  // namespace shoal::cli
