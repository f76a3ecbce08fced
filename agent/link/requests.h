// How `shoal-agent install`, `consent` and `postpone` speak to a running agent:
// small files below DIR/requests, which only the owner of DIR may write.
// Without a running agent the command does the work itself, under the same
// lock.
#ifndef SHOAL_AGENT_LINK_REQUESTS_H_
#define SHOAL_AGENT_LINK_REQUESTS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/engine/offline_install.h"
#include "common/files.h"

namespace shoal::agent {

// Holds DIR/state/lock: one agent (or install command) per data directory.
// "agent_running" (kFailedPrecondition) when another process holds it.
absl::StatusOr<FileDescriptor> LockData(FileSystem& fs,
                                        const AgentConfig& config);

struct InstallAnswer {
  absl::Status status;
  OfflineResult result;
};

// The command's side: leaves the request and waits for the answer;
// "agent_silent" after `timeout`.
absl::StatusOr<InstallAnswer> AskForInstall(FileSystem& fs,
                                            const AgentConfig& config,
                                            const OfflineRequest& request,
                                            absl::Duration timeout);
// The agent's side.
struct PendingInstall {
  std::string id;
  OfflineRequest request;
};
std::optional<PendingInstall> TakeInstallRequest(FileSystem& fs,
                                                 const AgentConfig& config);
absl::Status AnswerInstall(FileSystem& fs, const AgentConfig& config,
                           const std::string& id, const InstallAnswer& answer);

// The owner puts a rollout off until then; it counts only for a rollout that is
// optional, until its deadline. A later call takes the place of an earlier one.
// "bad_name", "bad_time" beyond 7 days.
absl::Status Postpone(FileSystem& fs, const AgentConfig& config,
                      const std::string& rollout_id, absl::Time until,
                      absl::Time now);
// The infinite past when it was not put off.
absl::Time PostponedUntil(FileSystem& fs, const AgentConfig& config,
                          const std::string& rollout_id);

// Consent of somebody at the device to one rollout.
absl::Status GiveConsent(FileSystem& fs, const AgentConfig& config,
                         const std::string& rollout_id);
bool HasConsent(FileSystem& fs, const AgentConfig& config,
                const std::string& rollout_id);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_LINK_REQUESTS_H_
