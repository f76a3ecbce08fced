// For node.cc (start and stop) and node_events.cc (what happens in between).
#ifndef SHOAL_DHT_NODE_NODE_IMPL_H_
#define SHOAL_DHT_NODE_NODE_IMPL_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/metrics/endpoint.h"
#include "common/metrics/metrics.h"
#include "common/once_each.h"
#include "dht/metadata/metadata_source.h"
#include "dht/node/intake.h"
#include "dht/node/log_mirror.h"
#include "dht/node/node.h"
#include "dht/node/pairing_guard.h"
#include "dht/node/timestamp_candidates.h"
#include "dht/node/trust_keeper.h"
#include "dht/records/network.h"
#include "dht/swarm/origin_server.h"

namespace shoal::node::v1 {
class GetStatusResponse;
}

namespace shoal::dht::node {

class StorageNode::Impl {
 public:
  Impl(NodeConfig config, NodeFiles files, FileSystem& fs, Clock& clock)
      : config_(std::move(config)),
        files_(std::move(files)),
        fs_(fs),
        clock_(clock),
        places_(files_.bundle.network().place_key()),
        guard_(config_.pairing, clock) {}
  ~Impl();

  absl::Status Start();
  NodeAddresses addresses() const {
    return {network_->bound_address(), server_->address(), origin_->address(),
            fetch_->swarm_address()};
  }

 private:
  absl::Status OpenStores();
  absl::Status OpenNetwork();
  absl::Status Reload();
  absl::Status OpenServices();
  absl::Status OpenMetrics();
  NodeHooks MakeNodeHooks();

  std::shared_ptr<const records::v1::NodeDirectory> Directory() const {
    std::lock_guard lock(mutex_);
    return directory_;
  }
  // Of a record on this node's disk, or on that of another that took it.
  absl::StatusOr<VerifiedRecord> Verify(const std::string& bytes) const;
  // At most `max` that verify, highest version first.
  std::vector<VerifiedRecord> VerifiedAt(const std::string& place,
                                         records::v1::RecordKind kind,
                                         size_t max) const;
  void Learn(const records::v1::Credential& credential);
  void TakeDirectory(const VerifiedRecord& record);
  // Network keys (node_keys.cc).
  void LoadNetworkKeys();
  void TakeNetworkKeys(const VerifiedRecord& record);
  bool OpenNetworkKeys(const VerifiedRecord& record);
  void SplitNetworkKeys(std::vector<pairing::v1::NetworkKey>* in_force,
                        std::vector<pairing::v1::NetworkKey>* retired) const;
  void ApplyNetworkKeys();
  absl::StatusOr<std::string> GrantOf(const std::string& device_id) const;
  void Handle(const VerifiedRecord& record);
  void OfferTimestamp(std::string_view timestamp, const std::string& writer);
  bool SeemsSigned(std::string_view timestamp) const;
  void Idle();
  void RefreshTrust();
  absl::Status RefreshWith(const std::string& timestamp);
  // Without a timestamp: for all but a refresh.
  MetadataSourceOptions SourceOptions();
  void SyncLog(MetadataSource& source);
  void TakeWitness(const VerifiedRecord& record);
  void CompareLog(const std::string& timestamp);
  void Witness();
  void OfferProvider(const VerifiedRecord& record);
  MirrorSources Sources(const std::string& sha256);
  void Announce(const std::string& sha256,
                std::function<void(absl::Status)> done);
  bool MayCall(const std::string& spki) const;
  void CollectMetrics(metrics::Samples& out) const;
  void FillStatus(shoal::node::v1::GetStatusResponse* response) const;
  std::vector<std::string> OtherOrigins() const;
  static void AddSource(const records::v1::Provider& provider,
                        MirrorSources* sources);

  const NodeConfig config_;
  const NodeFiles files_;
  FileSystem& fs_;
  Clock& clock_;
  const PlaceNamer places_;

  PairingGuard guard_;

  // The newest NODE_KEYS record that named this node, and what it held. Of the
  // starting thread, then the intake's.
  std::string keys_record_;
  pairing::v1::NetworkAccess network_keys_;
  std::map<uint32_t, pairing::v1::NetworkKey> old_keys_;  // any, by epoch
  size_t keys_in_force_ = 0;

  mutable std::mutex mutex_;
  std::shared_ptr<const records::v1::NodeDirectory> directory_;  // mutex_

  // In the order in which they are opened; closed the other way round.
  std::unique_ptr<RecordStore> store_;
  std::unique_ptr<TrustKeeper> trust_;
  std::unique_ptr<LogMirror> log_;
  WriterResolver resolver_;       // of what the network offers
  WriterResolver kept_resolver_;  // of what is on this disk or another node's
  std::unique_ptr<FetchProcess> fetch_;
  std::unique_ptr<OriginServer> origin_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Mirror> mirror_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Repairer> repairer_;
  std::unique_ptr<RecordsServer> server_;
  metrics::Metrics metrics_;
  std::unique_ptr<metrics::Endpoint> metrics_endpoint_;

  // Of the intake's thread.
  TimestampCandidates candidates_;
  absl::Duration retry_at_ = absl::ZeroDuration();
  absl::Duration sweep_at_ = absl::ZeroDuration();
  absl::Duration log_at_ = absl::ZeroDuration();      // next look at the log
  absl::Duration witness_at_ = absl::ZeroDuration();  // next word on it
  std::string synced_root_;                           // of the log's copy
  std::string witnessed_;                             // the last word
  OnceEach judged_{1024};                             // timestamps of others

  std::atomic<bool> log_forked_{false};

  std::mutex intake_mutex_;  // guards intake_open_
  bool intake_open_ = false;
  void ToIntake(const VerifiedRecord& record) {
    std::lock_guard lock(intake_mutex_);
    if (intake_open_) intake_->Push(record);
  }
};

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_NODE_IMPL_H_
