#include "agent/link/sources.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <future>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "dht/swarm/endpoint.h"

namespace shoal::agent {
namespace {

constexpr absl::Duration kLookUp = absl::Seconds(3);
constexpr absl::Duration kArtifactDeadline = absl::Hours(1);
constexpr size_t kMaxKnownBad = 1024;
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

std::vector<dht::VerifiedRecord> DhtFetcher::Look(const std::string& place) {
  auto records = network_->GetBlocking(place, kLookUp);
  if (!records.ok()) return {};
  return *std::move(records);
}

bool DhtFetcher::MayBe(std::string_view role, std::optional<uint64_t> version,
                       const dht::VerifiedRecord& record,
                       const std::string& bytes) {
  if (!plausible_) return true;
  absl::Status status = plausible_(role, version, bytes);
  if (status.ok()) return true;
  if (known_bad_.size() >= kMaxKnownBad) known_bad_.clear();
  if (known_bad_.insert(record.digest).second)
    passed_over_.push_back(std::move(status));
  return false;
}

absl::StatusOr<std::string> DhtFetcher::FromOrigins(
    const std::string& path, uint64_t max_bytes,
    std::optional<std::string> sha256) {
  std::vector<std::string> urls;
  if (fetch_ != nullptr) urls = nodes_->OriginUrls();
  if (urls.empty())
    return Unavailable("no_source", fmt::format("no origin for {}", path));
  for (std::string& url : urls) url += path;
  return FromUrls(std::move(urls), max_bytes, std::move(sha256));
}

absl::StatusOr<std::string> DhtFetcher::FetchLog(const std::string& name,
                                                 size_t source,
                                                 uint64_t max_bytes) {
  constexpr std::string_view kProof = "proof/";
  const auto no_more = [&] {
    return NotFound("no_more_sources", "nobody else has log/" + name);
  };
  constexpr std::string_view kTimestamp = "timestamp/";
  const bool timestamp = name.starts_with(kTimestamp);
  if (timestamp && source == 0) {
    uint64_t version = 0;
    std::from_chars(name.data() + kTimestamp.size(), name.data() + name.size(),
                    version);
    proof_name_ = name;
    proofs_.clear();
    for (const dht::VerifiedRecord& record :
         Look(places_->Metadata("timestamp", version)))
      if (record.body.kind() == records::v1::RECORD_KIND_METADATA &&
          MayBe("timestamp", std::nullopt, record, record.body.payload()))
        proofs_.push_back(record.body.payload());
  }
  if (timestamp || name.starts_with(kProof)) {
    if (source == 0 && !timestamp) {
      SHOAL_ASSIGN_OR_RETURN(
          const std::string root,
          HexDecode(std::string_view(name).substr(kProof.size())));
      proof_name_ = name;
      proofs_.clear();
      for (const dht::VerifiedRecord& record : Look(places_->LogProof(root)))
        if (record.body.kind() == records::v1::RECORD_KIND_LOG_PROOF)
          proofs_.push_back(record.body.payload());
    }
    if (name != proof_name_ || source >= proofs_.size()) return no_more();
    return proofs_[source];
  }
  std::vector<std::string> urls;
  if (fetch_ != nullptr) urls = nodes_->OriginUrls();
  if (source >= urls.size()) return no_more();
  return FromUrls({urls[source] + "log/" + name}, max_bytes, std::nullopt);
}

absl::StatusOr<std::string> DhtFetcher::FromUrls(
    std::vector<std::string> urls, uint64_t max_bytes,
    std::optional<std::string> sha256) {
  auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  auto future = answer->get_future();
  fetch_->FetchDocument(std::move(urls), max_bytes, std::move(sha256),
                        absl::Seconds(20),
                        [answer](absl::StatusOr<std::string> bytes) {
                          answer->set_value(std::move(bytes));
                        });
  return future.get();
}

// A record's number is whatever its writer likes; a timestamp's is signed.
std::optional<std::string> DhtFetcher::NewestTimestamp() {
  std::vector<dht::VerifiedRecord> found = Look(places_->Head(device_type_));
  if (pushed_) found.push_back(*std::exchange(pushed_, std::nullopt));
  std::optional<std::string> newest;
  uint64_t version = 0;
  for (const dht::VerifiedRecord& record : found) {
    records::v1::Head head;
    if (record.body.kind() != records::v1::RECORD_KIND_HEAD ||
        !head.ParseFromString(record.body.payload()) ||
        head.timestamp().empty() ||
        !MayBe("timestamp", std::nullopt, record, head.timestamp()))
      continue;
    const auto parsed = signing::ParseTimestamp(head.timestamp());
    if (!parsed.ok() || parsed->value.version <= version) continue;
    version = parsed->value.version;
    newest = std::move(*head.mutable_timestamp());
  }
  return newest;
}

absl::StatusOr<std::string> DhtFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  if (role == "timestamp") {
    if (auto newest = NewestTimestamp()) return *std::move(newest);
    return FromOrigins("metadata/timestamp.json", max_bytes, std::nullopt);
  }
  if (!version)
    return NotFound("metadata_missing",
                    fmt::format("{} is fetched by version only", role));
  for (const dht::VerifiedRecord& record :
       Look(places_->Metadata(role, *version)))
    if (record.body.kind() == records::v1::RECORD_KIND_METADATA &&
        MayBe(role, version, record, record.body.payload()))
      return record.body.payload();
  auto bytes = FromOrigins(fmt::format("metadata/{}.{}.json", *version, role),
                           max_bytes, std::nullopt);
  if (bytes.ok() || absl::IsNotFound(bytes.status())) return bytes;
  // Storage nodes are reachable and have no such record: that is an answer,
  // whether or not an origin is up. Withholding a root is a freeze, which the
  // timestamp's expiry bounds.
  if (role == "root" && network_->Stats().connected_nodes > 0)
    return NotFound("metadata_missing",
                    fmt::format("no node has version {} of root", *version));
  return bytes;
}

absl::StatusOr<std::string> DhtFetcher::FetchTarget(
    const signing::TargetFile& target) {
  for (const dht::VerifiedRecord& record :
       Look(places_->Document(target.sha256)))
    if (record.body.kind() == records::v1::RECORD_KIND_DOCUMENT)
      return record.body.payload();
  return FromOrigins("blobs/" + HexEncode(target.sha256), target.length,
                     target.sha256);
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
