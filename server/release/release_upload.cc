// The files of an upload: the image, then what else is signed for the version.
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/release/releases.h"
#include "server/trust/file_names.h"

namespace shoal::server {
namespace {

constexpr int kMaxArtifacts = 16;

release::v1::Artifact ArtifactOf(const signing::TargetFile& target,
                                 const signing::ImageInfo& info) {
  release::v1::Artifact artifact;
  artifact.set_name(info.artifact);
  artifact.set_target(target.path);
  artifact.set_length(target.length);
  artifact.set_sha256(HexEncode(target.sha256));
  artifact.set_counter(info.counter);
  artifact.set_min_counter(info.min_counter);
  for (const std::string& one : info.hardware) artifact.add_hardware(one);
  for (const signing::ImageNeed& need : info.needs) {
    auto* entry = artifact.add_needs();
    entry->set_artifact(need.artifact);
    entry->set_min_counter(need.min_counter);
  }
  artifact.set_file_root(info.file_root);
  artifact.set_piece_length(static_cast<uint32_t>(info.piece_length));
  return artifact;
}

}  // namespace

// Begin() verified the metadata through the TUF workflow.
absl::Status Releases::FindBeside(
    Upload& upload, const std::map<std::string, std::string>& metadata) {
  const auto& header = upload.header_;
  std::string bytes = header.metadata();
  if (bytes.empty()) {
    const auto view = trust_.View();
    const std::string role = "fw-" + header.device_type();
    const auto version = view->versions.find(role);
    if (version == view->versions.end())
      return NotFound("unknown_target", "no metadata of " + role);
    bytes = view->metadata.at(MetadataFileName(role, version->second));
  }
  SHOAL_ASSIGN_OR_RETURN(const auto parsed, signing::ParseTargets(bytes));
  release::v1::Release& release = *upload.beside_.mutable_release();
  *release.add_artifacts() = ArtifactOf(upload.target_, upload.info_);
  const std::string prefix =
      signing::ImagePath(header.device_type(), header.version(), "");
  for (const auto& [path, named] : parsed.value.targets) {
    if (!path.starts_with(prefix) || path == upload.target_.path) continue;
    // As a device finds it, whatever the file says.
    SHOAL_ASSIGN_OR_RETURN(const auto target,
                           trust_.FindTargetWith(metadata, path));
    if (signing::IsAttachment(target)) {
      SHOAL_ASSIGN_OR_RETURN(const auto info,
                             signing::ParseAttachmentInfo(target));
      auto* attachment = release.add_attachments();
      attachment->set_name(info.name);
      attachment->set_target(target.path);
      attachment->set_length(target.length);
      attachment->set_sha256(HexEncode(target.sha256));
      attachment->set_media_type(info.media_type);
    } else {
      SHOAL_ASSIGN_OR_RETURN(const auto info, signing::ParseImageInfo(target));
      *release.add_artifacts() = ArtifactOf(target, info);
    }
    upload.files_[path.substr(prefix.size())].target = target;
  }
  if (release.attachments_size() > signing::kMaxAttachments ||
      release.artifacts_size() > kMaxArtifacts)
    return InvalidArgument(
        "bad_request",
        fmt::format("a release has at most {} artifacts and {} attachments",
                    kMaxArtifacts, signing::kMaxAttachments));
  return absl::OkStatus();
}

absl::Status Releases::Upload::BeginFile(const std::string& name) {
  if (!current_.empty()) SHOAL_RETURN_IF_ERROR(EndFile());
  const auto file = files_.find(name);
  if (file == files_.end())
    return NotFound(
        "unknown_target",
        fmt::format("nothing named '{:.64}' is signed for {}/{}: "
                    "shoal-sign image add --attach signs it",
                    name, header_.device_type(), header_.version()));
  if (file->second.complete)
    return InvalidArgument("bad_request", name + " came already");
  SHOAL_ASSIGN_OR_RETURN(file->second.writer,
                         BlobWriter::Create(owner_.blobs_));
  current_ = name;
  return absl::OkStatus();
}

absl::Status Releases::Upload::Append(std::string_view bytes) {
  File& file = files_.at(current_);
  if (file.writer->length() + bytes.size() > file.target.length) {
    return DataLoss("length_mismatch",
                    fmt::format("{}: more than the {} bytes that are signed",
                                current_, file.target.length));
  }
  return file.writer->Append(bytes);
}

absl::Status Releases::Upload::EndFile() {
  File& file = files_.at(current_);
  if (file.complete) return absl::OkStatus();
  if (file.writer->length() != file.target.length) {
    return DataLoss("length_mismatch",
                    fmt::format("{}: {} bytes came, {} are signed", current_,
                                file.writer->length(), file.target.length));
  }
  if (file.writer->Sha256() != file.target.sha256) {
    return DataLoss("hash_mismatch",
                    fmt::format("{} is not the one that was signed", current_));
  }
  file.complete = true;
  return absl::OkStatus();
}

}  // namespace shoal::server
