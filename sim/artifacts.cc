#include "sim/artifacts.h"

#include <atomic>

#include "agent/install/image_file.h"
#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::sim {

std::shared_ptr<Artifacts::File> Artifacts::FileOf(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto& file = files_[path];
  if (!file) file = std::make_shared<File>();
  return file;
}

absl::StatusOr<std::string> Artifacts::Fetched(
    const agent::ArtifactSource& source, agent::FleetLink& link) {
  const std::string path = JoinPath(directory_, HexEncode(source.sha256));
  const auto file = FileOf(path);
  std::lock_guard lock(file->mutex);
  if (file->whole) return path;
  SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(directory_));
  const std::atomic<bool> never{false};
  SHOAL_RETURN_IF_ERROR(
      link.artifacts().Fetch(source, path, agent::Substitute::kNone, never));
  file->whole = true;
  return path;
}

absl::Status Artifacts::Patch(const agent::PatchJob& job) {
  // The base's digest was checked by the engine; the result's is, here and
  // after each copy.
  const std::string path =
      JoinPath(directory_, "patched-" + HexEncode(job.expected_sha256));
  const auto file = FileOf(path);
  std::lock_guard lock(file->mutex);
  if (!file->whole) {
    agent::PatchJob once = job;
    once.new_path = path;
    once.resume_state.clear();
    once.program = patch_program_;
    once.cancel = nullptr;
    SHOAL_RETURN_IF_ERROR(agent::RunPatch(once));
    file->whole = true;
  }
  return agent::CopyVerified(path, job.new_path, job.expected_size,
                             job.expected_sha256);
}

}  // namespace shoal::sim
