// Secret keys on disk. Two kinds:
//
// Encrypted key files, for people's and offline keys (T56). Text, one line:
//   {"shoal_key":1,"kdf":"argon2id","ops":O,"mem":M,"salt":HEX16,
//    "nonce":HEX24,"box":HEX}
// box = XChaCha20-Poly1305(key = Argon2id v1.3(passphrase, salt, O passes,
// M bytes, 1 lane, 32 bytes), nonce, ad = "shoal.keyfile.v1" ‖ O ‖ M (8 bytes
// each, big endian), secret). Readers refuse O > 16 and M > 2 GiB, so that a
// file can't exhaust the machine.
//
// Plain secret files, for daemons that must start unattended: the raw bytes,
// readable by the owner only.
//
// Both are written with mode 0600 and refused when group or others have any
// permission on them. Functions are thread-safe.
#ifndef SHOAL_COMMON_CRYPTO_KEYFILE_H_
#define SHOAL_COMMON_CRYPTO_KEYFILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/secret.h"
#include "common/files.h"

namespace shoal::crypto {

enum class KdfStrength {
  kInteractive,  // 64 MiB, ~0.1 s: tests
  kModerate,     // 256 MiB, ~0.6 s: the default
};

// kAlreadyExists "key_exists" rather than overwriting a key.
absl::Status WriteKeyFile(FileSystem& fs, const std::string& path,
                          const SecretBytes& secret,
                          const SecretBytes& passphrase,
                          KdfStrength strength = KdfStrength::kModerate);

// "key_file_permissions" (kFailedPrecondition), "wrong_passphrase"
// (kPermissionDenied; also for a changed file), "bad_key_file"
// (kInvalidArgument), else the file system's error.
absl::StatusOr<SecretBytes> ReadKeyFile(FileSystem& fs, const std::string& path,
                                        const SecretBytes& passphrase);

// Replaces an existing file: daemons rotate their keys.
absl::Status WriteSecretFile(FileSystem& fs, const std::string& path,
                             const SecretBytes& secret);
// At most 4 KiB. "key_file_permissions" as above.
absl::StatusOr<SecretBytes> ReadSecretFile(FileSystem& fs,
                                           const std::string& path);

// kFailedPrecondition "key_file_permissions" when group or others may read or
// write the file.
absl::Status CheckSecretFilePermissions(const std::string& path);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_KEYFILE_H_
