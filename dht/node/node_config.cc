#include "dht/node/node_config.h"

#include <fmt/format.h>

#include <utility>

#include "common/bytes.h"
#include "common/config.h"
#include "common/crypto/keyfile.h"
#include "common/status.h"
#include "common/subprocess.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht::node {
namespace {

constexpr uint64_t kMaxBundleBytes = 32u << 20;
constexpr int64_t kTera = int64_t{1} << 40;

WriterQuota ReadQuota(Config& config, const std::string& name,
                      const WriterQuota& fallback) {
  WriterQuota quota;
  quota.records = static_cast<uint64_t>(
      config.Integer("quota." + name + "_records",
                     static_cast<int64_t>(fallback.records), 0, kTera));
  quota.bytes = static_cast<uint64_t>(
      config.Integer("quota." + name + "_bytes",
                     static_cast<int64_t>(fallback.bytes), 0, kTera));
  return quota;
}

}  // namespace

std::string NodeConfig::File(std::string_view name) const {
  return JoinPath(data_dir, name);
}

absl::StatusOr<NodeConfig> LoadNodeConfig(const std::string& path) {
  SHOAL_ASSIGN_OR_RETURN(Config toml, Config::Load(path));
  NodeConfig config;
  config.id = toml.RequiredString("id");
  config.data_dir = toml.Path("data_dir", ".");
  config.log_level = toml.String("log.level", config.log_level);
  config.dht_listen = toml.RequiredString("listen.dht");
  config.grpc_listen = toml.RequiredString("listen.grpc");
  config.http_listen = toml.RequiredString("listen.http");
  config.swarm_listen = toml.RequiredString("listen.swarm");
  config.http_advertise = toml.String("advertise.http");
  config.swarm_advertise = toml.String("advertise.swarm");
  config.fetch_program =
      toml.Path("fetch_program", JoinPath(ProgramDirectory(), "shoal-fetch"));

  RecordStoreOptions& store = config.store;
  store.device = ReadQuota(toml, "device", store.device);
  store.claim = ReadQuota(toml, "claim", store.claim);
  store.node = ReadQuota(toml, "node", store.node);
  store.oper = ReadQuota(toml, "operator", store.oper);
  store.director = ReadQuota(toml, "director", store.director);
  store.max_bytes = static_cast<uint64_t>(
      toml.Integer("store.max_bytes", static_cast<int64_t>(store.max_bytes),
                   1 << 20, 1024 * kTera));
  store.superseded_grace =
      toml.Duration("store.superseded_grace", store.superseded_grace);
  config.sweep_interval =
      toml.Duration("store.sweep_interval", config.sweep_interval);
  config.dht_memory_bytes = static_cast<uint64_t>(toml.Integer(
      "store.memory_bytes", static_cast<int64_t>(config.dht_memory_bytes),
      1 << 20, kTera));

  config.repair.interval =
      toml.Duration("repair.interval", config.repair.interval);
  config.repair.away_after =
      toml.Duration("repair.away_after", config.repair.away_after);
  config.repair.copies =
      static_cast<int>(toml.Integer("repair.copies", 3, 1, 16));

  config.mirror.interval =
      toml.Duration("mirror.interval", config.mirror.interval);
  config.mirror.provider_lifetime = toml.Duration(
      "mirror.provider_lifetime", config.mirror.provider_lifetime);
  config.mirror.grace = toml.Duration("mirror.grace", config.mirror.grace);
  config.mirror.fetch_deadline =
      toml.Duration("mirror.fetch_deadline", config.mirror.fetch_deadline);
  config.metrics_listen = toml.String("metrics.listen");
  config.upload_bytes_per_second =
      toml.Integer("mirror.upload_bytes_per_second", 0, 0, kTera);
  config.download_bytes_per_second =
      toml.Integer("mirror.download_bytes_per_second", 0, 0, kTera);
  config.server.max_streams =
      static_cast<int>(toml.Integer("grpc.max_streams", 64, 1, 4096));
  config.mirror.public_dir = config.File("public");
  config.mirror.partial_dir = config.File("partial");
  config.server.bind = config.grpc_listen;
  SHOAL_RETURN_IF_ERROR(toml.Finish());

  if (!IsIdentifier(config.id)) {
    return InvalidArgument("bad_config", "id: not an identifier");
  }
  for (const auto& [key, address] :
       {std::pair<const char*, const std::string*>{"dht", &config.dht_listen},
        {"grpc", &config.grpc_listen},
        {"http", &config.http_listen},
        {"swarm", &config.swarm_listen}}) {
    const auto endpoint = ParseEndpoint(*address, /*allow_port_zero=*/true);
    if (!endpoint.ok()) {
      return InvalidArgument(
          "bad_config",
          fmt::format("listen.{}: '{}' is not ip:port", key, *address));
    }
  }
  for (const auto& [key, value] :
       {std::pair<const char*, absl::Duration>{"repair.interval",
                                               config.repair.interval},
        {"mirror.interval", config.mirror.interval},
        {"mirror.provider_lifetime", config.mirror.provider_lifetime},
        {"store.sweep_interval", config.sweep_interval}}) {
    if (value < absl::Milliseconds(50)) {
      return InvalidArgument("bad_config",
                             fmt::format("{}: at least 50ms", key));
    }
  }
  return config;
}

absl::StatusOr<NodeFiles> LoadNodeFiles(const NodeConfig& config,
                                        FileSystem& fs) {
  SHOAL_ASSIGN_OR_RETURN(
      const crypto::SecretBytes seed,
      crypto::ReadSecretFile(fs, config.File("keys/node.key")));
  SHOAL_ASSIGN_OR_RETURN(crypto::SigningKey key,
                         crypto::SigningKey::FromSeed(seed));
  NodeFiles files{std::move(key), {}, {}, {}};
  SHOAL_ASSIGN_OR_RETURN(
      files.tls.key_pem,
      crypto::ReadSecretFile(fs, config.File("keys/tls.key")));
  SHOAL_ASSIGN_OR_RETURN(files.tls.cert_pem,
                         fs.Read(config.File("tls.crt"), 64 << 10));
  const std::string bundle_path = config.File("bundle.pb");
  if (!fs.Exists(bundle_path)) {
    return FailedPrecondition(
        "not_enrolled",
        fmt::format("{} is missing: have an operator run 'shoal node enroll "
                    "--request {} --out {}'",
                    bundle_path, config.File("enroll-request.json"),
                    bundle_path));
  }
  SHOAL_ASSIGN_OR_RETURN(const std::string bytes,
                         fs.Read(bundle_path, kMaxBundleBytes));
  records::v1::CredentialBody credential;
  if (!files.bundle.ParseFromString(bytes) ||
      files.bundle.fleet_id().size() != 32 ||
      files.bundle.network().keys().empty() ||
      files.bundle.network().place_key().size() != 32 ||
      !credential.ParseFromString(files.bundle.credential().body())) {
    return InvalidArgument("bad_bundle",
                           bundle_path + " is not a whole bundle");
  }
  if (credential.public_key() != files.key.public_key() ||
      credential.subject_id().size() != 16) {
    return InvalidArgument("bad_bundle",
                           bundle_path + " was made for another node's key");
  }
  files.subject_id = credential.subject_id();
  return files;
}

}  // namespace shoal::dht::node
