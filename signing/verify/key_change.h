// A device replaces its own key (proto KeyChange): what the two signatures are
// over. The key that is given up signs, so that nobody who holds the fleet's
// online keys alone can put another in its place (T20).
#ifndef SHOAL_SIGNING_VERIFY_KEY_CHANGE_H_
#define SHOAL_SIGNING_VERIFY_KEY_CHANGE_H_

#include <string_view>

#include "absl/status/status.h"
#include "common/crypto/ed25519.h"
#include "shoal/records/v1/payloads.pb.h"

namespace shoal::signing {

inline constexpr std::string_view kKeyChangeDomain = "shoal.device.key.v1";

// `device_id`: 16 bytes; `fleet_id`: 32.
records::v1::KeyChange SignKeyChange(const crypto::SigningKey& old_key,
                                     const crypto::SigningKey& new_key,
                                     std::string_view fleet_id,
                                     std::string_view device_id);

// "bad_key_change" (kInvalidArgument): sizes, or one key twice; "bad_signature"
// (kPermissionDenied): not by both keys, for this device of this fleet.
absl::Status VerifyKeyChange(const records::v1::KeyChange& change,
                             std::string_view fleet_id,
                             std::string_view device_id);

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_VERIFY_KEY_CHANGE_H_
