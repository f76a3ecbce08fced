// A storage node's time key: with it the node tells devices the time (T26).
#include <fmt/format.h>

#include "common/bytes.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"
#include "dht/node/node_config.h"

namespace shoal::dht::node {
namespace {

constexpr char kKeyFile[] = "keys/time.key";

}  // namespace

absl::StatusOr<std::string> MakeTimeKey(const std::string& data_dir,
                                        const std::string& id, FileSystem& fs) {
  const std::string path = JoinPath(data_dir, kKeyFile);
  crypto::SigningKey key = crypto::SigningKey::Generate();
  if (fs.Exists(path)) {
    SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes seed,
                           crypto::ReadSecretFile(fs, path));
    SHOAL_ASSIGN_OR_RETURN(key, crypto::SigningKey::FromSeed(seed));
  } else {
    SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(fs, path, key.seed()));
  }
  // As shoal-sign's .pub files; its name becomes the key's name in the tree.
  std::string pub = JoinPath(data_dir, id + "-time.pub");
  SHOAL_RETURN_IF_ERROR(fs.WriteAtomic(
      pub, fmt::format("{{\"keytype\":\"ed25519\",\"public\":\"{}\"}}\n",
                       HexEncode(key.public_key()))));
  return pub;
}

absl::StatusOr<std::optional<crypto::SigningKey>> LoadTimeKey(
    const NodeConfig& config, FileSystem& fs) {
  const std::string path = config.File(kKeyFile);
  std::optional<crypto::SigningKey> key;
  if (!fs.Exists(path)) return key;
  SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes seed,
                         crypto::ReadSecretFile(fs, path));
  SHOAL_ASSIGN_OR_RETURN(key, crypto::SigningKey::FromSeed(seed));
  return key;
}

}  // namespace shoal::dht::node
