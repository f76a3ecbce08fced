#include "agent/state/box_keys.h"

#include <utility>

#include "common/crypto/keyfile.h"
#include "common/status.h"

namespace shoal::agent {
namespace {

absl::StatusOr<crypto::BoxKey> ReadKey(FileSystem& fs,
                                       const std::string& directory,
                                       const char* name) {
  SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes secret,
                         crypto::ReadSecretFile(fs, JoinPath(directory, name)));
  return crypto::BoxKey::FromSecret(secret);
}

absl::Status WriteKey(FileSystem& fs, const std::string& directory,
                      const char* name, const crypto::BoxKey& key) {
  return crypto::WriteSecretFile(fs, JoinPath(directory, name), key.secret());
}

}  // namespace

absl::StatusOr<std::shared_ptr<BoxKeys>> BoxKeys::Read(
    FileSystem& fs, const std::string& directory) {
  SHOAL_ASSIGN_OR_RETURN(crypto::BoxKey key,
                         ReadKey(fs, directory, kBoxKeyFile));
  auto keys = std::make_shared<BoxKeys>(std::move(key));
  SHOAL_RETURN_IF_ERROR(keys->Reload(fs, directory));
  return keys;
}

BoxKeys::BoxKeys(crypto::BoxKey in_use)
    : in_use_(std::make_shared<const crypto::BoxKey>(std::move(in_use))) {}

std::string BoxKeys::public_key() const {
  std::lock_guard lock(mutex_);
  return in_use_->public_key();
}

absl::StatusOr<std::string> BoxKeys::Open(std::string_view sealed) const {
  Key in_use, previous;
  {
    std::lock_guard lock(mutex_);
    in_use = in_use_;
    previous = previous_;
  }
  auto plain = in_use->Open(sealed);
  if (plain.ok() || !previous) return plain;
  return previous->Open(sealed);
}

absl::Status BoxKeys::Reload(FileSystem& fs, const std::string& directory) {
  SHOAL_ASSIGN_OR_RETURN(crypto::BoxKey key,
                         ReadKey(fs, directory, kBoxKeyFile));
  Key previous;
  if (fs.Exists(JoinPath(directory, kPreviousBoxKeyFile))) {
    SHOAL_ASSIGN_OR_RETURN(crypto::BoxKey before,
                           ReadKey(fs, directory, kPreviousBoxKeyFile));
    previous = std::make_shared<const crypto::BoxKey>(std::move(before));
  }
  std::lock_guard lock(mutex_);
  in_use_ = std::make_shared<const crypto::BoxKey>(std::move(key));
  previous_ = std::move(previous);
  return absl::OkStatus();
}

absl::Status ReplaceBoxKey(FileSystem& fs, const std::string& directory) {
  if (!fs.Exists(JoinPath(directory, kNextBoxKeyFile)))
    SHOAL_RETURN_IF_ERROR(
        WriteKey(fs, directory, kNextBoxKeyFile, crypto::BoxKey::Generate()));
  SHOAL_ASSIGN_OR_RETURN(const crypto::BoxKey next,
                         ReadKey(fs, directory, kNextBoxKeyFile));
  SHOAL_ASSIGN_OR_RETURN(const crypto::BoxKey in_use,
                         ReadKey(fs, directory, kBoxKeyFile));
  if (in_use.public_key() == next.public_key()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(WriteKey(fs, directory, kPreviousBoxKeyFile, in_use));
  return WriteKey(fs, directory, kBoxKeyFile, next);
}

absl::Status ForgetNextBoxKey(FileSystem& fs, const std::string& directory) {
  const std::string path = JoinPath(directory, kNextBoxKeyFile);
  return fs.Exists(path) ? fs.Remove(path) : absl::OkStatus();
}

}  // namespace shoal::agent
