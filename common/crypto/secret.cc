#include "common/crypto/secret.h"

#include <sodium.h>

#include <cstring>
#include <new>
#include <utility>

#include "common/crypto/sodium_init.h"

namespace shoal::crypto {

SecretBytes::SecretBytes(size_t size) {
  EnsureSodium();
  if (size == 0) return;
  data_ = static_cast<char*>(sodium_malloc(size));
  if (data_ == nullptr) throw std::bad_alloc();
  size_ = size;
  memset(data_, 0, size);
}

SecretBytes::SecretBytes(std::string_view bytes) : SecretBytes(bytes.size()) {
  if (!bytes.empty()) memcpy(data_, bytes.data(), bytes.size());
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes&& other) noexcept {
  if (this != &other) {
    Reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecretBytes::~SecretBytes() { Reset(); }

void SecretBytes::Reset() {
  if (data_ != nullptr) sodium_free(data_);  // wipes
  data_ = nullptr;
  size_ = 0;
}

SecretBytes SecretBytes::Random(size_t size) {
  SecretBytes bytes(size);
  if (size > 0) randombytes_buf(bytes.data_, size);
  return bytes;
}

SecretBytes SecretBytes::TakeFrom(std::string& source) {
  SecretBytes bytes{std::string_view(source)};
  Wipe(source);
  return bytes;
}

void Wipe(std::string& bytes) {
  if (!bytes.empty()) sodium_memzero(bytes.data(), bytes.size());
  bytes.clear();
}

}  // namespace shoal::crypto
