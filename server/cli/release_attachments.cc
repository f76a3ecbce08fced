// shoal release attachments, shoal release download: files about a release,
// believed only by what the fw- role signed.
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/fleet_view.h"
#include "server/cli/parse.h"
#include "server/cli/release_parts.h"
#include "signing/metadata/image_info.h"

namespace shoal::cli {
namespace {

struct AttachmentOptions {
  std::string release;
  std::string name;
  std::string out;
};

absl::StatusOr<release::v1::Release> Load(Program& program,
                                          const ReleaseId& id) {
  release::v1::GetReleaseRequest request;
  request.set_name(id.Name());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  return plane->GetRelease(request);
}

absl::Status ListAttachments(Program& program,
                             const AttachmentOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId id, ParseReleaseId(options.release));
  SHOAL_ASSIGN_OR_RETURN(const auto release, Load(program, id));
  program.Print(release, [&] {
    Table table({"NAME", "SIZE", "TYPE", "SHA256"});
    for (const auto& one : release.attachments())
      table.AddRow({one.name(), HumanBytes(one.length()),
                    one.media_type().empty() ? "-" : one.media_type(),
                    one.sha256()});
    return table.Render(program.width());
  });
  return absl::OkStatus();
}

// What the fw- role signed under this name, by metadata that the tool verifies
// itself: shoald's word is not enough.
absl::StatusOr<signing::TargetFile> SignedAttachment(Program& program,
                                                     PlaneClient& plane,
                                                     const ReleaseId& id,
                                                     const std::string& name) {
  SHOAL_ASSIGN_OR_RETURN(const Context* context, program.CurrentContext());
  SHOAL_ASSIGN_OR_RETURN(const auto network, plane.GetNetwork(KnownLogSize(
                                                 *context, program.fs())));
  SHOAL_ASSIGN_OR_RETURN(
      const auto targets,
      SignedTargets(*context, network, "fw-" + id.device_type, program.fs(),
                    program.clock()));
  const std::string path = signing::ImagePath(id.device_type, id.version, name);
  for (const signing::TargetFile& target : targets) {
    if (target.path != path) continue;
    SHOAL_RETURN_IF_ERROR(signing::ParseAttachmentInfo(target));
    return target;
  }
  return NotFound("unknown_target", fmt::format("fw-{} signed nothing as {}",
                                                id.device_type, path));
}

absl::Status Download(Program& program, const AttachmentOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId id, ParseReleaseId(options.release));
  if (!IsIdentifier(options.name)) {
    return UsageError("an attachment's name is an identifier, such as sbom");
  }
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const signing::TargetFile target,
                         SignedAttachment(program, *plane, id, options.name));
  release::v1::DownloadAttachmentRequest request;
  request.set_name(id.Name() + "/attachments/" + options.name);
  std::string bytes;
  SHOAL_RETURN_IF_ERROR(plane->DownloadAttachment(
      request,
      [&](const release::v1::DownloadAttachmentResponse& part) -> absl::Status {
        if (bytes.size() + part.chunk().size() > target.length) {
          return DataLoss("length_mismatch",
                          "shoald sends more than was signed");
        }
        bytes += part.chunk();
        return absl::OkStatus();
      }));
  if (bytes.size() != target.length ||
      crypto::Sha256Digest(bytes) != target.sha256) {
    return DataLoss(
        "hash_mismatch",
        "what shoald sends is not what was signed as " + target.path);
  }
  const std::string out =
      options.out.empty()
          ? fmt::format("{}-{}-{}", id.device_type, id.version, options.name)
          : options.out;
  SHOAL_RETURN_IF_ERROR(program.fs().WriteAtomic(out, bytes, 0644));
  if (program.json()) {
    program.PrintJson(JsonObject()
                          .Text("file", out)
                          .Number("bytes", bytes.size())
                          .Text("sha256", HexEncode(target.sha256))
                          .ToString());
  } else {
    program.PrintText(fmt::format("{}: {}, as signed by fw-{}\n", out,
                                  HumanBytes(bytes.size()), id.device_type));
  }
  return absl::OkStatus();
}

}  // namespace

std::string DescribeParts(const release::v1::Release& release) {
  std::string text;
  for (const auto& artifact : release.artifacts()) {
    std::string line;
    for (const auto& hardware : artifact.hardware())
      line += (line.empty() ? " for " : ", ") + hardware;
    for (const auto& need : artifact.needs())
      line += fmt::format("; needs {} {} or later", need.artifact(),
                          need.min_counter());
    if (artifact.target() == release.image_target() && line.empty()) continue;
    text +=
        fmt::format("artifact     {} {}, counter {}{}\n", artifact.name(),
                    HumanBytes(artifact.length()), artifact.counter(), line);
  }
  for (const auto& one : release.attachments())
    text += fmt::format("attachment   {} {}\n", one.name(),
                        HumanBytes(one.length()));
  return text;
}

void AddAttachmentCommands(CLI::App& releases, Program& program) {
  auto list = std::make_shared<AttachmentOptions>();
  CLI::App* command =
      AddCommand(releases, "attachments", "Signed files about a release",
                 "release attachments gateway/1.4.0");
  command->add_option("release", list->release, "TYPE/VERSION")->required();
  OnRun(command, program, list, ListAttachments);

  auto download = std::make_shared<AttachmentOptions>();
  command =
      AddCommand(releases, "download",
                 "Fetch an attachment and check it against what was signed",
                 "release download gateway/1.4.0 sbom --out bom.spdx.json");
  command->add_option("release", download->release, "TYPE/VERSION")->required();
  command->add_option("name", download->name, "sbom, provenance, …")
      ->required();
  command->add_option("--out", download->out, "Where to [TYPE-VERSION-NAME]");
  OnRun(command, program, download, Download);
}

}  // namespace shoal::cli
