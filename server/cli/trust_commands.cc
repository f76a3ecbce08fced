// shoal trust: offline-signed metadata.
#include <fmt/format.h>

#include <algorithm>

#include "common/bytes.h"
#include "common/crypto/key_certificate.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/fleet_view.h"
#include "server/cli/repo_reader.h"

namespace shoal::cli {
namespace {

struct PublishOptions {
  std::string repository;
};

std::string VersionTable(
    const google::protobuf::Map<std::string, uint64_t>& versions) {
  std::map<std::string, uint64_t> sorted(versions.begin(), versions.end());
  Table table({"ROLE", "VERSION"});
  for (const auto& [role, version] : sorted) {
    table.AddRow({role, std::to_string(version)});
  }
  return table.Render();
}

absl::Status Publish(Program& program, const PublishOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto now, plane->GetTrust());
  const std::map<std::string, uint64_t> in_force(now.versions().begin(),
                                                 now.versions().end());
  SHOAL_ASSIGN_OR_RETURN(
      const trust::v1::PublishRequest request,
      NewOfflineMetadata(program.fs(), options.repository, in_force));
  if (request.metadata().empty()) {
    program.Remark(
        "nothing new: the management plane has all offline "
        "metadata of " +
        options.repository);
    trust::v1::PublishResponse same;
    *same.mutable_versions() = now.versions();
    program.Print(same, [&] { return VersionTable(same.versions()); });
    return absl::OkStatus();
  }
  SHOAL_ASSIGN_OR_RETURN(const auto response, plane->PublishTrust(request));
  std::vector<std::string> files;
  for (const auto& [name, bytes] : request.metadata()) files.push_back(name);
  program.Remark("published " + JoinSorted(files));
  program.Print(response, [&] { return VersionTable(response.versions()); });
  return absl::OkStatus();
}

absl::Status Show(Program& program, const NoOptions&) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto trust, plane->GetTrust());
  program.Print(trust, [&] {
    return fmt::format("fleet              {}\ntimestamp expires  {}\n\n{}",
                       trust.fleet_id(),
                       FormatSeconds(trust.timestamp_expires()),
                       VersionTable(trust.versions()));
  });
  return absl::OkStatus();
}

struct DeviceCaOptions {
  std::string out;
};

// The plane says it; that the offline keys name this CA is looked up in the
// context's own metadata.
absl::Status DeviceCa(Program& program, const DeviceCaOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto answer, plane->GetTrust());
  const std::string& pem = answer.device_ca_certificate();
  SHOAL_ASSIGN_OR_RETURN(const std::string key, crypto::KeyOfCa(pem));
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto network, program.StoredNetwork());
  SHOAL_ASSIGN_OR_RETURN(
      const StoredTrust stored,
      LoadTrust(*context, network, program.fs(), program.clock()));
  const auto& keys = stored.trust.device_ca_keys;
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
    return PermissionDenied(
        "untrusted_ca",
        "the fleet's offline keys do not name the device CA that the plane "
        "shows; if it was replaced just now: shoal context refresh");
  }
  if (!options.out.empty()) {
    SHOAL_RETURN_IF_ERROR(program.fs().WriteAtomic(options.out, pem));
    program.Remark("in " + options.out);
    return absl::OkStatus();
  }
  trust::v1::GetTrustResponse shown;
  shown.set_device_ca_certificate(pem);
  program.Print(shown, [&] { return pem; });
  return absl::OkStatus();
}

}  // namespace

void AddTrustCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "trust", "The fleet's signed metadata");
  auto publish = std::make_shared<PublishOptions>();
  CLI::App* command = AddCommand(
      *group, "publish",
      "Send what the offline keys signed anew (root, targets, fw-TYPE, policy)",
      "trust publish repo");
  command
      ->add_option("repo", publish->repository,
                   "Repository directory as shoal-sign keeps it")
      ->required();
  OnRun(command, program, publish, Publish);
  OnRun(AddCommand(*group, "show", "Versions in force and their expiry",
                   "trust show"),
        program, std::make_shared<NoOptions>(), Show);
  auto ca = std::make_shared<DeviceCaOptions>();
  command = AddCommand(
      *group, "device-ca",
      "The device CA's X.509 certificate, for services that devices call",
      "trust device-ca --out device-ca.pem\n"
      "trust device-ca | openssl x509 -noout -text");
  command->add_option("--out", ca->out, "Write it to a file");
  OnRun(command, program, ca, DeviceCa);
}

}  // namespace shoal::cli
