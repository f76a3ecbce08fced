#include "agent/state/key_files.h"

#include <utility>

#include "agent/state/box_keys.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

using MaybeKey = std::optional<crypto::SigningKey>;

absl::StatusOr<MaybeKey> ReadKey(FileSystem& fs, const std::string& directory,
                                 const char* name) {
  const std::string path = JoinPath(directory, name);
  if (!fs.Exists(path)) return MaybeKey();
  SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes seed,
                         crypto::ReadSecretFile(fs, path));
  SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey key,
                         crypto::SigningKey::FromSeed(seed));
  return MaybeKey(std::move(key));
}

bool Is(const MaybeKey& key, std::string_view public_key) {
  return key && key->public_key() == public_key;
}

// Each of these is one write, left out when it is done already.
absl::Status Put(FileSystem& fs, const std::string& directory, const char* name,
                 const crypto::SigningKey& key) {
  const auto there = ReadKey(fs, directory, name);
  if (there.ok() && Is(*there, key.public_key())) return absl::OkStatus();
  return crypto::WriteSecretFile(fs, JoinPath(directory, name), key.seed());
}

absl::Status Drop(FileSystem& fs, const std::string& directory,
                  const char* name) {
  const std::string path = JoinPath(directory, name);
  return fs.Exists(path) ? fs.Remove(path) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyFiles> ReadKeyFiles(FileSystem& fs,
                                      const std::string& directory,
                                      std::string_view certified) {
  SHOAL_ASSIGN_OR_RETURN(MaybeKey key, ReadKey(fs, directory, kKeyInUseFile));
  SHOAL_ASSIGN_OR_RETURN(MaybeKey next, ReadKey(fs, directory, kNextKeyFile));
  SHOAL_ASSIGN_OR_RETURN(MaybeKey previous,
                         ReadKey(fs, directory, kPreviousKeyFile));
  KeyFiles files;
  if (key && (certified.empty() || Is(key, certified))) {
    // A copy that a cut-off SettleKeyFiles left is no other key.
    if (next && !Is(next, key->public_key())) files.next = std::move(next);
    if (previous && !Is(previous, key->public_key()))
      files.previous = std::move(previous);
    files.in_use = std::move(key);
  } else if (Is(next, certified)) {
    files.in_use = std::move(next);
    files.previous = std::move(key);
  } else if (Is(previous, certified)) {
    files.in_use = std::move(previous);
    // What is wanted stays wanted.
    files.next = next ? std::move(next) : std::move(key);
  } else {
    return DataLoss("bad_identity",
                    "the credential names none of the device's keys");
  }
  return files;
}

absl::Status SettleKeyFiles(FileSystem& fs, const std::string& directory,
                            const KeyFiles& keys) {
  // Once only: identity.key follows when it is done.
  SHOAL_ASSIGN_OR_RETURN(const MaybeKey in_use,
                         ReadKey(fs, directory, kKeyInUseFile));
  SHOAL_ASSIGN_OR_RETURN(const MaybeKey next,
                         ReadKey(fs, directory, kNextKeyFile));
  const std::string& public_key = keys.in_use->public_key();
  if (Is(next, public_key) && !Is(in_use, public_key))
    SHOAL_RETURN_IF_ERROR(ReplaceBoxKey(fs, directory));
  // The key in use is in two files before the one that has it alone goes.
  if (keys.previous)
    SHOAL_RETURN_IF_ERROR(Put(fs, directory, kPreviousKeyFile, *keys.previous));
  if (keys.next)
    SHOAL_RETURN_IF_ERROR(Put(fs, directory, kNextKeyFile, *keys.next));
  SHOAL_RETURN_IF_ERROR(Put(fs, directory, kKeyInUseFile, *keys.in_use));
  SHOAL_RETURN_IF_ERROR(ForgetNextBoxKey(fs, directory));
  if (!keys.next) SHOAL_RETURN_IF_ERROR(Drop(fs, directory, kNextKeyFile));
  if (!keys.previous)
    SHOAL_RETURN_IF_ERROR(Drop(fs, directory, kPreviousKeyFile));
  return absl::OkStatus();
}

absl::StatusOr<bool> MakeNextKey(FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, kNextKeyFile);
  if (fs.Exists(path)) return false;
  SHOAL_RETURN_IF_ERROR(
      crypto::WriteSecretFile(fs, path, crypto::SigningKey::Generate().seed()));
  return true;
}

absl::StatusOr<MaybeKey> ReadNextKey(FileSystem& fs,
                                     const std::string& directory) {
  return ReadKey(fs, directory, kNextKeyFile);
}

}  // namespace shoal::agent
