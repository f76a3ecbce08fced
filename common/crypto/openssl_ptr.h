// Owners of OpenSSL's objects. Includes nothing of OpenSSL itself; for
// common/crypto only.
#ifndef SHOAL_COMMON_CRYPTO_OPENSSL_PTR_H_
#define SHOAL_COMMON_CRYPTO_OPENSSL_PTR_H_

#include <memory>

namespace shoal::crypto {

template <auto Free>
struct OpensslFree {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};

// OpensslPtr<X509, X509_free>
template <typename T, auto Free>
using OpensslPtr = std::unique_ptr<T, OpensslFree<Free>>;

}  // namespace shoal::crypto

#endif  // SHOAL_COMMON_CRYPTO_OPENSSL_PTR_H_
