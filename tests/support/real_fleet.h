// A whole fleet of the real programs: offline keys and shoal-sign, shoald,
// storage nodes, an operator with shoal, a paired device that runs a signed
// image. What an attacker then takes is up to the test.
#ifndef SHOAL_TESTS_SUPPORT_REAL_FLEET_H_
#define SHOAL_TESTS_SUPPORT_REAL_FLEET_H_

#include <signal.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/crypto/ed25519.h"
#include "tests/support/device.h"
#include "tests/support/process_harness.h"
#include "tests/support/temp_dir.h"

namespace shoal::testing {

struct RealFleetOptions {
  // Lines for the section [update] of the device's own configuration.
  std::string update_settings = {};
  int nodes = 2;
  // The storage nodes' time keys are named in signed metadata.
  bool time_keys = false;
  // So many operators must have signed a phase before devices start it; the
  // first rollout is approved by ann.
  int approvals = 0;
};

class RealFleet {
 public:
  // Device type "gateway" with the images 1.0 (counter 1), 3.0 (counter 3,
  // floor 3), 4.0 and 5.0 (counters 4 and 5), and "camera" with 1.0;
  // storage nodes that mirror them all; one gateway that was paired and
  // brought to 3.0 by an honest rollout, so that its floor is 3. The operator
  // "helper" may run the command greet on devices that the policy labels
  // ring=lab, and the policy labels none.
  static absl::StatusOr<std::unique_ptr<RealFleet>> Start(
      const TempDir& dir, const RealFleetOptions& options = {});

  // The same trust, plane and storage nodes, without releases and devices.
  // `plane_settings`: lines for shoald.toml.
  static absl::StatusOr<std::unique_ptr<RealFleet>> StartEmpty(
      const TempDir& dir, const std::string& plane_settings = "",
      int nodes = RealFleetOptions().nodes);

  // Power is cut, and nobody ever starts it again.
  void KillPlane() { plane_.reset(); }
  absl::Status StartPlane() { return StartPlaneFrom("plane"); }
  // A plane over this data directory of the test's.
  absl::Status StartPlaneFrom(const std::string& directory);
  // The same, without waiting for it to be ready.
  absl::Status LaunchPlaneFrom(const std::string& directory);
  // Another one over `directory`, while the one that runs now goes on; from now
  // on it is "the plane", and Connect() reaches it.
  absl::Status StartPlaneBeside(const std::string& directory) {
    beside_.push_back(std::move(plane_));
    return StartPlaneFrom(directory);
  }
  HarnessProcess& plane() { return *plane_; }
  HarnessProcess& node(const std::string& name) { return *nodes_.at(name); }
  // Lines for its node.toml, from its next start on.
  void AddNodeSettings(const std::string& name, const std::string& toml);
  // As by a power cut, as RestartNode() does first.
  void StopNode(const std::string& name) { nodes_.at(name)->Kill(SIGKILL); }
  // From its next start on (process_harness.h).
  void ShiftClock(const std::string& node, absl::Duration by) {
    nodes_.at(node)->ShiftClock(by);
  }
  void ShiftPlaneClock(absl::Duration by) { plane_shift_ = by; }
  std::string NodeLog(const std::string& name) {
    return nodes_.at(name)->Log();
  }
  std::string PlaneLog() { return plane_->Log(); }
  absl::Status RestartNode(const std::string& name);
  absl::Status EnrolNode(const std::string& name);
  // The operator's context for the plane as it is now.
  absl::Status Connect(const std::string& context);
  // The steps of docs/operations/stolen-server.md, from "New online keys" to
  // the storage nodes; the plane's directory is the backup from before the
  // theft.
  absl::Status Recover();
  // One that Connect() made.
  void UseContext(const std::string& context) { context_ = context; }

  absl::Status Sign(std::vector<std::string> arguments);
  // What `shoal` says; an error with its output when it fails.
  absl::StatusOr<std::string> Shoal(std::vector<std::string> arguments);
  absl::Status Shoald(std::vector<std::string> arguments);

  std::string Path(const std::string& name) const { return dir_.File(name); }
  std::string plane_directory() const { return Path("plane"); }
  const std::string& fleet_id() const { return fleet_id_; }  // 32 bytes
  const std::vector<std::string>& nodes() const { return node_names_; }
  // Another gateway with a claim ticket of its own that runs the file `image`;
  // without power yet, so that its settings may be changed.
  absl::StatusOr<std::unique_ptr<Device>> NewDevice(const std::string& name,
                                                    const std::string& image);
  Device& device() { return *device_; }
  const crypto::SigningKey& helper() const { return helper_; }
  // The bytes of every image that the offline role signed for gateways.
  const std::map<std::string, std::string>& images() const { return images_; }
  // A file that exists once the device has run a command.
  std::string order_taken() const { return Path("order-taken"); }

 private:
  RealFleet(const TempDir& dir, int nodes);
  absl::Status MakeTrust(int approvals = 0);
  absl::Status StartNodes();
  absl::Status MakeReleases();
  absl::Status NameTimeKeys();
  absl::Status PairDevice(const std::string& update_settings);
  absl::Status WaitForMirrors();
  absl::Status FirstRollout(bool approve);

  const TempDir& dir_;
  crypto::SigningKey helper_;
  std::string fleet_id_;
  std::string context_ = "first";
  std::string plane_name_ = "plane";
  std::vector<std::string> node_names_;
  std::map<std::string, std::string> images_;  // by version
  std::unique_ptr<HarnessProcess> plane_;
  std::vector<std::unique_ptr<HarnessProcess>> beside_;
  absl::Duration plane_shift_;
  std::map<std::string, std::unique_ptr<HarnessProcess>> nodes_;
  std::unique_ptr<Device> device_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_SUPPORT_REAL_FLEET_H_
