#include "signing/verify/key_change.h"

#include <string>

#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

std::string Input(std::string_view old_key, std::string_view new_key,
                  std::string_view fleet_id, std::string_view device_id) {
  std::string body(device_id);
  body.append(old_key).append(new_key);
  return crypto::SigningInput(kKeyChangeDomain, fleet_id, body);
}

}  // namespace

records::v1::KeyChange SignKeyChange(const crypto::SigningKey& old_key,
                                     const crypto::SigningKey& new_key,
                                     std::string_view fleet_id,
                                     std::string_view device_id) {
  const std::string input =
      Input(old_key.public_key(), new_key.public_key(), fleet_id, device_id);
  records::v1::KeyChange change;
  change.set_old_key(old_key.public_key());
  change.set_new_key(new_key.public_key());
  change.set_old_signature(old_key.Sign(input));
  change.set_new_signature(new_key.Sign(input));
  return change;
}

absl::Status VerifyKeyChange(const records::v1::KeyChange& change,
                             std::string_view fleet_id,
                             std::string_view device_id) {
  if (change.old_key().size() != crypto::kEd25519PublicKeySize ||
      change.new_key().size() != crypto::kEd25519PublicKeySize ||
      change.old_key() == change.new_key() || device_id.size() != 16 ||
      fleet_id.size() != crypto::kSha256Size)
    return InvalidArgument("bad_key_change",
                           "a key change names two keys of 32 bytes");
  const std::string input =
      Input(change.old_key(), change.new_key(), fleet_id, device_id);
  if (!crypto::Ed25519Verify(change.old_key(), input, change.old_signature()) ||
      !crypto::Ed25519Verify(change.new_key(), input, change.new_signature()))
    return PermissionDenied("bad_signature",
                            "the key change is not signed by both keys");
  return absl::OkStatus();
}

}  // namespace shoal::signing
