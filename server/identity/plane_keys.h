// The management plane's own secrets: files under DIR/keys, mode 0600. What
// each may do is said by metadata that offline keys sign; losing them costs a
// rotation, never an image (docs/operations/management-plane.md).
#ifndef SHOAL_SERVER_IDENTITY_PLANE_KEYS_H_
#define SHOAL_SERVER_IDENTITY_PLANE_KEYS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/crypto/box.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/secret.h"
#include "common/files.h"
#include "shoal/pairing/v1/pairing.pb.h"

namespace shoal::server {

// Immutable after Load: thread-safe.
struct PlaneKeys {
  crypto::SigningKey director;
  crypto::SigningKey snapshot;
  crypto::SigningKey timestamp;
  crypto::SigningKey device_ca;
  crypto::SigningKey node_ca;
  crypto::BoxKey telemetry;
  crypto::SecretBytes network_key;    // epoch 1; later ones are in the store
  crypto::SecretBytes bootstrap_key;  // epoch 0
  crypto::SecretBytes place_key;
  crypto::SecretBytes tls_key_pem;
  std::string tls_cert_pem;
};

struct InitOptions {
  std::string directory;  // made; must not hold a plane yet
  std::string fleet;      // identifier, for people
  std::string api = "127.0.0.1:0";
};

// Makes all keys, online-public.json for shoal-sign, the server certificate
// and a configuration file. kAlreadyExists "already_initialised".
absl::Status InitPlane(const InitOptions& options, FileSystem& fs,
                       Clock& clock);

// After a theft: new director, snapshot, timestamp, device_ca, node_ca,
// telemetry and TLS keys in place of the old ones, which are kept under
// DIR/keys/replaced-SECONDS, and a new online-public.json and server.crt.
// Network, bootstrap and place key stay: devices could not be reached with
// others. The new keys are worth something once shoal-sign has signed
// metadata that names them. Interrupted, run it again. "not_initialised".
absl::Status RotatePlaneKeys(const std::string& directory,
                             const std::string& fleet, FileSystem& fs,
                             Clock& clock);

// DIR/keys. crypto::ReadSecretFile's errors.
absl::StatusOr<PlaneKeys> LoadPlaneKeys(const std::string& directory,
                                        FileSystem& fs);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_IDENTITY_PLANE_KEYS_H_
