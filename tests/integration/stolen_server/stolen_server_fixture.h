// The stage of the stolen-server tests: a fleet of the real programs
// (real_fleet.h), a plane that fell into an attacker's hand (stolen_plane.h),
// and what a device must answer to each attack: its own refusal, by name,
// while it runs on what it ran before.
#ifndef SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_SERVER_FIXTURE_H_
#define SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_SERVER_FIXTURE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tests/integration/stolen_server/stolen_plane.h"
#include "tests/support/real_fleet.h"

namespace shoal::testing {

class StolenServer : public ::testing::Test {
 protected:
  // The honest fleet, until the plane is lost and the attacker in its place;
  // the device runs 3.0. `update_settings` as in RealFleet::Start.
  void TakeOver(const std::string& update_settings = "", int approvals = 0);
  Device& device() { return fleet_->device(); }

  size_t TimesLogged(const std::string& text);
  // The attack; then the device must say `refusal`, once more than before, and
  // be none the worse. Fails fatally.
  void Refused(const std::string& attack, const std::string& refusal,
               const std::function<void()>& carry_out);
  // How a device logs a record that it refuses before anything looks at it.
  static std::string RecordRefused(const std::string& reason) {
    return "event=record_refused error=\"" + reason + ":";
  }

  // The device has installed `version` and has nothing more to do; it is what
  // NothingHappened() expects from now on. Fails fatally.
  void Runs(const std::string& version);
  // The device runs the version that it should, signed bytes, and has carried
  // out no command.
  void NothingHappened();
  // What lies in the running slot is, byte for byte, an image of the offline
  // role (or the one from the factory).
  void OnlySignedBytesRun();
  // A refresh has ended well since the last one that was refused.
  void UpToDateAgain();

  // Publishes `document` in place of the rollout before.
  void Roll(const rollout::v1::RolloutDocument& document);
  // A rollout of `image_target` whose delta index has `delta`, from what runs.
  rollout::v1::RolloutDocument RolloutByDelta(const std::string& image_target,
                                              release::v1::Delta delta);
  // An attack by `delta`: refused, and the whole image, which is `version` and
  // signed, installed instead.
  void WholeImageInstead(const std::string& version,
                         const release::v1::Delta& delta);
  // Sends "greet" as `key`, with `credential` where there is one.
  void Command(const crypto::SigningKey& key,
               std::optional<records::v1::Credential> credential = {});
  // The payload of one.
  std::string SealedCommand(const std::string& operator_key);
  // The director revokes the device.
  void Revoke();
  // A hook, a setting, a session and a command, in fields that no message of
  // ours has: for an agent that would take more from its director than this
  // one.
  void AddForeignContent(google::protobuf::Message& message);
  // A credential for `public_key` in the device's name, by the stolen CA, where
  // the device looks for its own; with foreign content.
  void Grant(const std::string& public_key);
  // Something of the director's where the device looks for commands, which are
  // an operator's.
  void AtCommandPlace(records::v1::RecordKind kind, const std::string& payload);
  // The director says that the device gave up `public_key` a year ago.
  void Supersede(const std::string& public_key);

  TempDir dir_;
  std::unique_ptr<RealFleet> fleet_;
  std::unique_ptr<StolenPlane> thief_;

 private:
  std::string version_ = "3.0";
  uint64_t command_version_ = 0;
  uint64_t grant_version_ = 0;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_INTEGRATION_STOLEN_SERVER_STOLEN_SERVER_FIXTURE_H_
