#include "common/crypto/pem_signature.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "common/crypto/openssl_ptr.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

using KeyPtr = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using BioPtr = OpensslPtr<BIO, BIO_free>;
using ContextPtr = OpensslPtr<EVP_MD_CTX, EVP_MD_CTX_free>;

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}

absl::Status BadKey(std::string_view what) {
  ERR_clear_error();
  return InvalidArgument("bad_key", what);
}

absl::Status CheckForm(PemScheme scheme, EVP_PKEY* key) {
  if (scheme == PemScheme::kEcdsaP256Sha256) {
    char group[32] = "";
    if (EVP_PKEY_is_a(key, "EC") != 1 ||
        EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1 ||
        std::string_view(group) != SN_X9_62_prime256v1)
      return BadKey("not a key on the curve P-256");
    if (EVP_PKEY_set_utf8_string_param(
            key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
            OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1)
      return BadKey("a point that OpenSSL does not convert");
    return absl::OkStatus();
  }
  if (EVP_PKEY_is_a(key, "RSA") != 1) return BadKey("not an RSA key");
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < kMinRsaBits || bits > kMaxRsaBits)
    return BadKey("an RSA key of unusable length");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> PemKeyToDer(PemScheme scheme,
                                        std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return BadKey("PEM text is too long");
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // A callback that gives no passphrase: the default one asks at the terminal.
  const KeyPtr key(bio ? PEM_read_bio_PUBKEY(
                             bio.get(), nullptr,
                             [](char*, int, int, void*) { return -1; }, nullptr)
                       : nullptr);
  if (!key) return BadKey("not a public key in PEM");
  SHOAL_RETURN_IF_ERROR(CheckForm(scheme, key.get()));
  unsigned char* out = nullptr;
  const int size = i2d_PUBKEY(key.get(), &out);
  if (size <= 0) return BadKey("a key that OpenSSL does not write");
  std::string der(reinterpret_cast<const char*>(out),
                  static_cast<size_t>(size));
  OPENSSL_free(out);
  return der;
}

bool VerifyWithDerKey(PemScheme scheme, std::string_view der,
                      std::string_view message, std::string_view signature) {
  const unsigned char* in = Bytes(der);
  const KeyPtr key(d2i_PUBKEY(nullptr, &in, static_cast<long>(der.size())));
  const ContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // the context's
  bool ok = key && context &&
            EVP_DigestVerifyInit(context.get(), &parameters, EVP_sha256(),
                                 nullptr, key.get()) == 1;
  if (ok && scheme == PemScheme::kRsaPssSha256)
    ok =
        EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, EVP_sha256()) == 1 &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_AUTO) == 1;
  ok = ok && EVP_DigestVerify(context.get(), Bytes(signature), signature.size(),
                              Bytes(message), message.size()) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace shoal::crypto
