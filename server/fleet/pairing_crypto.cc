#include "server/fleet/pairing_crypto.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <qrencode.h>

#include <cerrno>
#include <memory>

#include "common/bytes.h"
#include "common/crypto/box.h"
#include "common/crypto/hash.h"
#include "common/status.h"

namespace shoal::server {
namespace {

std::string SealKey(std::string_view secret) {
  return crypto::Blake2b(secret, "shoal.pair.seal", crypto::kAeadKeySize);
}

std::string Binding(std::string_view domain, std::string_view fleet_id) {
  return std::string(domain) + std::string(fleet_id);
}

}  // namespace

std::string PairingPlace(std::string_view secret) {
  return crypto::Blake2b(secret, "shoal.pair.place", 20);
}

absl::StatusOr<crypto::SigningKey> PairingClaimKey(std::string_view secret) {
  std::string seed =
      crypto::Blake2b(secret, "shoal.pair.claim", crypto::kEd25519SeedSize);
  return crypto::SigningKey::FromSeed(crypto::SecretBytes::TakeFrom(seed));
}

std::string PairingSeal(std::string_view secret, std::string_view domain,
                        std::string_view fleet_id, std::string_view plaintext) {
  const std::string nonce = crypto::RandomBytes(crypto::kAeadNonceSize);
  std::string key = SealKey(secret);
  std::string sealed =
      nonce +
      crypto::AeadSeal(key, nonce, Binding(domain, fleet_id), plaintext);
  crypto::Wipe(key);
  return sealed;
}

absl::StatusOr<std::string> PairingOpen(std::string_view secret,
                                        std::string_view domain,
                                        std::string_view fleet_id,
                                        std::string_view sealed) {
  if (sealed.size() < crypto::kAeadNonceSize + crypto::kAeadOverhead) {
    return DataLoss("not_decryptable", "the sealed message is too short");
  }
  std::string key = SealKey(secret);
  auto plaintext = crypto::AeadOpen(
      key, sealed.substr(0, crypto::kAeadNonceSize), Binding(domain, fleet_id),
      sealed.substr(crypto::kAeadNonceSize));
  crypto::Wipe(key);
  return plaintext;
}

std::string AnswerSigningInput(const pairing::v1::Answer& answer,
                               std::string_view fleet_id) {
  pairing::v1::Answer unsigned_answer = answer;
  unsigned_answer.clear_device_signature();
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    unsigned_answer.SerializeToCodedStream(&coded);
  }
  return crypto::SigningInput(kAnswerDomain, fleet_id, bytes);
}

std::string TicketText(const pairing::v1::ClaimTicket& ticket) {
  return "SHOAL1-" + Base32Encode(ticket.SerializeAsString());
}

absl::StatusOr<std::string> QrText(const std::string& text) {
  const std::unique_ptr<QRcode, void (*)(QRcode*)> code(
      QRcode_encodeString(text.c_str(), 0, QR_ECLEVEL_L, QR_MODE_8, 1),
      &QRcode_free);
  if (!code) {
    return errno == ERANGE
               ? InvalidArgument("qr_too_long", "too long for a QR code")
               : ErrnoError(errno, "QR code");
  }
  // Two rows of modules a line; light modules are drawn, since terminals are
  // mostly dark, with the quiet zone of four modules.
  constexpr int kQuiet = 4;
  const int width = code->width;
  const auto light = [&](int x, int y) {
    return x < 0 || y < 0 || x >= width || y >= width ||
           (code->data[y * width + x] & 1) == 0;
  };
  std::string out;
  for (int y = -kQuiet; y < width + kQuiet; y += 2) {
    for (int x = -kQuiet; x < width + kQuiet; ++x) {
      const bool top = light(x, y);
      const bool bottom = y + 1 < width + kQuiet && light(x, y + 1);
      out += top ? (bottom ? "█" : "▀") : (bottom ? "▄" : " ");
    }
    out += '\n';
  }
  return out;
}

}  // namespace shoal::server
