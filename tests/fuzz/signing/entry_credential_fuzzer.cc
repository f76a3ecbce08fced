// Credentials of devices that nobody has let in yet: whatever the bytes, the
// verifier answers, and what it lets pass is for the key that the body names.
// The signatures are made right when the input says so, so that the checks
// behind them are reached too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/crypto/ed25519.h"
#include "signing/verify/credential.h"
#include "signing/verify/entry_credential.h"

namespace {

using namespace shoal::signing;  // NOLINT: a fuzzer's only file
using shoal::crypto::SigningKey;

const SigningKey& FixedKey(char fill) {
  const auto make = [](char c) {
    return new SigningKey(*SigningKey::FromSeed(
        shoal::crypto::SecretBytes(std::string_view(std::string(32, c)))));
  };
  static const SigningKey* ca = make('c');
  static const SigningKey* door = make('d');
  static const SigningKey* acme = make('m');
  return fill == 'c' ? *ca : fill == 'd' ? *door : *acme;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  FleetTrust trust;
  trust.fleet_id = std::string(32, 'f');
  trust.device_ca_keys = {FixedKey('c').public_key()};
  trust.manufacturers = {{"acme", FixedKey('m').public_key(), {}}};
  shoal::records::v1::Credential credential;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) {
    if (!credential.ParseFromString(bytes)) return 0;
  } else if (data[0] % 3 == 1) {
    credential.set_body(bytes);
    credential.set_signature(
        FixedKey('m').Sign(FactorySigningInput(credential.body())));
  } else {
    credential.set_body(bytes);
    credential.set_signature(FixedKey('d').Sign(shoal::crypto::SigningInput(
        kCredentialDomain, trust.fleet_id, credential.body())));
  }
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto body = VerifyCredential(credential, trust, now);
  if (body.ok() &&
      (body->public_key().size() != 32 || body->subject_id().size() != 16))
    std::abort();
  if (body.ok() && body->kind() == shoal::records::v1::WRITER_CLASS_FACTORY &&
      body->subject_id() != KeySubject(body->public_key()))
    std::abort();
  (void)ParseFactory(credential);
  return 0;
}
