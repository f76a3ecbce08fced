#include <fmt/format.h>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/image_info.h"
#include "signing/tool/change.h"
#include "signing/tool/commands.h"
#include "signing/tool/copy.h"

namespace shoal::signing {
namespace {

absl::Status CheckName(std::string_view what, const std::string& name) {
  if (IsIdentifier(name)) return absl::OkStatus();
  return InvalidArgument(
      "bad_name",
      fmt::format("{} '{:.80}' is no identifier: letters, digits, '.', '_' and "
                  "'-', at most 64, not starting with '.' or '-'",
                  what, name));
}

}  // namespace

absl::Status RunDeviceTypeAdd(const Options& options, const std::string& type,
                              const KeyChoice& keys) {
  SHOAL_RETURN_IF_ERROR(CheckName("device type", type));
  const std::string role_name = "fw-" + type;
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets("targets"));
  if (!targets.delegations) targets.delegations.emplace();
  if (FindDelegation(targets, role_name) != nullptr)
    return MakeError(absl::StatusCode::kAlreadyExists, "device_type_exists",
                     "the device type " + type + " exists");
  DelegatedRole role{role_name, {}, true, {fmt::format("fw/{}/*/*", type)}, {}};
  SHOAL_ASSIGN_OR_RETURN(
      role.keys, ChooseKeys(*work, role_name, keys, targets.delegations->keys));
  // fw-* roles come first: nobody after them can speak for an image.
  auto& roles = targets.delegations->roles;
  auto place = roles.begin();
  while (place != roles.end() && place->name.starts_with("fw-")) ++place;
  roles.insert(place, std::move(role));
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose("targets", targets));
  SHOAL_RETURN_IF_ERROR(change.Propose(role_name, {}));
  return change.Finish();
}

absl::Status RunImageAdd(const Options& options, const ImageOptions& image) {
  SHOAL_RETURN_IF_ERROR(CheckName("device type", image.type));
  SHOAL_RETURN_IF_ERROR(CheckName("version", image.version));
  SHOAL_RETURN_IF_ERROR(CheckName("artifact", image.artifact));
  if (image.counter < 1 || image.min_counter > image.counter)
    return InvalidArgument("bad_counter",
                           "--counter is at least 1, --min-counter at most "
                           "--counter");
  const std::string role = "fw-" + image.type;
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options));
  SHOAL_ASSIGN_OR_RETURN(Targets targets, work->NewestTargets(role));
  TargetFile target;
  target.path = ImagePath(image.type, image.version, image.artifact);
  if (targets.targets.contains(target.path))
    return MakeError(absl::StatusCode::kAlreadyExists, "image_exists",
                     target.path + " is signed already; use a new version");
  FileDigests digests;
  if (options.dry_run) {
    SHOAL_ASSIGN_OR_RETURN(digests, DigestFile(image.file));
  } else {
    const std::string directory =
        JoinPath(work->repository(),
                 fmt::format("targets/fw/{}/{}", image.type, image.version));
    SHOAL_ASSIGN_OR_RETURN(
        digests, CopyDigested(image.file, directory, [&](const FileDigests& d) {
          return HexEncode(d.sha256) + "." + image.artifact;
        }));
  }
  target.length = digests.length;
  target.sha256 = digests.sha256;
  target.custom = FormatImageInfo({image.type, image.version, image.artifact,
                                   image.counter, image.min_counter,
                                   digests.file_root, digests.piece_length});
  targets.targets.emplace(target.path, target);
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose(role, targets));
  return change.Finish();
}

}  // namespace shoal::signing
