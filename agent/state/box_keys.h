// The X25519 keys to which grants and commands for this device are sealed, and
// their files. The box key changes with the signing key (agent/state/
// key_files.h): whoever has a copy of the state directory has both.
//
//   box.key       named in the device's reports
//   box.next      only while a change of the signing key is being settled
//   box.previous  what was sealed before the fleet read the next report
#ifndef SHOAL_AGENT_STATE_BOX_KEYS_H_
#define SHOAL_AGENT_STATE_BOX_KEYS_H_

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/box.h"
#include "common/files.h"

namespace shoal::agent {

inline constexpr char kBoxKeyFile[] = "box.key";
inline constexpr char kNextBoxKeyFile[] = "box.next";
inline constexpr char kPreviousBoxKeyFile[] = "box.previous";

// Thread-safe.
class BoxKeys {
 public:
  // Reads `directory`; ReadSecretFile's errors.
  static absl::StatusOr<std::shared_ptr<BoxKeys>> Read(
      FileSystem& fs, const std::string& directory);
  explicit BoxKeys(crypto::BoxKey in_use);

  // What is sealed to the device from now on.
  std::string public_key() const;
  // "not_decryptable" when it is for neither the key in use nor the one before.
  absl::StatusOr<std::string> Open(std::string_view sealed) const;
  // Takes over what ReplaceBoxKey() left on disk.
  absl::Status Reload(FileSystem& fs, const std::string& directory);

 private:
  using Key = std::shared_ptr<const crypto::BoxKey>;
  mutable std::mutex mutex_;
  Key in_use_;
  Key previous_;
};

// A fresh box.key, and box.previous := the one before. May be cut off anywhere
// and repeated: no third key is made until ForgetNextBoxKey().
absl::Status ReplaceBoxKey(FileSystem& fs, const std::string& directory);
// The change is over.
absl::Status ForgetNextBoxKey(FileSystem& fs, const std::string& directory);

}  // namespace shoal::agent

#endif  // SHOAL_AGENT_STATE_BOX_KEYS_H_
