#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <utility>

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

// "modem:7".
absl::StatusOr<ImageNeed> ParseNeed(const std::string& text) {
  ImageNeed need;
  const size_t colon = text.find(':');
  need.artifact = text.substr(0, colon);
  const char* begin = text.data() + (colon == text.npos ? 0 : colon + 1);
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(begin, end, need.min_counter);
  if (colon == text.npos || parsed.ec != std::errc() || parsed.ptr != end)
    return InvalidArgument("bad_need", fmt::format("--requires '{}' is not "
                                                   "ARTIFACT:COUNTER",
                                                   text));
  return need;
}

// Copies a file of a release into the repository and makes its target.
absl::StatusOr<TargetFile> TakeFile(
    const Workspace& work, const Options& options, const Targets& targets,
    const ImageOptions& image, const std::string& name, const std::string& file,
    const std::function<std::string(const FileDigests&)>& custom) {
  TargetFile target;
  target.path = ImagePath(image.type, image.version, name);
  if (targets.targets.contains(target.path))
    return MakeError(absl::StatusCode::kAlreadyExists, "image_exists",
                     target.path + " is signed already; use a new version");
  FileDigests digests;
  if (options.dry_run) {
    SHOAL_ASSIGN_OR_RETURN(digests, DigestFile(file));
  } else {
    const std::string directory =
        JoinPath(work.repository(),
                 fmt::format("targets/fw/{}/{}", image.type, image.version));
    SHOAL_ASSIGN_OR_RETURN(
        digests, CopyDigested(file, directory, [&](const FileDigests& d) {
          return HexEncode(d.sha256) + "." + name;
        }));
  }
  target.length = digests.length;
  target.sha256 = digests.sha256;
  target.custom = custom(digests);
  return target;
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
  ImageInfo info{image.type,
                 image.version,
                 image.artifact,
                 image.counter,
                 image.min_counter,
                 "",
                 0,
                 image.hardware,
                 {}};
  for (const std::string& text : image.needs) {
    SHOAL_ASSIGN_OR_RETURN(ImageNeed need, ParseNeed(text));
    info.needs.push_back(std::move(need));
  }
  SHOAL_ASSIGN_OR_RETURN(
      TargetFile target,
      TakeFile(*work, options, targets, image, image.artifact, image.file,
               [&](const FileDigests& digests) {
                 info.file_root = digests.file_root;
                 info.piece_length = digests.piece_length;
                 return FormatImageInfo(info);
               }));
  // Says what is wrong with hardware and needs before anything is signed.
  SHOAL_RETURN_IF_ERROR(ParseImageInfo(target));
  targets.targets.emplace(target.path, target);
  for (const std::string& text : image.attachments) {
    const size_t equals = text.find('=');
    if (equals == text.npos)
      return InvalidArgument("bad_attachment", "--attach is NAME=FILE");
    AttachmentInfo about;
    about.device_type = image.type;
    about.version = image.version;
    about.name = text.substr(0, equals);
    SHOAL_RETURN_IF_ERROR(CheckName("attachment", about.name));
    const std::string file = text.substr(equals + 1);
    about.media_type = file.ends_with(".json") ? "application/json" : "";
    SHOAL_ASSIGN_OR_RETURN(
        target, TakeFile(*work, options, targets, image, about.name, file,
                         [&](const FileDigests& digests) {
                           about.file_root = digests.file_root;
                           about.piece_length = digests.piece_length;
                           return FormatAttachmentInfo(about);
                         }));
    SHOAL_RETURN_IF_ERROR(ParseAttachmentInfo(target));
    targets.targets.emplace(target.path, target);
  }
  if (image.attachments.size() > static_cast<size_t>(kMaxAttachments))
    return InvalidArgument(
        "bad_attachment",
        fmt::format("at most {} attachments a release", kMaxAttachments));
  Change change(*work);
  SHOAL_RETURN_IF_ERROR(change.Propose(role, targets));
  return change.Finish();
}

}  // namespace shoal::signing
