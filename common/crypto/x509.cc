#include "common/crypto/x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "common/crypto/hash.h"
#include "common/crypto/openssl_ptr.h"
#include "common/status.h"

namespace shoal::crypto {
namespace {

using Pkey = OpensslPtr<EVP_PKEY, EVP_PKEY_free>;
using Cert = OpensslPtr<X509, X509_free>;
using Bio = OpensslPtr<BIO, BIO_free>;
using Names = OpensslPtr<GENERAL_NAMES, GENERAL_NAMES_free>;
using Extension = OpensslPtr<X509_EXTENSION, X509_EXTENSION_free>;

constexpr size_t kMaxPem = 65536;

absl::Status Bad(std::string_view what) {
  return InvalidArgument("bad_certificate", what);
}

Bio ReadBio(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<Pkey> ReadKey(const SecretBytes& pem) {
  if (pem.size() > kMaxPem) return Bad("private key is too long");
  Bio bio = ReadBio(pem.view());
  // An empty password rather than OpenSSL's prompt on the terminal.
  Pkey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr,
                                   const_cast<char*>("")));
  if (!key) return Bad("not a PEM private key");
  return key;
}

absl::StatusOr<Cert> ReadCert(std::string_view pem) {
  if (pem.size() > kMaxPem) return Bad("certificate is too long");
  Bio bio = ReadBio(pem);
  Cert cert(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!cert) return Bad("not a PEM certificate");
  return cert;
}

Pkey NewKey() { return Pkey(EVP_EC_gen("P-256")); }

// OpenSSL's own memory BIO is freed with its content wiped.
SecretBytes KeyPem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_secmem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                    nullptr, nullptr) != 1)
    return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return SecretBytes(std::string_view(data, static_cast<size_t>(size)));
}

std::string BioText(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

bool AddExtension(X509* cert, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(cert, extension.get(), -1) == 1;
}

// Built from parts, never from a configuration string: a name with a comma
// must not become two names.
absl::Status AddSubjectNames(X509* cert, const CertificateRequest& request) {
  Names names(GENERAL_NAMES_new());
  const auto push = [&](int type, ASN1_STRING* value) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names.get(), name);
  };
  for (const std::string& text : request.names) {
    if (text.empty() || text.size() > 253 ||
        text.find_first_of(std::string_view("\0\n ,/", 5)) != text.npos)
      return Bad("'" + text + "' is no host name or IP address");
    if (ASN1_OCTET_STRING* ip = a2i_IPADDRESS(text.c_str())) {
      push(GEN_IPADD, ip);
      continue;
    }
    ASN1_IA5STRING* dns = ASN1_IA5STRING_new();
    ASN1_STRING_set(dns, text.data(), static_cast<int>(text.size()));
    push(GEN_DNS, dns);
  }
  if (!request.uri.empty()) {
    ASN1_IA5STRING* uri = ASN1_IA5STRING_new();
    ASN1_STRING_set(uri, request.uri.data(),
                    static_cast<int>(request.uri.size()));
    push(GEN_URI, uri);
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return absl::OkStatus();
  if (X509_add1_ext_i2d(cert, NID_subject_alt_name, names.get(), 0, 0) != 1)
    return Bad("can't add the subject's names");
  return absl::OkStatus();
}

absl::StatusOr<Cert> NewCertificate(const std::string& common_name,
                                    absl::Time not_before, absl::Time not_after,
                                    EVP_PKEY* key) {
  if (common_name.empty() || common_name.size() > 64)
    return Bad("a common name has 1 to 64 bytes");
  if (not_after <= not_before) return Bad("the lifetime is empty");
  Cert cert(X509_new());
  unsigned char serial[16];
  if (!cert || RAND_bytes(serial, sizeof serial) != 1)
    return Bad("no memory or randomness");
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
  OpensslPtr<BIGNUM, BN_free> number(BN_bin2bn(serial, sizeof serial, nullptr));
  const time_t before = absl::ToTimeT(not_before);
  const time_t after = absl::ToTimeT(not_after);
  X509_NAME* name = X509_get_subject_name(cert.get());
  if (X509_set_version(cert.get(), X509_VERSION_3) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get())) ==
          nullptr ||
      ASN1_TIME_set(X509_getm_notBefore(cert.get()), before) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(cert.get()), after) == nullptr ||
      X509_set_pubkey(cert.get(), key) != 1 ||
      X509_NAME_add_entry_by_NID(
          name, NID_commonName, MBSTRING_UTF8,
          reinterpret_cast<const unsigned char*>(common_name.data()),
          static_cast<int>(common_name.size()), -1, 0) != 1)
    return Bad("can't fill in the certificate");
  return cert;
}

absl::StatusOr<std::string> SignAndWrite(X509* cert, EVP_PKEY* issuer_key) {
  if (X509_sign(cert, issuer_key, EVP_sha256()) == 0)
    return Bad("can't sign the certificate");
  Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), cert) != 1)
    return Bad("can't write the certificate");
  return BioText(bio.get());
}

