// The bytes of images and deltas, once for all devices: each is really fetched
// from the swarm by the first device that asks, each delta is really applied
// once by shoal-patch. A device gets a copy and verifies it itself.
#ifndef SHOAL_SIM_ARTIFACTS_H_
#define SHOAL_SIM_ARTIFACTS_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "agent/link/fleet_link.h"
#include "agent/patch/patch_runner.h"

namespace shoal::sim {

// Thread-safe.
class Artifacts {
 public:
  Artifacts(std::string directory, std::string patch_program)
      : directory_(std::move(directory)),
        patch_program_(std::move(patch_program)) {}

  // Where the bytes of `source` lie, fetched through `link` if need be. Blocks.
  absl::StatusOr<std::string> Fetched(const agent::ArtifactSource& source,
                                      agent::FleetLink& link);
  // As agent::RunPatch, without progress.
  absl::Status Patch(const agent::PatchJob& job);

 private:
  // One at a time for each file.
  struct File {
    std::mutex mutex;
    bool whole = false;
  };
  std::shared_ptr<File> FileOf(const std::string& path);

  const std::string directory_;
  const std::string patch_program_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<File>> files_;  // by path
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_ARTIFACTS_H_
