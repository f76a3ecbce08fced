#include "server/cli/network_source.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <memory>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "server/cli/log_walk.h"
#include "signing/client/http_fetcher.h"
#include "signing/log/files.h"
#include "signing/verify/target_check.h"

namespace shoal::cli {
namespace {

using Records = std::vector<dht::VerifiedRecord>;

constexpr absl::Duration kLookUp = absl::Seconds(3);
constexpr absl::Duration kOriginStall = absl::Seconds(3);
constexpr absl::Duration kOriginDeadline = absl::Seconds(10);

absl::Status NotInNetwork(std::string_view role) {
  return NotFound(
      "metadata_missing",
      "the storage nodes hold no such version of " + std::string(role));
}

}  // namespace

std::vector<std::string> AnnouncedTimestamps(
    dht::Network& network, const dht::PlaceNamer& places,
    const std::vector<std::string>& device_types,
    const signing::Updater& trust) {
  std::vector<std::future<Records>> answers;
  for (const std::string& type : device_types) {
    auto answer = std::make_shared<std::promise<Records>>();
    answers.push_back(answer->get_future());
    network.Get(places.Head(type), kLookUp, [answer](Records found) {
      answer->set_value(std::move(found));
    });
  }
  std::map<uint64_t, std::vector<std::string>> by_version;
  for (std::future<Records>& answer : answers)
    for (const dht::VerifiedRecord& record : answer.get()) {
      records::v1::Head head;
      if (record.body.kind() != records::v1::RECORD_KIND_HEAD ||
          !head.ParseFromString(record.body.payload()) ||
          !trust.MayBe("timestamp", std::nullopt, head.timestamp()).ok())
        continue;
      const auto parsed = signing::ParseTimestamp(head.timestamp());
      if (!parsed.ok()) continue;
      auto& equal = by_version[parsed->value.version];
      if (std::find(equal.begin(), equal.end(), head.timestamp()) ==
          equal.end())
        equal.push_back(head.timestamp());
    }
  std::vector<std::string> newest_first;
  for (auto it = by_version.rbegin(); it != by_version.rend(); ++it)
    for (std::string& timestamp : it->second)
      newest_first.push_back(std::move(timestamp));
  return newest_first;
}

NetworkSource::NetworkSource(dht::Network& network,
                             const dht::PlaceNamer& places,
                             const signing::Updater& trust,
                             std::string timestamp, signing::Fetcher* first,
                             std::vector<std::string> origins)
    : network_(network),
      places_(places),
      trust_(trust),
      timestamp_(std::move(timestamp)),
      first_(first),
      origins_(std::move(origins)) {}

NetworkSource::~NetworkSource() = default;

absl::StatusOr<std::string> NetworkSource::FromOrigins(
    const std::function<absl::StatusOr<std::string>(signing::Fetcher&)>& ask,
    const std::function<bool(const std::string&)>& usable) {
  absl::Status last = NotFound("metadata_missing", "no storage node has it");
  for (const std::string& origin : origins_) {
    signing::HttpFetcherOptions options;
    options.metadata_url = origin + "metadata/";
    options.targets_url = origin + "targets/";
    options.stall_time = kOriginStall;
    options.metadata_deadline = kOriginDeadline;
    auto source = signing::HttpFetcher::Create(std::move(options));
    if (!source.ok()) continue;
    auto bytes = ask(**source);
    if (bytes.ok() && usable(*bytes)) return bytes;
    if (!bytes.ok()) last = bytes.status();
  }
  return last;
}

std::vector<std::string> NetworkSource::Look(const std::string& place,
                                             records::v1::RecordKind kind) {
  std::vector<std::string> payloads;
  const auto found = network_.GetBlocking(place, kLookUp);
  if (!found.ok()) return payloads;
  for (const dht::VerifiedRecord& record : *found)
    if (record.body.kind() == kind) payloads.push_back(record.body.payload());
  return payloads;
}

absl::StatusOr<std::string> NetworkSource::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  if (role == "timestamp") {
    if (!timestamp_.empty()) return timestamp_;
    return Unavailable("no_source", "no timestamp was announced");
  }
  if (!version) return NotInNetwork(role);
  const auto usable = [&](const std::string& bytes) {
    return bytes.size() <= max_bytes && trust_.MayBe(role, version, bytes).ok();
  };
  if (first_ != nullptr) {
    auto bytes = first_->FetchMetadata(role, version, max_bytes);
    if (bytes.ok() && usable(*bytes)) return bytes;
  }
  for (std::string& bytes : Look(places_.Metadata(role, *version),
                                 records::v1::RECORD_KIND_METADATA))
    if (usable(bytes)) return std::move(bytes);
  auto bytes = FromOrigins(
      [&](signing::Fetcher& origin) {
        return origin.FetchMetadata(role, version, max_bytes);
      },
      usable);
  // The end of root rotation, as far as can be known here.
  if (!bytes.ok() && role == "root") return NotInNetwork(role);
  return bytes;
}

absl::StatusOr<std::string> NetworkSource::FetchTarget(
    const signing::TargetFile& target) {
  if (first_ != nullptr) {
    auto bytes = first_->FetchTarget(target);
    if (bytes.ok() && signing::CheckTarget(target, *bytes).ok()) return bytes;
  }
  // The place is that of its digest.
  auto found =
      Look(places_.Document(target.sha256), records::v1::RECORD_KIND_DOCUMENT);
  if (!found.empty()) return std::move(found.front());
  return FromOrigins(
      [&](signing::Fetcher& origin) { return origin.FetchTarget(target); },
      [&](const std::string& bytes) {
        return signing::CheckTarget(target, bytes).ok();
      });
}

absl::StatusOr<std::string> NetworkSource::FetchLog(const std::string& name,
                                                    size_t source, uint64_t) {
  constexpr std::string_view kProof = "proof/";
  constexpr std::string_view kTimestamp = "timestamp/";
  const bool proof = name.starts_with(kProof);
  if (!proof && !name.starts_with(kTimestamp)) return Tile(name, source);
  if (name != looked_up_) {
    looked_up_ = name;
    if (proof) {
      SHOAL_ASSIGN_OR_RETURN(
          const std::string root,
          HexDecode(std::string_view(name).substr(kProof.size())));
      found_ = Look(places_.LogProof(root), records::v1::RECORD_KIND_LOG_PROOF);
    } else {
      uint64_t version = 0;
      std::from_chars(name.data() + kTimestamp.size(),
                      name.data() + name.size(), version);
      found_ = Look(places_.Metadata("timestamp", version),
                    records::v1::RECORD_KIND_METADATA);
      std::erase_if(found_, [this](const std::string& bytes) {
        return !trust_.MayBe("timestamp", std::nullopt, bytes).ok();
      });
    }
  }
  if (source < found_.size()) return found_[source];
  return NotFound("no_more_sources", "nobody else has log/" + name);
}

absl::StatusOr<std::string> NetworkSource::Tile(const std::string& name,
                                                size_t source) {
  if (!tiles_) {
    SHOAL_ASSIGN_OR_RETURN(const LogEntries entries,
                           ReadLogEntries([this](uint64_t n) {
                             return Look(places_.LogEntries(n),
                                         records::v1::RECORD_KIND_LOG_ENTRIES);
                           }));
    SHOAL_ASSIGN_OR_RETURN(tiles_, EntriesFetcher::Make(entries));
  }
  return tiles_->FetchLog(name, source, signing::kMaxLogTileBytes);
}

}  // namespace shoal::cli
