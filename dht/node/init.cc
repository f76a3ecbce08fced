// `shoal-node init`: keys, ports, settings, and the request for enrolment.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>
#include <sys/socket.h>

#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/keyfile.h"
#include "common/ports.h"
#include "common/status.h"
#include "dht/node/node_config.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht::node {
namespace {

constexpr char kEnrollDomain[] = "shoal.node.enroll.v1";
constexpr absl::Duration kTlsLifetime = absl::Hours(24 * 365 * 10);

absl::StatusOr<crypto::TlsKeyPair> MakeTls(const std::string& id,
                                           const std::string& address) {
  const absl::Time now = absl::Now();
  // Callers pin the key; nobody looks at who signed the certificate.
  SHOAL_ASSIGN_OR_RETURN(const auto ca,
                         crypto::MakeCertificateAuthority(
                             "shoal-node " + id, now - absl::Hours(24),
                             now + kTlsLifetime + absl::Hours(24)));
  crypto::CertificateRequest request;
  request.common_name = id;
  request.names = {address};
  request.server = true;
  request.client = true;
  request.not_before = now - absl::Hours(24);
  request.not_after = now + kTlsLifetime;
  return crypto::IssueCertificate(ca, request);
}

std::string Toml(const InitOptions& options, const std::string& listen_host,
                 const std::string& host, const std::vector<uint16_t>& ports) {
  std::string text = fmt::format(
      "# Settings of a storage node; docs/operations/storage-node.md has all.\n"
      "id = \"{}\"\n\n[listen]\ndht = \"{}:{}\"\ngrpc = \"{}:{}\"\n"
      "http = \"{}:{}\"\nswarm = \"{}:{}\"\n",
      options.id, listen_host, ports[0], listen_host, ports[1], listen_host,
      ports[2], listen_host, ports[3]);
  if (listen_host != host) {
    text += fmt::format("\n[advertise]\nhttp = \"{}:{}\"\nswarm = \"{}:{}\"\n",
                        host, ports[2], host, ports[3]);
  }
  return text;
}

}  // namespace

absl::Status InitNode(const InitOptions& options, FileSystem& fs) {
  if (!IsIdentifier(options.id)) {
    return InvalidArgument("bad_name", "--id: not an identifier");
  }
  if (options.fleet_id.size() != 32) {
    return InvalidArgument("bad_fleet_id", "--fleet: 64 hex digits");
  }
  const auto bracketed = [](const std::string& ip) {
    return ip.find(':') == std::string::npos ? ip : "[" + ip + "]";
  };
  const std::string host = bracketed(options.address);
  const std::string listen =
      options.listen.empty() ? options.address : options.listen;
  const std::string listen_host = bracketed(listen);
  for (const std::string& ip : {host, listen_host}) {
    SHOAL_ASSIGN_OR_RETURN([[maybe_unused]] const auto endpoint,
                           ParseEndpoint(ip + ":1"));
  }
  const std::string config_path = JoinPath(options.data_dir, "node.toml");
  if (fs.Exists(config_path)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "already_initialised",
                     config_path + " exists");
  }
  SHOAL_RETURN_IF_ERROR(
      fs.MakeDirectories(JoinPath(options.data_dir, "keys"), 0700));

  const crypto::SigningKey key = crypto::SigningKey::Generate();
  SHOAL_ASSIGN_OR_RETURN(const auto tls, MakeTls(options.id, options.address));
  SHOAL_ASSIGN_OR_RETURN(const std::string spki,
                         crypto::SpkiSha256(tls.cert_pem));
  std::vector<uint16_t> ports;
  std::vector<HeldPort> held;  // to the end, so that no two are the same
  for (const int type : {SOCK_DGRAM, SOCK_STREAM, SOCK_STREAM, SOCK_STREAM}) {
    SHOAL_ASSIGN_OR_RETURN(HeldPort port,
                           HoldFreePort(kNodePorts, listen, type));
    ports.push_back(port.number);
    held.push_back(std::move(port));
  }

  fleet::v1::EnrollNodeRequest request;
  request.set_node_id(options.id);
  request.set_public_key(key.public_key());
  request.set_signature(key.Sign(
      crypto::SigningInput(kEnrollDomain, options.fleet_id, options.id)));
  request.set_dht_address(fmt::format("{}:{}", host, ports[0]));
  request.set_grpc_address(fmt::format("{}:{}", host, ports[1]));
  request.set_http_address(fmt::format("{}:{}", host, ports[2]));
  request.set_swarm_address(fmt::format("{}:{}", host, ports[3]));
  request.set_tls_spki_sha256(spki);
  std::string json;
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  const auto printed =
      google::protobuf::util::MessageToJsonString(request, &json, print);
  if (!printed.ok()) return Internal("bad_request", printed.ToString());

  SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
      fs, JoinPath(options.data_dir, "keys/node.key"), key.seed()));
  SHOAL_RETURN_IF_ERROR(crypto::WriteSecretFile(
      fs, JoinPath(options.data_dir, "keys/tls.key"), tls.key_pem));
  SHOAL_RETURN_IF_ERROR(MakeTimeKey(options.data_dir, options.id, fs).status());
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(options.data_dir, "tls.crt"), tls.cert_pem));
  SHOAL_RETURN_IF_ERROR(
      fs.WriteAtomic(JoinPath(options.data_dir, "enroll-request.json"), json));
  // Last: with it the directory counts as made.
  return fs.WriteAtomic(config_path, Toml(options, listen_host, host, ports));
}

}  // namespace shoal::dht::node
