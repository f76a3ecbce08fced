// shoal release.
#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <memory>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/status.h"
#include "server/cli/command_line.h"
#include "server/cli/exit_code.h"
#include "server/cli/export_tree.h"
#include "server/cli/parse.h"
#include "server/cli/progress.h"
#include "server/cli/release_parts.h"
#include "server/cli/repo_reader.h"

namespace shoal::cli {
namespace {

constexpr size_t kChunk = 1 << 20;

struct CreateOptions {
  std::string repository;
  std::string device_type;
  std::string version;
  std::string notes;
  std::string sbom;
  std::string provenance;
};
struct NameOptions {
  std::string name;
};
struct ListOptions {
  std::string device_type;
};

std::string Describe(const release::v1::Release& release) {
  return fmt::format(
             "release      {}/{}\ncounter      {} (floor once committed: {})\n"
             "size         {}\nsha256       {}\nimage        {}\ncreated      "
             "{}\n"
             "running on   {} devices\nnotes        {}\n",
             release.device_type(), release.version(), release.counter(),
             release.min_counter(), HumanBytes(release.length()),
             release.sha256(), release.image_target(),
             FormatMillis(release.created_at()), release.devices(),
             release.notes().empty() ? "-" : release.notes()) +
         DescribeParts(release);
}

// The bytes of a file as they are sent; at the end they must be the signed
// ones.
absl::StatusOr<PlaneClient::NextChunk> Chunks(
    const std::string& path, const signing::TargetFile& target,
    std::function<void(uint64_t)> advance) {
  const auto file = std::make_shared<std::ifstream>(path, std::ios::binary);
  if (!*file) return ErrnoError(errno, "open " + path);
  const auto hash = std::make_shared<crypto::Sha256>();
  return [=]() -> absl::StatusOr<std::string> {
    std::string chunk(kChunk, '\0');
    file->read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    if (file->bad()) return ErrnoError(EIO, "read " + path);
    chunk.resize(static_cast<size_t>(file->gcount()));
    hash->Update(chunk);
    advance(chunk.size());
    if (chunk.empty() && hash->Finish() != target.sha256) {
      return DataLoss(
          "hash_mismatch",
          fmt::format("{} is not what was signed as {}", path, target.path));
    }
    return chunk;
  };
}

// --sbom and --provenance: another place of the bytes than the repository.
absl::Status TakeFile(const std::string& name, const std::string& path,
                      ReleaseImage& image) {
  if (path.empty()) return absl::OkStatus();
  for (auto& file : image.beside) {
    if (file.name != name || !file.attachment) continue;
    file.path = path;
    return absl::OkStatus();
  }
  return FailedPrecondition(
      "not_signed",
      fmt::format("{} names no attachment '{}' of this version: shoal-sign "
                  "image add --attach {}={} signs it with the image",
                  image.metadata_name, name, name, path));
}

absl::Status Create(Program& program, const CreateOptions& options) {
  if (!IsIdentifier(options.device_type) || !IsIdentifier(options.version)) {
    return UsageError(
        "type and version are names of letters, digits, '.', '_', '-'");
  }
  SHOAL_ASSIGN_OR_RETURN(ReleaseImage image,
                         FindRelease(program.fs(), options.repository,
                                     options.device_type, options.version));
  SHOAL_RETURN_IF_ERROR(TakeFile("sbom", options.sbom, image));
  SHOAL_RETURN_IF_ERROR(TakeFile("provenance", options.provenance, image));
  release::v1::CreateReleaseHeader header;
  header.set_device_type(options.device_type);
  header.set_version(options.version);
  header.set_metadata(image.metadata);
  header.set_notes(options.notes);
  header.set_request_id(HexEncode(crypto::RandomBytes(16)));
  uint64_t bytes = image.target.length;
  for (const auto& file : image.beside) bytes += file.target.length;
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  absl::StatusOr<release::v1::Release> created =
      Internal("unspecified", "not sent");
  {
    ProgressLine progress(program.streams().err,
                          program.streams().err_is_terminal && !program.json(),
                          program.clock(), "uploading", bytes);
    uint64_t sent = 0;
    const auto advance = [&](uint64_t more) { progress.Update(sent += more); };
    SHOAL_ASSIGN_OR_RETURN(const auto next,
                           Chunks(image.path, image.target, advance));
    std::vector<PlaneClient::UploadFile> beside;
    for (const auto& file : image.beside) {
      SHOAL_ASSIGN_OR_RETURN(auto chunks,
                             Chunks(file.path, file.target, advance));
      beside.push_back({file.name, std::move(chunks)});
    }
    created = plane->CreateRelease(header, next, beside);
  }
  SHOAL_RETURN_IF_ERROR(created.status());
  program.Print(*created, [&] { return Describe(*created); });
  return absl::OkStatus();
}

absl::Status List(Program& program, const ListOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  release::v1::ListReleasesRequest request;
  request.set_page_size(1000);
  request.set_device_type(options.device_type);
  release::v1::ListReleasesResponse all;
  do {
    SHOAL_ASSIGN_OR_RETURN(auto page, plane->ListReleases(request));
    all.mutable_releases()->MergeFrom(page.releases());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  program.Print(all, [&] {
    Table table(
        {"TYPE", "VERSION", "COUNTER", "FLOOR", "SIZE", "DEVICES", "CREATED"});
    for (const auto& release : all.releases()) {
      table.AddRow({release.device_type(), release.version(),
                    std::to_string(release.counter()),
                    std::to_string(release.min_counter()),
                    HumanBytes(release.length()),
                    std::to_string(release.devices()),
                    FormatMillis(release.created_at())});
    }
    return table.Render(program.width());
  });
  return absl::OkStatus();
}

absl::Status Get(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(const ReleaseId id, ParseReleaseId(options.name));
  release::v1::GetReleaseRequest request;
  request.set_name(id.Name());
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  SHOAL_ASSIGN_OR_RETURN(const auto release, plane->GetRelease(request));
  program.Print(release, [&] { return Describe(release); });
  return absl::OkStatus();
}

absl::Status Export(Program& program, const NameOptions& options) {
  SHOAL_ASSIGN_OR_RETURN(PlaneClient * plane, program.Plane());
  ExportTree tree(program.fs(), options.name);
  SHOAL_RETURN_IF_ERROR(plane->ExportRepository(
      [&](const release::v1::ExportRepositoryResponse& part) {
        return tree.Add(part);
      }));
  SHOAL_RETURN_IF_ERROR(tree.Finish());
  if (program.json()) {
    program.PrintJson(JsonObject()
                          .Text("directory", options.name)
                          .Number("files", tree.files())
                          .Number("bytes", tree.bytes())
                          .ToString());
  } else {
    program.PrintText(fmt::format("{} files, {} in {}\n", tree.files(),
                                  HumanBytes(tree.bytes()), options.name));
  }
  return absl::OkStatus();
}

}  // namespace

void AddReleaseCommands(CLI::App& app, Program& program) {
  CLI::App* group = AddGroup(app, "release", "Signed images of a device type");
  auto create = std::make_shared<CreateOptions>();
  CLI::App* command = AddCommand(
      *group, "create", "Upload an image that the offline role signed",
      "release create --repo repo --type gateway --version 1.4.0 --notes "
      "'fixes the modem'");
  command
      ->add_option("--repo", create->repository,
                   "Repository directory as shoal-sign keeps it")
      ->required();
  command->add_option("--type", create->device_type, "Device type")->required();
  command->add_option("--version", create->version, "Version")->required();
  command->add_option("--notes", create->notes, "What is new, for people");
  command->add_option("--sbom", create->sbom,
                      "The bill of materials that was signed with the image "
                      "[from the repository]");
  command->add_option("--provenance", create->provenance,
                      "The provenance that was signed with it "
                      "[from the repository]");
  OnRun(command, program, create, Create);

  auto list = std::make_shared<ListOptions>();
  command = AddCommand(*group, "list", "All releases",
                       "release list\nrelease list --type gateway");
  command->add_option("--type", list->device_type, "Of this device type");
  OnRun(command, program, list, List);

  auto get = std::make_shared<NameOptions>();
  command = AddCommand(*group, "get", "All about one release",
                       "release get gateway/1.4.0");
  command->add_option("release", get->name, "TYPE/VERSION")->required();
  OnRun(command, program, get, Get);

  auto out = std::make_shared<NameOptions>();
  command = AddCommand(
      *group, "export",
      "Write the tree that a stock TUF client or an HTTP origin serves",
      "release export /srv/www/fleet");
  command->add_option("directory", out->name, "Where to")->required();
  OnRun(command, program, out, Export);
  AddAttachmentCommands(*group, program);
  AddDeltaCommands(*group, program);
  AddReleaseDeleteCommand(*group, program);
}

}  // namespace shoal::cli
