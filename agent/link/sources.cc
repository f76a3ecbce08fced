#include "agent/link/sources.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/metadata/announced.h"
#include "dht/swarm/endpoint.h"
#include "signing/verify/updater.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kLookUp = absl::Seconds(3);
constexpr absl::Duration kArtifactDeadline = absl::Hours(1);
constexpr auto kPoll = std::chrono::milliseconds(50);
// A plane may have died between signing a delta and handing it to nodes.
constexpr absl::Duration kSubstituteAfter = absl::Seconds(30);

}  // namespace

void NodeAddresses::Set(const records::v1::NodeDirectory& directory) {
  std::lock_guard lock(mutex_);
  origins_.clear();
  peers_.clear();
  for (const records::v1::NodeEntry& node : directory.nodes()) {
    if (!node.http_address().empty())
      origins_.push_back("http://" + node.http_address() + "/");
    if (!node.swarm_address().empty()) peers_.push_back(node.swarm_address());
  }
}

std::vector<std::string> NodeAddresses::OriginUrls() const {
  std::lock_guard lock(mutex_);
  return origins_;
}

std::vector<std::string> NodeAddresses::Peers() const {
  std::lock_guard lock(mutex_);
  return peers_;
}

absl::StatusOr<std::string> NewestHead::Timestamp(
    const dht::Plausible& plausible) {
  std::vector<dht::VerifiedRecord> heads;
  auto found = network_->GetBlocking(places_->Head(type_), kLookUp);
  if (found.ok()) heads = *std::move(found);
  if (pushed_) heads.push_back(*std::exchange(pushed_, std::nullopt));
  auto newest_first = dht::TimestampsOf(heads, plausible);
  if (newest_first.empty())
    return NotFound("no_source", "no timestamp is announced");
  return std::move(newest_first.front());
}

absl::Status PassedOver::Note(absl::Status why, std::string_view bytes) {
  if (reasons_.size() < kMost &&
      seen_.First(std::to_string(std::hash<std::string_view>()(bytes))))
    reasons_.push_back(why);
  return why;
}

dht::MetadataSourceOptions DeviceSource(dht::Network& network,
                                        const dht::PlaceNamer& places,
                                        LazyFetch* fetch,
                                        const NodeAddresses& nodes,
                                        Clock& clock) {
  dht::MetadataSourceOptions options;
  options.places = &places;
  options.clock = &clock;
  options.look_ups = {dht::InNetwork(network, kLookUp)};
  options.answered = [&network] { return network.Stats().connected_nodes > 0; };
  if (fetch == nullptr) return options;
  options.origins = [&nodes] { return nodes.OriginUrls(); };
  options.get = dht::Blocking(
      [fetch](auto... job) { fetch->FetchDocument(std::move(job)...); });
  return options;
}

void JudgeBy(const signing::Updater& updater,
             dht::MetadataSourceOptions& options) {
  options.now = [&updater] { return updater.Now(); };
  options.trusted = [&updater]() -> std::optional<signing::Timestamp> {
    if (!updater.StoredBytes("timestamp").ok()) return std::nullopt;
    return updater.timestamp();
  };
}

dht::Artifact ArtifactOf(const ArtifactSource& source) {
  dht::Artifact artifact;
  artifact.file_root = source.file_root;
  artifact.piece_length = static_cast<uint32_t>(source.piece_length);
  artifact.length = source.length;
  artifact.sha256 = source.sha256;
  return artifact;
}

absl::StatusOr<FetchStats> ArtifactFetcher::Fetch(
    const ArtifactSource& source, const std::string& path,
    Substitute substitute, const std::atomic<bool>& cancel) {
  const std::string id = HexEncode(source.sha256).substr(0, 32);
  const std::string place = places_->Provider(source.sha256);
  fetch_->SetDownloadLimit(static_cast<int64_t>(
      std::min<uint64_t>(source.max_bytes_per_second, uint64_t{1} << 40)));
  dht::FetchJob job;
  job.id = id;
  job.artifact = ArtifactOf(source);
  job.output_path = path;
  job.deadline = kArtifactDeadline;
  if (substitute != Substitute::kNone) job.first_byte = kSubstituteAfter;
  job.seed_afterwards = seed_afterwards_;
  job.peers = nodes_->Peers();
  job.origin_urls.clear();
  for (const std::string& origin : nodes_->OriginUrls())
    if (auto url = dht::BlobUrl(origin, source.sha256); url.ok())
      job.origin_urls.push_back(*std::move(url));
  const std::string own = fetch_->swarm_address();
  const auto providers = network_->GetBlocking(place, kLookUp);
  if (providers.ok())
    for (const dht::VerifiedRecord& record : *providers) {
      records::v1::Provider provider;
      if (!provider.ParseFromString(record.body.payload())) continue;
      if (!provider.swarm_address().empty() && provider.swarm_address() != own)
        job.peers.push_back(provider.swarm_address());
      if (!provider.origin_url().empty())
        if (auto url = dht::BlobUrl(provider.origin_url(), source.sha256);
            url.ok())
          job.origin_urls.push_back(*std::move(url));
    }
  const auto unique = [](std::vector<std::string>& list, size_t max) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    if (list.size() > max) list.resize(max);
  };
  // Addresses that parse; a record may name anything.
  std::erase_if(job.peers, [](const std::string& peer) {
    return !dht::ParseEndpoint(peer).ok();
  });
  std::erase_if(job.origin_urls, [](const std::string& url) {
    return !dht::ValidateUrl(url).ok();
  });
  unique(job.peers, 200);
  unique(job.origin_urls, 16);
  LogInfo("fetch_begins", {{"sha256", HexEncode(source.sha256)},
                           {"bytes", source.length},
                           {"peers", job.peers.size()},
                           {"origins", job.origin_urls.size()}});

  auto done =
      std::make_shared<std::promise<absl::StatusOr<dht::FetchResult>>>();
  auto future = done->get_future();
  SHOAL_RETURN_IF_ERROR(fetch_->Fetch(
      std::move(job), nullptr, [done](absl::StatusOr<dht::FetchResult> result) {
        done->set_value(std::move(result));
      }));
  const dht::ListenToken token = network_->Listen(
      place, [fetch = fetch_, id, own](const dht::VerifiedRecord& record) {
        records::v1::Provider provider;
        if (provider.ParseFromString(record.body.payload()) &&
            provider.swarm_address() != own &&
            dht::ParseEndpoint(provider.swarm_address()).ok())
          fetch->AddPeers(id, {provider.swarm_address()});
      });
  bool cancelled = false;
  while (future.wait_for(kPoll) != std::future_status::ready) {
    if (cancel.load() && !cancelled) {
      cancelled = true;
      fetch_->Cancel(id);
    }
  }
  network_->Cancel(token);
  SHOAL_ASSIGN_OR_RETURN(const dht::FetchResult result, future.get());
  LogInfo("fetched", {{"sha256", HexEncode(source.sha256)},
                      {"from_peers", result.bytes_from_peers},
                      {"from_origin", result.bytes_from_origin}});
  return FetchStats{result.bytes_from_peers, result.bytes_from_origin};
}

}  // namespace shoal::agent
