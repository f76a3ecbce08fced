#include "common/crypto/keyfile.h"

#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/crypto/sodium_init.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

constexpr uint64_t kMaxKeyFileBytes = 4096;
constexpr uint64_t kMaxOps = 16;
constexpr uint64_t kMaxMemory = uint64_t{2} << 30;

absl::Status BadKeyFile(const std::string& path, std::string_view what) {
  return InvalidArgument("bad_key_file", fmt::format("{}: {}", path, what));
}

std::string AssociatedData(uint64_t ops, uint64_t memory) {
  std::string ad = "shoal.keyfile.v1";
  AppendBigEndian(ad, ops, 8);
  AppendBigEndian(ad, memory, 8);
  return ad;
}

absl::StatusOr<SecretBytes> DeriveKey(const SecretBytes& passphrase,
                                      std::string_view salt, uint64_t ops,
                                      uint64_t memory) {
  SecretBytes key(kAeadKeySize);
  if (crypto_pwhash(reinterpret_cast<unsigned char*>(key.data()), key.size(),
                    passphrase.view().data(), passphrase.size(),
                    reinterpret_cast<const unsigned char*>(salt.data()), ops,
                    memory, crypto_pwhash_ALG_ARGON2ID13) != 0)
    return ResourceExhausted(
        "out_of_memory",
        fmt::format("Argon2id needs {} of memory", HumanBytes(memory)));
  return key;
}

struct KeyFile {
  uint64_t ops = 0;
  uint64_t memory = 0;
  std::string salt;
  std::string nonce;
  std::string box;
};

absl::StatusOr<KeyFile> ParseKeyFile(const std::string& path,
                                     const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return BadKeyFile(path, "not a JSON object");
  const auto number = [&](const char* key) -> uint64_t {
    const auto it = json.find(key);
    return it != json.end() && it->is_number_unsigned() ? it->get<uint64_t>()
                                                        : 0;
  };
  const auto bytes = [&](const char* key) -> std::string {
    const auto it = json.find(key);
    if (it == json.end() || !it->is_string()) return "";
    auto decoded = HexDecode(it->get_ref<const std::string&>());
    return decoded.ok() ? *std::move(decoded) : "";
  };
  if (number("shoal_key") != 1)
    return BadKeyFile(path, "not a Shoal key file of version 1");
  if (json.value("kdf", nlohmann::json()) != "argon2id")
    return BadKeyFile(path, "unknown kdf");
  KeyFile file{number("ops"), number("mem"), bytes("salt"), bytes("nonce"),
               bytes("box")};
  if (file.ops < 1 || file.ops > kMaxOps ||
      file.memory < crypto_pwhash_MEMLIMIT_MIN || file.memory > kMaxMemory)
    return BadKeyFile(path, "Argon2id parameters out of range");
  if (file.salt.size() != crypto_pwhash_SALTBYTES ||
      file.nonce.size() != kAeadNonceSize || file.box.size() < kAeadOverhead)
    return BadKeyFile(path, "salt, nonce or box is missing or damaged");
  return file;
}

}  // namespace

absl::Status CheckSecretFilePermissions(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoError(errno, "stat " + path);
  if ((info.st_mode & 077) != 0)
    return FailedPrecondition(
        "key_file_permissions",
        fmt::format("{} has mode {:04o}: others may use this key; make it "
                    "0600, and replace the key if it may have been read",
                    path, info.st_mode & 07777));
  return absl::OkStatus();
}

absl::Status WriteKeyFile(FileSystem& fs, const std::string& path,
                          const SecretBytes& secret,
                          const SecretBytes& passphrase, KdfStrength strength) {
  EnsureSodium();
  if (fs.Exists(path))
    return MakeError(absl::StatusCode::kAlreadyExists, "key_exists",
                     path + " exists; keys are never overwritten");
  const bool moderate = strength == KdfStrength::kModerate;
  const uint64_t ops = moderate ? crypto_pwhash_OPSLIMIT_MODERATE
                                : crypto_pwhash_OPSLIMIT_INTERACTIVE;
  const uint64_t memory = moderate ? crypto_pwhash_MEMLIMIT_MODERATE
                                   : crypto_pwhash_MEMLIMIT_INTERACTIVE;
  const std::string salt = RandomBytes(crypto_pwhash_SALTBYTES);
  const std::string nonce = RandomBytes(kAeadNonceSize);
  SHOAL_ASSIGN_OR_RETURN(const SecretBytes key,
                         DeriveKey(passphrase, salt, ops, memory));
  const std::string box =
      AeadSeal(key.view(), nonce, AssociatedData(ops, memory), secret.view());
  const std::string text = fmt::format(
      "{{\"shoal_key\":1,\"kdf\":\"argon2id\",\"ops\":{},\"mem\":{},"
      "\"salt\":\"{}\",\"nonce\":\"{}\",\"box\":\"{}\"}}\n",
      ops, memory, HexEncode(salt), HexEncode(nonce), HexEncode(box));
  return fs.WriteAtomic(path, text, 0600);
}

absl::StatusOr<SecretBytes> ReadKeyFile(FileSystem& fs, const std::string& path,
                                        const SecretBytes& passphrase) {
  EnsureSodium();
  SHOAL_RETURN_IF_ERROR(CheckSecretFilePermissions(path));
  SHOAL_ASSIGN_OR_RETURN(const std::string text,
                         fs.Read(path, kMaxKeyFileBytes));
  SHOAL_ASSIGN_OR_RETURN(const KeyFile file, ParseKeyFile(path, text));
  SHOAL_ASSIGN_OR_RETURN(
      const SecretBytes key,
      DeriveKey(passphrase, file.salt, file.ops, file.memory));
  auto plaintext = AeadOpen(key.view(), file.nonce,
                            AssociatedData(file.ops, file.memory), file.box);
  if (!plaintext.ok())
    return PermissionDenied(
        "wrong_passphrase",
        path + ": the passphrase is wrong or the file was changed");
  return SecretBytes::TakeFrom(*plaintext);
}

absl::Status WriteSecretFile(FileSystem& fs, const std::string& path,
                             const SecretBytes& secret) {
  return fs.WriteAtomic(path, secret.view(), 0600);
}

absl::StatusOr<SecretBytes> ReadSecretFile(FileSystem& fs,
                                           const std::string& path) {
  EnsureSodium();
  SHOAL_RETURN_IF_ERROR(CheckSecretFilePermissions(path));
  SHOAL_ASSIGN_OR_RETURN(std::string bytes, fs.Read(path, kMaxKeyFileBytes));
  return SecretBytes::TakeFrom(bytes);
}

}  // namespace shoal::crypto
