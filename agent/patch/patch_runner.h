// Applies a delta for the agent: starts shoal-patch, which parses the delta
// in a sandbox, and turns its answer into a status (T35). The agent itself
// never looks into a delta.
#ifndef SHOAL_AGENT_PATCH_PATCH_RUNNER_H_
#define SHOAL_AGENT_PATCH_PATCH_RUNNER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace shoal::agent {

struct PatchJob {
  // Length and hash of the patch must have been checked against the signed
  // delta index before.
  std::string patch_path;
  std::string old_path;              // the active slot, read only
  std::string new_path;              // the inactive slot, made when missing
  uint64_t expected_size = 0;        // of the result, from signed metadata
  std::string expected_sha256;       // 32 bytes, from signed metadata
  std::optional<uint64_t> old_size;  // bytes of the image in a larger slot
  uint64_t max_memory = 8u << 20;    // bytes beyond the program itself
  // From an earlier progress call: go on there after an interruption.
  std::string resume_state;
  // Without any progress for this long the child is killed: "patch_stalled".
  absl::Duration stall_timeout = absl::Minutes(5);
  // Path of shoal-patch; empty: beside the running program.
  std::string program;
  const std::atomic<bool>* cancel = nullptr;  // optional; "cancelled"
};

// Bytes of the result written. When `resume_state` is not empty, everything
// before `written` is on disk, and a job with this state goes on from there.
using PatchProgress =
    std::function<void(uint64_t written, const std::string& resume_state)>;

// Blocks until the result is written, checked and on disk. Reasons: those of
// delta/apply/apply.h unchanged; "patch_crashed" when the child died of a
// signal (the sandbox killed it, out of memory) or gave no answer;
// "patch_stalled", "cancelled"; I/O errors. After any error the new slot's
// content is undefined and must not be booted.
absl::Status RunPatch(const PatchJob& job, const PatchProgress& progress = {});

// What a shoal-patch can do, told by itself.
struct PatchTools {
  uint32_t model = 0;               // version of the context model
  std::vector<std::string> codecs;  // "zlib 1.2.13"
};
// Starts `program` (empty: as in PatchJob) and waits for its answer, a few
// milliseconds. "patch_crashed" also of one that is too old to tell.
absl::StatusOr<PatchTools> AskPatchTools(const std::string& program);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_PATCH_PATCH_RUNNER_H_
