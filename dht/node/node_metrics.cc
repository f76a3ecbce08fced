// What an operator of a storage node alerts on.
#include "common/log.h"
#include "common/status.h"
#include "dht/node/node_impl.h"
#include "dht/records/network_metrics.h"

namespace shoal::dht::node {

absl::Status StorageNode::Impl::OpenMetrics() {
  if (config_.metrics_listen.empty()) return absl::OkStatus();
  metrics_.Collect(metrics::CollectProcess);
  metrics_.Collect([this](metrics::Samples& out) { CollectMetrics(out); });
  SHOAL_ASSIGN_OR_RETURN(
      metrics_endpoint_,
      metrics::Endpoint::Open(config_.metrics_listen, metrics_));
  LogInfo("metrics", {{"address", metrics_endpoint_->address()}});
  return absl::OkStatus();
}

void StorageNode::Impl::CollectMetrics(metrics::Samples& out) const {
  const RecordStoreStats store = store_->Stats();
  out.Gauge("shoal_node_records", "Records on disk.",
            static_cast<double>(store.records));
  out.Gauge("shoal_node_record_bytes", "Bytes of the records on disk.",
            static_cast<double>(store.bytes));
  out.Gauge("shoal_node_record_bytes_limit",
            "Bytes of records beyond which nothing new is taken.",
            static_cast<double>(config_.store.max_bytes));
  out.Counter("shoal_node_refused_records_total",
              "Records refused by quota, size or a full queue.",
              static_cast<double>(store.refused));
  out.Counter("shoal_node_commits_total",
              "Batches of records that were synced to disk.",
              static_cast<double>(store.commits));

  const RepairStats repair = repairer_->Stats();
  out.Counter("shoal_node_repaired_records_total",
              "Records taken over from other nodes.",
              static_cast<double>(repair.repaired));
  out.Counter("shoal_node_repair_refused_records_total",
              "Records of other nodes that did not verify.",
              static_cast<double>(repair.refused));
  out.Counter("shoal_node_repair_rounds_total",
              "Times that every other node's records were read to their end.",
              static_cast<double>(repair.rounds));

  const NetworkStats network = network_->Stats();
  out.Gauge("shoal_node_known_nodes", "Other storage nodes in the directory.",
            static_cast<double>(network.known_nodes));
  out.Gauge("shoal_node_admitted_nodes",
            "Other storage nodes that proved themselves to this one.",
            static_cast<double>(network.admitted_nodes));
  CollectNetwork(network, out);

  out.Gauge("shoal_node_artifacts", "Images and deltas held in full.",
            static_cast<double>(mirror_->Held().size()));
  out.Gauge("shoal_node_log_fork",
            "1: the timestamp's key has provably signed two release logs.",
            log_forked_ ? 1 : 0);
  out.Gauge("shoal_node_timestamp_version",
            "Version of the timestamp that this node believes.",
            static_cast<double>(trust_->view()->fleet().timestamp_version));
}

}  // namespace shoal::dht::node
