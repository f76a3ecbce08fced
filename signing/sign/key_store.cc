#include "signing/sign/key_store.h"

#include <fmt/format.h>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/metadata/json.h"

namespace shoal::signing {

using crypto::BoxKey;
using crypto::SecretBytes;
using crypto::SigningKey;

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(
    FileSystem& fs, std::string directory, SecretBytes passphrase,
    crypto::KdfStrength strength) {
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(directory, 0700));
  return std::unique_ptr<KeyStore>(
      new KeyStore(fs, std::move(directory), std::move(passphrase), strength));
}

absl::StatusOr<std::string> KeyStore::Path(std::string_view name,
                                           std::string_view suffix) const {
  if (!IsIdentifier(name, 128))
    return InvalidArgument("bad_name",
                           fmt::format("'{:.80}' is no usable key name", name));
  return JoinPath(directory_, fmt::format("{}{}", name, suffix));
}

absl::Status KeyStore::Store(std::string_view name, std::string_view type,
                             const SecretBytes& secret,
                             std::string_view public_key) {
  SHOAL_ASSIGN_OR_RETURN(const std::string path, Path(name, ".key"));
  SHOAL_ASSIGN_OR_RETURN(const std::string pub, Path(name, ".pub"));
  if (fs_.Exists(path))
    return MakeError(absl::StatusCode::kAlreadyExists, "key_exists",
                     path + " exists; keys are never overwritten");
  // The public part first: interrupted here, nothing is lost, while a secret
  // key without it would never be found.
  SHOAL_RETURN_IF_ERROR(fs_.WriteAtomic(
      pub, fmt::format("{{\"keytype\":\"{}\",\"public\":\"{}\"}}\n", type,
                       HexEncode(public_key))));
  return crypto::WriteKeyFile(fs_, path, secret, passphrase_, strength_);
}

absl::StatusOr<SigningKey> KeyStore::Create(std::string_view name) {
  SigningKey key = SigningKey::Generate();
  SHOAL_RETURN_IF_ERROR(Store(name, "ed25519", key.seed(), key.public_key()));
  return key;
}

absl::StatusOr<BoxKey> KeyStore::CreateBox(std::string_view name) {
  BoxKey key = BoxKey::Generate();
  SHOAL_RETURN_IF_ERROR(Store(name, "x25519", key.secret(), key.public_key()));
  return key;
}

absl::StatusOr<SigningKey> KeyStore::Load(std::string_view name) {
  SHOAL_ASSIGN_OR_RETURN(const std::string path, Path(name, ".key"));
  if (!fs_.Exists(path))
    return NotFound("no_such_key", path + " does not exist");
  SHOAL_ASSIGN_OR_RETURN(const SecretBytes seed,
                         crypto::ReadKeyFile(fs_, path, passphrase_));
  return SigningKey::FromSeed(seed);
}

absl::StatusOr<BoxKey> KeyStore::LoadBox(std::string_view name) {
  SHOAL_ASSIGN_OR_RETURN(const std::string path, Path(name, ".key"));
  if (!fs_.Exists(path))
    return NotFound("no_such_key", path + " does not exist");
  SHOAL_ASSIGN_OR_RETURN(const SecretBytes secret,
                         crypto::ReadKeyFile(fs_, path, passphrase_));
  return BoxKey::FromSecret(secret);
}

bool KeyStore::Has(std::string_view name) {
  const auto path = Path(name, ".key");
  return path.ok() && fs_.Exists(*path);
}

absl::StatusOr<std::string> KeyStore::PublicKey(std::string_view name) {
  SHOAL_ASSIGN_OR_RETURN(const std::string path, Path(name, ".pub"));
  if (!fs_.Exists(path))
    return NotFound("no_such_key", path + " does not exist");
  SHOAL_ASSIGN_OR_RETURN(const std::string text, fs_.Read(path, 4096));
  SHOAL_ASSIGN_OR_RETURN(const nlohmann::json json,
                         ParseStrictJson(text, 4096));
  if (json.is_object() && json.contains("public") &&
      json["public"].is_string()) {
    auto key = HexDecode(json["public"].get_ref<const std::string&>());
    if (key.ok() && key->size() == 32) return key;
  }
  return InvalidArgument("bad_key_file", path + " holds no public key");
}

absl::StatusOr<std::vector<std::string>> KeyStore::List() {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                         fs_.List(directory_));
  std::vector<std::string> names;
  for (const std::string& file : files) {
    const size_t end = file.rfind(".key");
    if (end != file.npos && end + 4 == file.size())
      names.push_back(file.substr(0, end));
  }
  return names;
}

absl::StatusOr<std::vector<std::string>> KeyStore::NamesOf(
    std::string_view public_key) {
  SHOAL_ASSIGN_OR_RETURN(const std::vector<std::string> names, List());
  std::vector<std::string> result;
  for (const std::string& name : names) {
    const auto key = PublicKey(name);
    if (key.ok() && *key == public_key) result.push_back(name);
  }
  return result;
}

}  // namespace shoal::signing
