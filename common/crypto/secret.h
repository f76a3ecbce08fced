// Bytes that must not outlive their use: keys, passphrases, plaintexts of
// key files (T56).
#ifndef SHOAL_COMMON_CRYPTO_SECRET_H_
#define SHOAL_COMMON_CRYPTO_SECRET_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace shoal::crypto {

// Owns guarded memory: locked against swapping where the limit allows,
// excluded from core dumps, wiped and freed on destruction. Move only. One
// thread at a time may write; reading is safe from several.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(size_t size);             // zeros
  explicit SecretBytes(std::string_view bytes);  // a copy; wipe the source
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes();

  static SecretBytes Random(size_t size);
  // Copies `source` and overwrites it with zeros, so that one copy is left.
  static SecretBytes TakeFrom(std::string& source);

  std::string_view view() const { return {data_, size_}; }
  char* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  SecretBytes Clone() const { return SecretBytes(view()); }

 private:
  void Reset();
  char* data_ = nullptr;
  size_t size_ = 0;
};

// Overwrites a string that held a secret and empties it; the compiler can't
// remove the overwriting.
void Wipe(std::string& bytes);

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_SECRET_H_
