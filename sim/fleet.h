// The real part of a simulated fleet: offline keys, shoald, storage nodes, an
// operator, two releases; all by the programs that a user would run.
#ifndef SHOAL_SIM_FLEET_H_
#define SHOAL_SIM_FLEET_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/subprocess.h"

namespace shoal::sim {

inline constexpr char kDeviceType[] = "sim";
inline constexpr char kOldVersion[] = "1.0";
inline constexpr char kNewVersion[] = "2.0";
inline constexpr char kRollout[] = "sim";

// A daemon of the fleet, as long as it runs.
struct Daemon {
  std::string name;       // "shoald", "node-1"
  std::string directory;  // its data
  std::string metrics;    // "127.0.0.1:PORT"
  std::unique_ptr<Subprocess> process;
};

class Fleet {
 public:
  // `programs`: where the programs are; `directory`: empty or new.
  Fleet(std::string programs, std::string directory)
      : programs_(std::move(programs)), directory_(std::move(directory)) {}
  ~Fleet();

  // Keys, policy, plane, `nodes` storage nodes, and the images 1.0 and 2.0 as
  // releases. On an error the message says which command failed, and why.
  absl::Status Start(int nodes);
  // Devices with these ed25519 keys are let in when they ask.
  absl::Status Preauthorize(const std::vector<std::string>& public_keys);
  // A file by which devices ask to be let in.
  absl::Status MakeBootstrapFile(const std::string& path);
  absl::Status CreateRollout(const std::string& policy_yaml);
  // The rollout as JSON of shoal.rollout.v1.Rollout.
  absl::StatusOr<std::string> GetRollout();

  const Daemon& plane() const { return plane_; }
  const std::vector<Daemon>& nodes() const { return nodes_; }
  // A daemon that has ended: its name and its last words; empty: none.
  std::string Ended();
  std::string Path(const std::string& name) const;
  std::string ImagePath(const std::string& version) const {
    return Path("image-" + version);
  }
  std::string Program(const std::string& name) const;

 private:
  absl::StatusOr<std::string> Run(std::vector<std::string> arguments);
  absl::StatusOr<std::string> Shoal(std::vector<std::string> arguments);
  absl::Status Sign(std::vector<std::string> arguments);
  absl::Status MakeTrust();
  absl::Status StartDaemon(Daemon& daemon,
                           const std::vector<std::string>& arguments);
  absl::Status StartPlane();
  absl::Status StartNodes(int count);
  absl::Status MakeReleases();
  std::string LogTail(const std::string& name) const;

  const std::string programs_;
  const std::string directory_;
  std::string fleet_id_;  // hex
  Daemon plane_;
  std::vector<Daemon> nodes_;
};

}  // namespace shoal::sim

#endif  // SHOAL_SIM_FLEET_H_
