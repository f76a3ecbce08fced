#include "server/identity/plane_keys.h"

#include <utility>

#include "common/bytes.h"
#include "common/crypto/keyfile.h"
#include "common/crypto/x509.h"
#include "common/status.h"
#include "fmt/format.h"

namespace shoal::server {
namespace {

constexpr const char* kSigningKeys[] = {"director", "snapshot", "timestamp",
                                        "device_ca", "node_ca"};
constexpr absl::Duration kCertificateLifetime = absl::Hours(24 * 3650);

std::string KeyPath(const std::string& directory, std::string_view name) {
  return JoinPath(JoinPath(directory, "keys"), name);
}

absl::StatusOr<crypto::SigningKey> LoadSigning(const std::string& directory,
                                               FileSystem& fs,
                                               std::string_view name) {
  SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes seed,
                         crypto::ReadSecretFile(fs, KeyPath(directory, name)));
  return crypto::SigningKey::FromSeed(seed);
}

absl::StatusOr<crypto::SecretBytes> LoadSymmetric(const std::string& directory,
                                                  FileSystem& fs,
                                                  std::string_view name) {
  SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes key,
                         crypto::ReadSecretFile(fs, KeyPath(directory, name)));
  if (key.size() != crypto::kAeadKeySize) {
    return InvalidArgument(
        "bad_key",
        fmt::format("key file {} has {} bytes, not 32", name, key.size()));
  }
  return key;
}

std::string ConfigText(const InitOptions& options) {
  return fmt::format(
      R"(# Management plane of the fleet "{0}". All keys with their defaults:
# docs/operations/management-plane.md
fleet = "{0}"

[data]
dir = "."

[api]
listen = "{1}"

[dht]
listen = "127.0.0.1:0"

[http]
listen = "127.0.0.1:0"

[swarm]
listen = "127.0.0.1:0"
)",
      options.fleet, options.api);
}

// The keys that offline-signed metadata names, the server certificate, and
// online-public.json over them.
absl::Status MakeOnlineKeys(const std::string& dir, const std::string& fleet,
                            FileSystem& fs, Clock& clock) {
  std::string json = "{";
  for (const char* name : kSigningKeys) {
    const crypto::SigningKey key = crypto::SigningKey::Generate();
    SHOAL_RETURN_IF_ERROR(
        crypto::WriteSecretFile(fs, KeyPath(dir, name), key.seed()));
    json +=
        fmt::format("\n  \"{}\": \"{}\",", name, HexEncode(key.public_key()));
  }
  const crypto::BoxKey telemetry = crypto::BoxKey::Generate();
  SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(fs, KeyPath(dir, "telemetry"),
                                                telemetry.secret()));
  json += fmt::format("\n  \"telemetry\": \"{}\"\n}}\n",
                      HexEncode(telemetry.public_key()));
  const absl::Time now = clock.WallNow();
  crypto::CertificateRequest request;
  request.common_name = "shoald";
  request.names = {"localhost", "127.0.0.1"};
  request.server = true;
  // The same key is the plane's client certificate towards storage nodes.
  request.client = true;
  request.not_before = now - absl::Hours(24);
  request.not_after = now + kCertificateLifetime;
  // A CA of this one certificate, whose key is forgotten at once: a client
  // pins the pair, and every TLS library takes it for a complete chain.
  SHOAL_ASSIGN_OR_RETURN(
      crypto::TlsKeyPair ca,
      crypto::MakeCertificateAuthority("shoald " + fleet, request.not_before,
                                       request.not_after));
  SHOAL_ASSIGN_OR_RETURN(crypto::TlsKeyPair tls,
                         crypto::IssueCertificate(ca, request));
  tls.cert_pem += ca.cert_pem;
  SHOAL_RETURN_IF_ERROR(
      crypto::WriteSecretFile(fs, KeyPath(dir, "tls.key"), tls.key_pem));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(KeyPath(dir, "tls.crt"), tls.cert_pem, 0644));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(dir, "server.crt"), tls.cert_pem, 0644));
  return fs.WriteAtomic(JoinPath(dir, "online-public.json"), json, 0644);
}

}  // namespace

