// What both sides of pairing derive from a claim ticket (proto/shoal/pairing/
// v1/pairing.proto). Pure functions, thread-safe.
#ifndef SHOAL_SERVER_FLEET_PAIRING_CRYPTO_H_
#define SHOAL_SERVER_FLEET_PAIRING_CRYPTO_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::server {

inline constexpr std::string_view kOfferDomain = "shoal.pair.offer.v1";
inline constexpr std::string_view kAnswerDomain = "shoal.pair.answer.v1";
inline constexpr std::string_view kGrantDomain = "shoal.pair.grant.v1";

std::string PairingPlace(std::string_view secret);  // 20 bytes
absl::StatusOr<crypto::SigningKey> PairingClaimKey(std::string_view secret);

// nonce (24) ‖ XChaCha20-Poly1305(key of the ticket, ad = domain ‖ fleet id).
std::string PairingSeal(std::string_view secret, std::string_view domain,
                        std::string_view fleet_id, std::string_view plaintext);
// "not_decryptable".
absl::StatusOr<std::string> PairingOpen(std::string_view secret,
                                        std::string_view domain,
                                        std::string_view fleet_id,
                                        std::string_view sealed);

// What `device_key` signs: the answer without its signature, serialised
// deterministically.
std::string AnswerSigningInput(const pairing::v1::Answer& answer,
                               std::string_view fleet_id);

// "SHOAL1-…"
std::string TicketText(const pairing::v1::ClaimTicket& ticket);
// A QR code of `text` (upper case letters, digits and '-' stay compact) in
// half blocks for a terminal. "qr_too_long".
absl::StatusOr<std::string> QrText(const std::string& text);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_PAIRING_CRYPTO_H_
