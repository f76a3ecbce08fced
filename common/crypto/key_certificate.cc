#include "common/crypto/key_certificate.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "common/crypto/openssl_ptr.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

using Pkey = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using Cert = OpensslPtr<X509, X509_free>;
using Request = OpensslPtr<X509_REQ, X509_REQ_free>;
using Bio = OpensslPtr<BIO, BIO_free>;
using Names = OpensslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using Extension = OpensslPtr<X509_EXTENSION, X509_EXTENSION_free>;

// A CA is trusted because signed metadata names its key, not because of a date.
constexpr time_t kCaNotBefore = 1735689600;   // 2025-01-01
constexpr time_t kCaNotAfter = 253402300799;  // RFC 5280, 4.1.2.5
constexpr uint64_t kCaSerial = 1;
constexpr size_t kMaxPem = 65536;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_certificate", what);
}

Pkey PrivateKey(const SigningKey& key) {
  const SecretBytes seed = key.seed();
  return Pkey(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr,
      reinterpret_cast<const unsigned char*>(seed.view().data()), seed.size()));
}

Pkey PublicKey(std::string_view key) {
  return Pkey(EVP_PKEY_new_raw_public_key(
      EVP_PKEY_ED25519, nullptr,
      reinterpret_cast<const unsigned char*>(key.data()), key.size()));
}

std::string RawKey(EVP_PKEY* key) {
  std::string raw(kEd25519PublicKeySize, '\0');
  size_t size = raw.size();
  if (key == nullptr || EVP_PKEY_base_id(key) != EVP_PKEY_ED25519 ||
      EVP_PKEY_get_raw_public_key(
          key, reinterpret_cast<unsigned char*>(raw.data()), &size) != 1 ||
      size != raw.size())
    return "";
  return raw;
}

bool AddPart(X509_NAME* name, int nid, const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         X509_NAME_add_entry_by_NID(
             name, nid, MBSTRING_UTF8,
             reinterpret_cast<const unsigned char*>(text.data()),
             static_cast<int>(text.size()), -1, 0) == 1;
}

bool SetName(X509_NAME* name, const KeyCertificateName& parts) {
  return AddPart(name, NID_organizationName, parts.organization) &&
         AddPart(name, NID_commonName, parts.common_name);
}

bool Fill(X509* cert, uint64_t serial, time_t not_before, time_t not_after,
          EVP_PKEY* key) {
  return cert != nullptr && key != nullptr &&
         X509_set_version(cert, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial) == 1 &&
         ASN1_TIME_set(X509_getm_notBefore(cert), not_before) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(cert), not_after) != nullptr &&
         X509_set_pubkey(cert, key) == 1;
}

bool Add(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(cert, extension.get(), -1) == 1;
}

Names UriName(const std::string& uri) {
  Names names(GENERAL_NAMES_new());
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, uri.data(), static_cast<int>(uri.size()));
  GENERAL_NAME* name = GENERAL_NAME_new();
  GENERAL_NAME_set0_value(name, GEN_URI, text);
  sk_GENERAL_NAME_push(names.get(), name);
  return names;
}

absl::StatusOr<Cert> NewCa(const SigningKey& ca,
                           const KeyCertificateName& name) {
  const Pkey key = PrivateKey(ca);
  Cert cert(X509_new());
  if (!Fill(cert.get(), kCaSerial, kCaNotBefore, kCaNotAfter, key.get()) ||
      !SetName(X509_get_subject_name(cert.get()), name) ||
      X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get())) !=
          1 ||
      !Add(cert.get(), cert.get(), NID_basic_constraints,
           "critical,CA:TRUE,pathlen:0") ||
      !Add(cert.get(), cert.get(), NID_key_usage,
           "critical,keyCertSign,cRLSign") ||
      !Add(cert.get(), cert.get(), NID_subject_key_identifier, "hash") ||
      X509_sign(cert.get(), key.get(), nullptr) == 0)
    return Bad("can't make the CA's certificate");
  return cert;
}