absl::Status InitPlane(const InitOptions& options, FileSystem& fs,
                       Clock& clock) {
  if (!IsIdentifier(options.fleet)) {
    return InvalidArgument("bad_name",
                           "the fleet's name is letters, digits, '.', '_' and "
                           "'-', at most 64 characters");
  }
  const std::string& dir = options.directory;
  // The configuration is written last: it marks a complete plane.
  const std::string config_path = JoinPath(dir, "shoald.toml");
  if (fs.Exists(config_path)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "already_initialised",
                     fmt::format("{} holds a management plane already", dir));
  }
  SHOAL_RETURN_IF_ERROR(fs.MakeDirectories(JoinPath(dir, "keys"), 0700));
  SHOAL_RETURN_IF_ERROR(MakeOnlineKeys(dir, options.fleet, fs, clock));
  for (const char* name : {"network", "bootstrap", "place"}) {
    SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
        fs, KeyPath(dir, name),
        crypto::SecretBytes::Random(crypto::kAeadKeySize)));
  }
  return fs.WriteAtomic(config_path, ConfigText(options), 0644);
}

absl::Status RotatePlaneKeys(const std::string& dir, const std::string& fleet,
                             FileSystem& fs, Clock& clock) {
  if (!fs.Exists(JoinPath(dir, "shoald.toml"))) {
    return FailedPrecondition("not_initialised",
                              fmt::format("{} holds no management plane", dir));
  }
  const std::string old =
      fmt::format("replaced-{}", absl::ToUnixSeconds(clock.WallNow()));
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(JoinPath(dir, "keys"), old), 0700));
  for (const char* name : {"director", "snapshot", "timestamp", "device_ca",
                           "node_ca", "telemetry", "tls.key"}) {
    SHOAL_ASSIGN_OR_RETURN(const crypto::SecretBytes secret,
                           crypto::ReadSecretFile(fs, KeyPath(dir, name)));
    SHOAL_RETURN_IF_ERROR(
        crypto::WriteSecretFile(fs, JoinPath(KeyPath(dir, old), name), secret));
  }
  return MakeOnlineKeys(dir, fleet, fs, clock);
}

absl::StatusOr<PlaneKeys> LoadPlaneKeys(const std::string& dir,
                                        FileSystem& fs) {
  SHOAL_ASSIGN_OR_RETURN(auto director, LoadSigning(dir, fs, "director"));
  SHOAL_ASSIGN_OR_RETURN(auto snapshot, LoadSigning(dir, fs, "snapshot"));
  SHOAL_ASSIGN_OR_RETURN(auto timestamp, LoadSigning(dir, fs, "timestamp"));
  SHOAL_ASSIGN_OR_RETURN(auto device_ca, LoadSigning(dir, fs, "device_ca"));
  SHOAL_ASSIGN_OR_RETURN(auto node_ca, LoadSigning(dir, fs, "node_ca"));
  SHOAL_ASSIGN_OR_RETURN(crypto::SecretBytes telemetry_secret,
                         crypto::ReadSecretFile(fs, KeyPath(dir, "telemetry")));
  SHOAL_ASSIGN_OR_RETURN(auto telemetry,
                         crypto::BoxKey::FromSecret(telemetry_secret));
  SHOAL_ASSIGN_OR_RETURN(auto network, LoadSymmetric(dir, fs, "network"));
  SHOAL_ASSIGN_OR_RETURN(auto bootstrap, LoadSymmetric(dir, fs, "bootstrap"));
  SHOAL_ASSIGN_OR_RETURN(auto place, LoadSymmetric(dir, fs, "place"));
  SHOAL_ASSIGN_OR_RETURN(auto tls_key,
                         crypto::ReadSecretFile(fs, KeyPath(dir, "tls.key")));
  SHOAL_ASSIGN_OR_RETURN(std::string tls_cert,
                         fs.Read(KeyPath(dir, "tls.crt"), 65536));
  return PlaneKeys{
      std::move(director),  std::move(snapshot),  std::move(timestamp),
      std::move(device_ca), std::move(node_ca),   std::move(telemetry),
      std::move(network),   std::move(bootstrap), std::move(place),
      std::move(tls_key),   std::move(tls_cert)};
}

}  // namespace shoal::server
