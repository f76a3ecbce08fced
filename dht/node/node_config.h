// A storage node's files and settings. docs/operations/storage-node.md is the
// page for people.
//
//   DIR/node.toml            settings
//   DIR/enroll-request.json  EnrollNodeRequest (proto3 JSON), for the operator
//   DIR/bundle.pb            serialised NodeBundle, from the operator
//   DIR/keys/node.key        ed25519 seed; DIR/keys/tls.key, DIR/tls.crt
//   DIR/records/             the record store
//   DIR/trust/ public/ partial/ fetch/ directory.record
#ifndef SHOAL_DHT_NODE_NODE_CONFIG_H_
#define SHOAL_DHT_NODE_NODE_CONFIG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/crypto/ed25519.h"
#include "common/crypto/x509.h"
#include "common/files.h"
#include "dht/node/mirror.h"
#include "dht/node/record_store.h"
#include "dht/node/records_server.h"
#include "dht/node/repair.h"
#include "shoal/fleet/v1/node_service.pb.h"

namespace shoal::dht::node {

struct NodeConfig {
  std::string id;
  std::string data_dir;
  std::string log_level = "info";
  std::string dht_listen, grpc_listen, http_listen, swarm_listen;
  // What other members are told; the listening address when empty.
  std::string http_advertise, swarm_advertise;
  std::string fetch_program;
  std::string metrics_listen;  // empty: no metrics
  RecordStoreOptions store;
  RepairOptions repair;
  MirrorOptions mirror;
  RecordsServerOptions server;
  uint64_t dht_memory_bytes = 1ull << 30;
  int64_t upload_bytes_per_second = 0;
  int64_t download_bytes_per_second = 0;
  absl::Duration sweep_interval = absl::Minutes(1);

  std::string File(std::string_view name) const;
};

// kInvalidArgument "bad_config" with every problem.
absl::StatusOr<NodeConfig> LoadNodeConfig(const std::string& path);

struct NodeFiles {
  crypto::SigningKey key;
  crypto::TlsKeyPair tls;
  fleet::v1::NodeBundle bundle;
  std::string subject_id;  // 16 bytes
};
// Keys and bundle, checked against each other. kFailedPrecondition
// "not_enrolled" without a bundle, kInvalidArgument "bad_bundle".
absl::StatusOr<NodeFiles> LoadNodeFiles(const NodeConfig& config,
                                        FileSystem& fs);

struct InitOptions {
  std::string data_dir;
  std::string id;                     // identifier
  std::string fleet_id;               // 32 bytes
  std::string address = "127.0.0.1";  // numeric; told to others
  std::string listen;                 // numeric; empty: `address`
};
// Makes keys, free ports, node.toml and enroll-request.json. kAlreadyExists
// "already_initialised" when there is a node.toml.
absl::Status InitNode(const InitOptions& options, FileSystem& fs);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_NODE_CONFIG_H_
