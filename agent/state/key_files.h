// The files of the device's signing key, so that it can be replaced while power
// may fail at any moment (docs/pairing.md, "A key anew").
//
//   identity.key       the key in use
//   identity.next      asked for: the fleet has not certified it yet
//   identity.previous  given up last; a management plane that was set back may
//                      know no later one
//
// Which of them is in use is said by the credential in membership.json alone,
// which is replaced in one write: that is the switch. The files follow, and
// whoever reads them in between comes to the same answer.
#ifndef SHOAL_AGENT_STATE_KEY_FILES_H_
#define SHOAL_AGENT_STATE_KEY_FILES_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "common/files.h"

namespace shoal::agent {

inline constexpr char kKeyInUseFile[] = "identity.key";
inline constexpr char kNextKeyFile[] = "identity.next";
inline constexpr char kPreviousKeyFile[] = "identity.previous";

struct KeyFiles {
  std::optional<crypto::SigningKey> in_use;  // always there
  std::optional<crypto::SigningKey> next;
  std::optional<crypto::SigningKey> previous;
};

// `certified`: the public key that the credential names; empty: none yet, then
// identity.key is in use. kDataLoss "bad_identity" when it is none of them;
// ReadSecretFile's errors. Changes nothing.
absl::StatusOr<KeyFiles> ReadKeyFiles(FileSystem& fs,
                                      const std::string& directory,
                                      std::string_view certified);

// The files as `keys` says, when the credential of in_use is on disk. When that
// is what identity.next asked for, the box key changes too (agent/state/
// box_keys.h). May be cut off anywhere and repeated.
absl::Status SettleKeyFiles(FileSystem& fs, const std::string& directory,
                            const KeyFiles& keys);

// Makes identity.next unless it is there; durable on return. True: it was made.
absl::StatusOr<bool> MakeNextKey(FileSystem& fs, const std::string& directory);

// identity.next; nullopt: none.
absl::StatusOr<std::optional<crypto::SigningKey>> ReadNextKey(
    FileSystem& fs, const std::string& directory);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_KEY_FILES_H_
