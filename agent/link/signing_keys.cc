#include "agent/link/signing_keys.h"

#include <utility>

#include "agent/state/key_files.h"
#include "common/log.h"
#include "signing/verify/entry_credential.h"
#include "signing/verify/key_change.h"

namespace shoal::agent {
namespace {

SigningKeys::Key Share(const std::optional<crypto::SigningKey>& key) {
  if (!key) return nullptr;
  return std::make_shared<const crypto::SigningKey>(key->Clone());
}

std::optional<crypto::SigningKey> Copy(const SigningKeys::Key& key) {
  if (!key) return std::nullopt;
  return key->Clone();
}

}  // namespace

SigningKeys::SigningKeys(FileSystem* fs, std::string directory,
                         const DeviceKeys& keys)
    : fs_(fs),
      directory_(std::move(directory)),
      in_use_(std::make_shared<const crypto::SigningKey>(keys.signing.Clone())),
      next_(Share(keys.next)),
      previous_(Share(keys.previous)),
      box_(keys.box) {}

SigningKeys::Owner SigningKeys::OwnerOf(std::string_view public_key) const {
  if (in_use_->public_key() == public_key) return Owner::kInUse;
  if (next_ && next_->public_key() == public_key) return Owner::kNext;
  if (previous_ && previous_->public_key() == public_key)
    return Owner::kPrevious;
  return Owner::kNobody;
}

void SigningKeys::LookForNext() {
  if (next_ || !fs_->Exists(JoinPath(directory_, kNextKeyFile))) return;
  auto next = ReadNextKey(*fs_, directory_);
  if (!next.ok()) {
    LogWarn("next_key_unreadable", {{"error", next.status()}});
    return;
  }
  if (!*next || OwnerOf((*next)->public_key()) != Owner::kNobody) return;
  next_ = Share(*next);
  changes_.reset();
  LogInfo("key_change_asked",
          {{"fingerprint", signing::FingerprintOf(next_->public_key())}});
}

void SigningKeys::Use(Owner owner) {
  held_.push_back(in_use_);
  changes_.reset();
  if (owner == Owner::kNext) {
    previous_ = std::exchange(in_use_, std::exchange(next_, nullptr));
  } else if (owner == Owner::kPrevious) {
    Key given_up = std::exchange(in_use_, std::exchange(previous_, nullptr));
    if (!next_) next_ = std::move(given_up);
  } else {
    return;
  }
  LogInfo("key_changed",
          {{"fingerprint", signing::FingerprintOf(in_use_->public_key())}});
  Settle();
}

void SigningKeys::Settle() {
  KeyFiles files;
  files.in_use = Copy(in_use_);
  files.next = Copy(next_);
  files.previous = Copy(previous_);
  absl::Status settled = SettleKeyFiles(*fs_, directory_, files);
  settled.Update(box_->Reload(*fs_, directory_));
  if (!settled.ok()) LogError("key_files_behind", {{"error", settled}});
}

const std::vector<records::v1::KeyChange>& SigningKeys::Changes(
    const std::string& fleet_id, const std::string& device_id) {
  if (changes_) return *changes_;
  std::vector<records::v1::KeyChange>& changes = changes_.emplace();
  if (previous_)
    changes.push_back(
        signing::SignKeyChange(*previous_, *in_use_, fleet_id, device_id));
  if (next_)
    changes.push_back(
        signing::SignKeyChange(*in_use_, *next_, fleet_id, device_id));
  return changes;
}

}  // namespace shoal::agent
