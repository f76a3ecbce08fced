#include "server/fleet/device_certificate.h"

#include "common/bytes.h"
#include "common/crypto/key_certificate.h"
#include "common/status.h"

namespace shoal::server {
namespace {

crypto::KeyCertificateName CaName(const std::string& fleet_id) {
  return {HexEncode(fleet_id), "Shoal device CA"};
}

}  // namespace

absl::StatusOr<std::string> DeviceCaCertificate(const PlaneKeys& keys,
                                                const std::string& fleet_id) {
  SHOAL_ASSIGN_OR_RETURN(const std::string der,
                         crypto::MakeKeyCa(keys.device_ca, CaName(fleet_id)));
  return crypto::CertificatePem(der);
}

absl::StatusOr<std::string> DeviceCertificate(
    const PlaneKeys& keys, const std::string& fleet_id,
    const records::v1::Credential& credential, absl::Duration lifetime) {
  records::v1::CredentialBody body;
  if (!body.ParseFromString(credential.body())) {
    return InvalidArgument("bad_credential", "the credential does not parse");
  }
  const std::string id = HexEncode(body.subject_id());
  crypto::KeyCertificateRequest request;
  request.public_key = body.public_key();
  request.name = {HexEncode(fleet_id), id};
  request.uri = "shoal:device/" + id;
  request.serial = body.serial();
  request.not_after = absl::FromUnixSeconds(body.not_after());
  request.not_before = request.not_after - lifetime;
  return crypto::IssueKeyCertificate(keys.device_ca, CaName(fleet_id), request);
}

}  // namespace shoal::server
