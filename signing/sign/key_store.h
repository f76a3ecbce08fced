// A directory of offline keys: NAME.key (encrypted, common/crypto/keyfile.h)
// beside NAME.pub ({"keytype":"ed25519"|"x25519","public":HEX}, readable
// without the passphrase). One passphrase for all. Directory mode 0700.
#ifndef SHOAL_SIGNING_SIGN_KEY_STORE_H_
#define SHOAL_SIGNING_SIGN_KEY_STORE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/box.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/keyfile.h"
#include "common/crypto/secret.h"
#include "common/files.h"

namespace shoal::signing {

// One thread. Names are identifiers ("bad_name" otherwise).
class KeyStore {
 public:
  // `fs` outlives it. The directory is made when missing.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(
      FileSystem& fs, std::string directory, crypto::SecretBytes passphrase,
      crypto::KdfStrength strength = crypto::KdfStrength::kModerate);

  // A new key, on disk. kAlreadyExists "key_exists".
  absl::StatusOr<crypto::SigningKey> Create(std::string_view name);
  absl::StatusOr<crypto::BoxKey> CreateBox(std::string_view name);
  // kNotFound "no_such_key", or ReadKeyFile's errors.
  absl::StatusOr<crypto::SigningKey> Load(std::string_view name);
  absl::StatusOr<crypto::BoxKey> LoadBox(std::string_view name);

  bool Has(std::string_view name);
  // Raw, from NAME.pub. It decides nothing: signing uses NAME.key alone.
  absl::StatusOr<std::string> PublicKey(std::string_view name);
  // Names of all keys, sorted.
  absl::StatusOr<std::vector<std::string>> List();
  // Every name whose NAME.pub has this key.
  absl::StatusOr<std::vector<std::string>> NamesOf(std::string_view public_key);

 private:
  KeyStore(FileSystem& fs, std::string directory,
           crypto::SecretBytes passphrase, crypto::KdfStrength strength)
      : fs_(fs),
        directory_(std::move(directory)),
        passphrase_(std::move(passphrase)),
        strength_(strength) {}
  absl::StatusOr<std::string> Path(std::string_view name,
                                   std::string_view suffix) const;
  absl::Status Store(std::string_view name, std::string_view type,
                     const crypto::SecretBytes& secret,
                     std::string_view public_key);
  FileSystem& fs_;
  std::string directory_;
  crypto::SecretBytes passphrase_;
  crypto::KdfStrength strength_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_SIGN_KEY_STORE_H_
