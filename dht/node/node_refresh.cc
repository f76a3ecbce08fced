// How a running storage node takes newer metadata, of which anybody may
// announce anything.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "dht/node/node_impl.h"
#include "dht/node/node_sources.h"

namespace shoal::dht::node {
namespace {

constexpr absl::Duration kRefreshRetry = absl::Seconds(5);
// Of one announced timestamp.
constexpr int kMaxTries = 12;
constexpr size_t kTriesInATurn = 4;
// Records wait meanwhile; whoever did not come to its turn is first in the
// next.
constexpr absl::Duration kLongestTurn = absl::Seconds(5);
constexpr absl::Duration kOriginTimeout = absl::Seconds(10);

}  // namespace

bool StorageNode::Impl::SeemsSigned(std::string_view timestamp) const {
  return trust_->MayBe("timestamp", std::nullopt, timestamp).ok();
}

void StorageNode::Impl::OfferTimestamp(std::string_view timestamp,
                                       const std::string& writer) {
  const auto offered = signing::ParseTimestamp(timestamp);
  if (!offered.ok()) return;
  if (!trust_->IsNewer(timestamp)) {
    // Of the past that is known here, or the other of two truths.
    if (offered->value.log) CompareLog(std::string(timestamp));
    return;
  }
  const uint64_t version = offered->value.version;
  // One version, signed twice: that they lie here side by side is the proof.
  for (const std::string& other : candidates_.OfVersion(version)) {
    if (other == timestamp) return;
    const absl::Status proof = trust_->TakeForkProof(other, timestamp);
    if (!proof.ok()) LogDebug("fork_proof_ignored", {{"error", proof}});
  }
  const auto plausible = [this](std::string_view one) {
    return SeemsSigned(one);
  };
  if (candidates_.Add(version, timestamp, writer, plausible))
    retry_at_ = absl::ZeroDuration();
}

MetadataSourceOptions StorageNode::Impl::SourceOptions() {
  MetadataSourceOptions options;
  options.places = &places_;
  options.clock = &clock_;
  options.look_ups = {
      OwnRecords(*store_,
                 [this](const std::string& bytes) { return Verify(bytes); }),
      InNetwork(*network_)};
  options.plausible = [this](std::string_view role,
                             std::optional<uint64_t> version,
                             std::string_view bytes) {
    return trust_->MayBe(role, version, bytes);
  };
  options.origins = [this] { return OtherOrigins(); };
  options.get = Blocking(
      [this](auto... job) { fetch_->FetchDocument(std::move(job)...); });
  options.origin_timeout = kOriginTimeout;
  // This node holds records itself, and may be the only one. A later refresh
  // asks again.
  options.answered = [] { return true; };
  options.log_tile = [this](MetadataSource& source, const std::string& name) {
    return log_->Tile(
        name, [&source](uint64_t n) { return source.FetchLogBundle(n); });
  };
  return options;
}

absl::Status StorageNode::Impl::RefreshWith(const std::string& timestamp) {
  std::map<uint64_t, std::string> roots;  // for the tree that this node serves
  MetadataSourceOptions options = SourceOptions();
  options.timestamp = [&timestamp] { return timestamp; };
  options.on_root = [&roots](uint64_t version, const std::string& bytes) {
    roots[version] = bytes;
  };
  MetadataSource source(std::move(options));
  log_->Forget();
  const auto before = trust_->view();
  const absl::Status refreshed = trust_->Refresh(source);
  if (!trust_->view()->SameWriters(*before)) {
    network_->SetResolver(resolver_);
    repairer_->TrustChanged();
  }
  if (!refreshed.ok()) return refreshed;
  const absl::Status exported = trust_->ExportRoots(roots);
  if (!exported.ok()) LogError("export_roots", {{"error", exported}});
  SyncLog(source);
  LogInfo("refreshed",
          {{"timestamp", trust_->view()->fleet().timestamp_version},
           {"artifacts", trust_->publication()->artifacts.size()}});
  mirror_->Kick();
  return absl::OkStatus();
}

// The newest of those that were tried least first; one that fails takes no
// other's turn.
void StorageNode::Impl::RefreshTrust() {
  const auto plausible = [this](std::string_view one) {
    return SeemsSigned(one);
  };
  std::set<std::string> tried;
  const absl::Duration end = clock_.MonotonicNow() + kLongestTurn;
  while (tried.size() < kTriesInATurn && clock_.MonotonicNow() < end) {
    // In a new order each time: a root that came with the last try tells more.
    const auto order = candidates_.InOrder(plausible);
    const auto next = std::find_if(
        order.begin(), order.end(),
        [&](const std::string& one) { return !tried.contains(one); });
    if (next == order.end()) break;
    tried.insert(*next);
    const absl::Status refreshed = RefreshWith(*next);
    const std::string reason = ReasonOf(refreshed);
    if (refreshed.ok()) {
      candidates_.DropUpTo(trust_->view()->fleet().timestamp_version);
      return;
    }
    LogWarn("refresh", {{"error", refreshed}});
    // A root that it needs may be on its way; but what this fleet never signed
    // is not tried for ever.
    if (!trust_->IsNewer(*next) ||
        (candidates_.Failed(*next) >= kMaxTries &&
         (reason == "bad_signature" || reason == "log_fork" ||
          reason == "rollback")))
      candidates_.Drop(*next);
  }
  retry_at_ = clock_.MonotonicNow() + kRefreshRetry;
}

}  // namespace shoal::dht::node