absl::StatusOr<std::string> Issue(const TlsKeyPair& ca, EVP_PKEY* subject_key,
                                  const CertificateRequest& request) {
  SHOAL_ASSIGN_OR_RETURN(const Pkey ca_key, ReadKey(ca.key_pem));
  SHOAL_ASSIGN_OR_RETURN(const Cert ca_cert, ReadCert(ca.cert_pem));
  if (X509_check_private_key(ca_cert.get(), ca_key.get()) != 1)
    return Bad("the CA's key and certificate don't belong together");
  SHOAL_ASSIGN_OR_RETURN(const Cert cert,
                         NewCertificate(request.common_name, request.not_before,
                                        request.not_after, subject_key));
  const char* usage = request.server && request.client ? "serverAuth,clientAuth"
                      : request.server                 ? "serverAuth"
                                                       : "clientAuth";
  if (!request.server && !request.client)
    return Bad("a certificate is for a server, a client or both");
  if (X509_set_issuer_name(cert.get(), X509_get_subject_name(ca_cert.get())) !=
          1 ||
      !AddExtension(cert.get(), ca_cert.get(), NID_basic_constraints,
                    "critical,CA:FALSE") ||
      !AddExtension(cert.get(), ca_cert.get(), NID_key_usage,
                    "critical,digitalSignature") ||
      !AddExtension(cert.get(), ca_cert.get(), NID_ext_key_usage, usage) ||
      !AddExtension(cert.get(), ca_cert.get(), NID_subject_key_identifier,
                    "hash") ||
      !AddExtension(cert.get(), ca_cert.get(), NID_authority_key_identifier,
                    "keyid"))
    return Bad("can't add the extensions");
  SHOAL_RETURN_IF_ERROR(AddSubjectNames(cert.get(), request));
  return SignAndWrite(cert.get(), ca_key.get());
}

std::string DerKey(X509* cert) {
  unsigned char* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
  if (size <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

absl::Time ReadTime(const ASN1_TIME* time) {
  struct tm parts {};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return absl::InfinitePast();
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string Text(const ASN1_STRING* s) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(s)),
                     static_cast<size_t>(ASN1_STRING_length(s)));
}

}  // namespace

SecretBytes GenerateP256KeyPem() { return KeyPem(NewKey().get()); }

absl::StatusOr<TlsKeyPair> MakeCertificateAuthority(
    const std::string& common_name, absl::Time not_before,
    absl::Time not_after) {
  const Pkey key = NewKey();
  SHOAL_ASSIGN_OR_RETURN(
      const Cert cert,
      NewCertificate(common_name, not_before, not_after, key.get()));
  if (X509_set_issuer_name(cert.get(), X509_get_subject_name(cert.get())) !=
          1 ||
      !AddExtension(cert.get(), cert.get(), NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0") ||
      !AddExtension(cert.get(), cert.get(), NID_key_usage,
                    "critical,keyCertSign,cRLSign") ||
      !AddExtension(cert.get(), cert.get(), NID_subject_key_identifier, "hash"))
    return Bad("can't add the CA's extensions");
  TlsKeyPair pair;
  SHOAL_ASSIGN_OR_RETURN(pair.cert_pem, SignAndWrite(cert.get(), key.get()));
  pair.key_pem = KeyPem(key.get());
  return pair;
}

absl::StatusOr<TlsKeyPair> IssueCertificate(const TlsKeyPair& ca,
                                            const CertificateRequest& request) {
  const Pkey key = NewKey();
  TlsKeyPair pair;
  SHOAL_ASSIGN_OR_RETURN(pair.cert_pem, Issue(ca, key.get(), request));
  pair.key_pem = KeyPem(key.get());
  return pair;
}

absl::StatusOr<std::string> IssueCertificateFor(
    const TlsKeyPair& ca, std::string_view public_key_pem,
    const CertificateRequest& request) {
  if (public_key_pem.size() > kMaxPem) return Bad("public key is too long");
  Bio bio = ReadBio(public_key_pem);
  const Pkey key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
  if (!key) return Bad("not a PEM public key");
  return Issue(ca, key.get(), request);
}

absl::StatusOr<std::string> PublicKeyPem(const SecretBytes& key_pem) {
  SHOAL_ASSIGN_OR_RETURN(const Pkey key, ReadKey(key_pem));
  Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(bio.get(), key.get()) != 1)
    return Bad("can't write the public key");
  return BioText(bio.get());
}

absl::StatusOr<CertificateInfo> ParseCertificate(std::string_view cert_pem) {
  SHOAL_ASSIGN_OR_RETURN(const Cert cert, ReadCert(cert_pem));
  CertificateInfo info;
  X509_NAME* subject = X509_get_subject_name(cert.get());
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index >= 0)
    info.common_name =
        Text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
  Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(cert.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      info.names.push_back(Text(name->d.dNSName));
    } else if (name->type == GEN_URI) {
      info.uris.push_back(Text(name->d.uniformResourceIdentifier));
    } else if (name->type == GEN_IPADD) {
      const std::string ip = Text(name->d.iPAddress);
      char text[INET6_ADDRSTRLEN];
      if ((ip.size() == 4 || ip.size() == 16) &&
          inet_ntop(ip.size() == 4 ? AF_INET : AF_INET6, ip.data(), text,
                    sizeof text) != nullptr)
        info.names.push_back(text);
    }
  }
  info.not_before = ReadTime(X509_get0_notBefore(cert.get()));
  info.not_after = ReadTime(X509_get0_notAfter(cert.get()));
  info.spki_sha256 = Sha256Digest(DerKey(cert.get()));
  return info;
}

absl::StatusOr<std::string> SpkiSha256(std::string_view cert_pem) {
  SHOAL_ASSIGN_OR_RETURN(const Cert cert, ReadCert(cert_pem));
  return Sha256Digest(DerKey(cert.get()));
}

}  // namespace shoal::crypto
