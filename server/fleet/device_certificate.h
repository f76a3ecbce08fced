// The X.509 form of device credentials and of the CA that gives them
// (docs/pairing.md, "For TLS with others"). Nothing here is kept: a certificate
// follows from its credential.
#ifndef SHOAL_SERVER_FLEET_DEVICE_CERTIFICATE_H_
#define SHOAL_SERVER_FLEET_DEVICE_CERTIFICATE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/identity/plane_keys.h"
#include "shoal/records/v1/credential.pb.h"

namespace shoal::server {

// PEM. The same for the same device CA.
absl::StatusOr<std::string> DeviceCaCertificate(const PlaneKeys& keys,
                                                const std::string& fleet_id);

// DER: the same key, id, serial number and end as `credential`, which the
// device CA signed; begins `lifetime` before it ends. The subject is O=fleet
// id, CN=device id, and URI shoal:device/ID.
absl::StatusOr<std::string> DeviceCertificate(
    const PlaneKeys& keys, const std::string& fleet_id,
    const records::v1::Credential& credential, absl::Duration lifetime);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_CERTIFICATE_H_
