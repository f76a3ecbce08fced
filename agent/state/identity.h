// Who the device is: its own keys, and what the fleet gave it when it paired.
#ifndef SHOAL_AGENT_STATE_IDENTITY_H_
#define SHOAL_AGENT_STATE_IDENTITY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/state/box_keys.h"
#include "common/crypto/ed25519.h"
#include "common/files.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::agent {

// Made on the device; the secrets never leave it.
struct DeviceKeys {
  // The key in use: the one that the credential in membership.json names.
  crypto::SigningKey signing;
  // Shared with whoever replaces it (agent/link/signing_keys.h).
  std::shared_ptr<BoxKeys> box;
  // What the device's key is to be replaced by, and what it replaced last
  // (agent/state/key_files.h).
  std::optional<crypto::SigningKey> next;
  std::optional<crypto::SigningKey> previous;

  // Reads DIRECTORY/identity.key and box.key (0600); makes them when both are
  // missing. One alone, or a credential that names none of the keys: kDataLoss
  // "bad_identity".
  static absl::StatusOr<DeviceKeys> LoadOrCreate(FileSystem& fs,
                                                 const std::string& directory);
  static bool Exist(FileSystem& fs, const std::string& directory);
};

// Written once, in one piece, when pairing succeeded; network keys and
// directory are replaced later.
struct Membership {
  std::string fleet_id;  // 32 bytes
  // Whose records the versions in `grant` count: the director that gave it, or
  // its successor once that one's key is no longer in force.
  std::string director_key;
  // DHT addresses of the storage nodes at the time of pairing. They stay: a
  // stolen director can sign a directory that leads nowhere, and must not be
  // able to make the device forget the way back.
  std::vector<std::string> first_nodes;
  // By their addresses, the network key's epoch under which each answered last:
  // these keys are not given up, whatever a director or another node says.
  std::map<std::string, uint32_t> heard_epochs;
  pairing::v1::Grant grant;  // id, credential, network, directory, assignment

  const std::string& device_id() const { return grant.device_id(); }
};

// At most kMaxFirstNodes.
inline constexpr size_t kMaxFirstNodes = 16;
std::vector<std::string> NodeAddressesOf(
    const records::v1::NodeDirectory& directory);

// Those of a membership that has just begun: all by the newest of its keys.
std::map<std::string, uint32_t> FirstHeard(const Membership& membership);

// nullopt: not paired. The file has mode 0600: it holds network keys.
absl::StatusOr<std::optional<Membership>> LoadMembership(
    FileSystem& fs, const std::string& directory);
absl::Status SaveMembership(FileSystem& fs, const std::string& directory,
                            const Membership& membership);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_IDENTITY_H_
