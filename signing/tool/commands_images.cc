#include <fmt/format.h>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "signing/metadata/image_info.h"
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

absl::Status RunDeviceTypeAdd(const Options& options, const std::string& type) {
  SHOAL_RETURN_IF_ERROR(CheckName("device type", type));
  const std::string role_name = "fw-" + type;
  SHOAL_ASSIGN_OR_RETURN(const std::unique_ptr<Workspace> work,
                         Workspace::Open(options, false));
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, work->NewestTargets("targets"));
  Targets& targets = parsed.value;
  if (!targets.delegations) targets.delegations.emplace();
  if (FindDelegation(targets, role_name) != nullptr)
    return MakeError(absl::StatusCode::kAlreadyExists, "device_type_exists",
                     "the device type " + type + " exists");
  // A key that an earlier, interrupted run made is taken up again.
  absl::StatusOr<crypto::SigningKey> signer =
      work->keys().Has(role_name) ? work->keys().Load(role_name)
                                  : work->keys().Create(role_name);
  SHOAL_RETURN_IF_ERROR(signer);
  Key key = MakeEd25519Key(signer->public_key());
  DelegatedRole role{
      role_name, {{key.id}, 1}, true, {fmt::format("fw/{}/*/*", type)}, {}};
  targets.delegations->keys.emplace(key.id, std::move(key));
  // fw-* roles come first: nobody after them can speak for an image.
  auto& roles = targets.delegations->roles;
  auto place = roles.begin();
  while (place != roles.end() && place->name.rfind("fw-", 0) == 0) ++place;
  roles.insert(place, std::move(role));
  // The role's file first: targets.json must never name a role without one.
  SHOAL_ASSIGN_OR_RETURN(const uint64_t newest, work->NewestVersion(role_name));
  if (newest == 0)
    SHOAL_RETURN_IF_ERROR(work->WriteDelegated(targets, role_name, {}));
  SHOAL_RETURN_IF_ERROR(work->WriteTargets(targets));
  fmt::print("device type {}: role {}\n", type, role_name);
  return absl::OkStatus();
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
                         Workspace::Open(options, false));
  SHOAL_ASSIGN_OR_RETURN(const ParsedTargets top,
                         work->NewestTargets("targets"));
  SHOAL_ASSIGN_OR_RETURN(ParsedTargets parsed, work->NewestTargets(role));
  Targets& targets = parsed.value;

  TargetFile target;
  target.path = ImagePath(image.type, image.version, image.artifact);
  if (targets.targets.contains(target.path))
    return MakeError(absl::StatusCode::kAlreadyExists, "image_exists",
                     target.path + " is signed already; use a new version");
  for (const auto& [path, file] : targets.targets) {
    SHOAL_ASSIGN_OR_RETURN(const ImageInfo other, ParseImageInfo(file));
    if (other.counter == image.counter && other.artifact == image.artifact)
      return MakeError(
          absl::StatusCode::kAlreadyExists, "counter_used",
          fmt::format("{} has the counter {}", path, image.counter));
  }
  const std::string directory =
      JoinPath(work->repository(),
               fmt::format("targets/fw/{}/{}", image.type, image.version));
  SHOAL_ASSIGN_OR_RETURN(
      const FileDigests digests,
      CopyDigested(image.file, directory, [&](const FileDigests& d) {
        return HexEncode(d.sha256) + "." + image.artifact;
      }));
  target.length = digests.length;
  target.sha256 = digests.sha256;
  target.custom = FormatImageInfo({image.type, image.version, image.artifact,
                                   image.counter, image.min_counter,
                                   digests.file_root, digests.piece_length});
  SHOAL_RETURN_IF_ERROR(ParseImageInfo(target));
  targets.targets.emplace(target.path, target);
  SHOAL_RETURN_IF_ERROR(work->WriteDelegated(top.value, role, targets));
  fmt::print("{}: {} bytes, sha256 {}, counter {}\n", target.path,
             target.length, HexEncode(target.sha256), image.counter);
  return absl::OkStatus();
}

}  // namespace shoal::signing