std::string Der(X509* cert) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(cert, &der);
  if (size <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

Cert ReadDer(std::string_view der) {
  if (der.size() > kMaxCertificateDer) return nullptr;
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const auto* end = at + der.size();
  Cert cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (at != end) return nullptr;  // something behind it
  return cert;
}

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<std::string> MakeKeyCa(const SigningKey& ca,
                                      const KeyCertificateName& name) {
  SHOAL_ASSIGN_OR_RETURN(const Cert cert, NewCa(ca, name));
  return Der(cert.get());
}

absl::StatusOr<std::string> IssueKeyCertificate(
    const SigningKey& ca, const KeyCertificateName& issuer,
    const KeyCertificateRequest& request) {
  if (request.not_after <= request.not_before)
    return Bad("the lifetime is empty");
  SHOAL_ASSIGN_OR_RETURN(const Cert ca_cert, NewCa(ca, issuer));
  const Pkey ca_key = PrivateKey(ca);
  const Pkey key = PublicKey(request.public_key);
  const Cert cert(X509_new());
  X509* const c = cert.get();
  X509* const i = ca_cert.get();
  if (!Fill(c, request.serial, absl::ToTimeT(request.not_before),
            absl::ToTimeT(request.not_after), key.get()) ||
      !SetName(X509_get_subject_name(c), request.name) ||
      X509_set_issuer_name(c, X509_get_subject_name(i)) != 1 ||
      !Add(c, i, NID_basic_constraints, "critical,CA:FALSE") ||
      !Add(c, i, NID_key_usage, "critical,digitalSignature") ||
      !Add(c, i, NID_ext_key_usage, "clientAuth") ||
      !Add(c, i, NID_subject_key_identifier, "hash") ||
      !Add(c, i, NID_authority_key_identifier, "keyid") ||
      X509_add1_ext_i2d(c, NID_subject_alt_name, UriName(request.uri).get(), 0,
                        0) != 1 ||
      X509_sign(c, ca_key.get(), nullptr) == 0)
    return Bad("can't make the certificate");
  return Der(c);
}

absl::Status CheckKeyCertificate(std::string_view der, std::string_view ca_key,
                                 std::string_view public_key) {
  const Cert cert = ReadDer(der);
  if (!cert) return Bad("not a DER certificate");
  const Pkey ca = PublicKey(ca_key);
  if (!ca || X509_verify(cert.get(), ca.get()) != 1)
    return PermissionDenied("bad_signature",
                            "the certificate is not by this CA's key");
  if (RawKey(X509_get0_pubkey(cert.get())) != public_key)
    return PermissionDenied("wrong_key", "the certificate is for another key");
  return absl::OkStatus();
}

absl::StatusOr<std::string> KeyOfCa(std::string_view pem) {
  if (pem.size() > kMaxPem) return Bad("too long");
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const Cert cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!cert) return Bad("not a PEM certificate");
  EVP_PKEY* const key = X509_get0_pubkey(cert.get());
  std::string raw = RawKey(key);
  if (raw.empty() || X509_check_ca(cert.get()) == 0 ||
      X509_verify(cert.get(), key) != 1)
    return Bad("not the certificate of an ed25519 CA, signed by itself");
  return raw;
}

absl::StatusOr<std::string> MakeCertificationRequest(
    const SigningKey& key, const KeyCertificateName& name,
    const std::string& uri) {
  const Pkey pkey = PrivateKey(key);
  const Request request(X509_REQ_new());
  OpensslPtr<X509_NAME, X509_NAME_free> subject(X509_NAME_new());
  STACK_OF(X509_EXTENSION)* list = nullptr;
  const bool made =
      pkey && request && SetName(subject.get(), name) &&
      X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
      X509_REQ_set_subject_name(request.get(), subject.get()) == 1 &&
      X509_REQ_set_pubkey(request.get(), pkey.get()) == 1 &&
      X509V3_add1_i2d(&list, NID_subject_alt_name, UriName(uri).get(), 0,
                      X509V3_ADD_DEFAULT) == 1 &&
      X509_REQ_add_extensions(request.get(), list) == 1 &&
      X509_REQ_sign(request.get(), pkey.get(), nullptr) != 0;
  sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!made || PEM_write_bio_X509_REQ(bio.get(), request.get()) != 1)
    return Bad("can't make the certification request");
  return BioText(bio.get());
}

std::string CertificatePem(std::string_view der) {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio(bio.get(), PEM_STRING_X509, "",
                reinterpret_cast<const unsigned char*>(der.data()),
                static_cast<long>(der.size()));
  return BioText(bio.get());
}

SecretBytes SigningKeyPem(const SigningKey& key) {
  const Pkey pkey = PrivateKey(key);
  const Bio bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), pkey.get(), nullptr, nullptr, 0,
                                    nullptr, nullptr) != 1)
    return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return SecretBytes(std::string_view(data, static_cast<size_t>(size)));
}

}  // namespace shoal::crypto
