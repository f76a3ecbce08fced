#include "common/crypto/hash.h"

#include <openssl/evp.h>
#include <sodium.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/crypto/sodium_init.h"

namespace shoal::crypto {
namespace {

void Check(bool ok, const char* what) {
  if (ok) return;
  fprintf(stderr, "broken invariant in common/crypto: %s\n", what);
  abort();
}

// Fetched once: an implicit fetch at each digest costs more than hashing a
// small block. OpenSSL's SHA-256 uses the processor's instructions, which
// libsodium's doesn't.
const EVP_MD* Algorithm() {
  static const EVP_MD* const md = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Check(md != nullptr, "OpenSSL has no SHA-256");
  return md;
}

const unsigned char* Bytes(std::string_view s) {
  return reinterpret_cast<const unsigned char*>(s.data());
}
unsigned char* Bytes(std::string& s) {
  return reinterpret_cast<unsigned char*>(s.data());
}

}  // namespace

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  Check(impl_->context != nullptr &&
            EVP_DigestInit_ex(impl_->context, Algorithm(), nullptr) == 1,
        "EVP_DigestInit_ex");
}
Sha256::Sha256(const Sha256& other) : impl_(std::make_unique<Impl>()) {
  Check(impl_->context != nullptr &&
            EVP_MD_CTX_copy_ex(impl_->context, other.impl_->context) == 1,
        "EVP_MD_CTX_copy_ex");
}
Sha256& Sha256::operator=(const Sha256& other) {
  if (this != &other) *this = Sha256(other);
  return *this;
}
Sha256::Sha256(Sha256&& other) noexcept = default;
Sha256& Sha256::operator=(Sha256&& other) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  Check(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) == 1,
        "EVP_DigestUpdate");
}

std::string Sha256::Finish() {
  std::string digest(kSha256Size, '\0');
  unsigned size = 0;
  Check(EVP_DigestFinal_ex(impl_->context, Bytes(digest), &size) == 1 &&
            size == kSha256Size &&
            EVP_DigestInit_ex(impl_->context, Algorithm(), nullptr) == 1,
        "EVP_DigestFinal_ex");
  return digest;
}

std::string Sha256Digest(std::string_view bytes) {
  std::string digest(kSha256Size, '\0');
  unsigned size = 0;
  Check(EVP_Digest(bytes.data(), bytes.size(), Bytes(digest), &size,
                   Algorithm(), nullptr) == 1 &&
            size == kSha256Size,
        "EVP_Digest");
  return digest;
}

std::string Blake2b(std::string_view key, std::string_view data,
                    size_t out_len) {
  EnsureSodium();
  Check(out_len >= crypto_generichash_BYTES_MIN &&
            out_len <= crypto_generichash_BYTES_MAX &&
            (key.empty() || (key.size() >= crypto_generichash_KEYBYTES_MIN &&
                             key.size() <= crypto_generichash_KEYBYTES_MAX)),
        "Blake2b lengths");
  std::string digest(out_len, '\0');
  Check(crypto_generichash(Bytes(digest), out_len, Bytes(data), data.size(),
                           key.empty() ? nullptr : Bytes(key), key.size()) == 0,
        "crypto_generichash");
  return digest;
}

std::string RandomBytes(size_t n) {
  EnsureSodium();
  std::string bytes(n, '\0');
  randombytes_buf(bytes.data(), n);
  return bytes;
}

bool EqualConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace shoal::crypto
