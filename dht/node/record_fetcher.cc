#include "dht/node/record_fetcher.h"

#include <future>
#include <memory>
#include <utility>

#include "common/bytes.h"
#include "common/log.h"
#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::dht::node {
namespace {

// Of one place's records on this node.
constexpr size_t kMaxOwn = 64;

}  // namespace

RecordFetcher::RecordFetcher(RecordFetcherOptions options,
                             std::string timestamp)
    : options_(std::move(options)), timestamp_(std::move(timestamp)) {}

std::vector<std::string> RecordFetcher::Own(const std::string& place,
                                            records::v1::RecordKind kind,
                                            size_t max, const Accept& accept) {
  std::vector<std::string> payloads;
  const auto stored =
      options_.store->AtPlace(place, kind, max, [&](const std::string& bytes) {
        if (options_.verify && !options_.verify(bytes).ok()) return false;
        auto body = BodyOf(bytes);
        if (!body || !accept(body->payload())) return false;
        payloads.push_back(std::move(*body->mutable_payload()));
        return true;
      });
  if (!stored.ok()) LogError("read_records", {{"error", stored.status()}});
  return payloads;
}

std::optional<std::string> RecordFetcher::FromRecords(
    const std::string& place, records::v1::RecordKind kind,
    const Accept& accept) {
  auto own = Own(place, kind, 1, accept);
  if (!own.empty()) return std::move(own.front());
  const auto found =
      options_.network->GetBlocking(place, options_.network_timeout);
  if (!found.ok()) return std::nullopt;
  for (const VerifiedRecord& record : *found) {
    if (record.body.kind() == kind && accept(record.body.payload())) {
      return record.body.payload();
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::string> RecordFetcher::FromOrigins(
    const std::string& path, uint64_t max_bytes,
    std::optional<std::string> sha256) {
  if (options_.origins.empty() || options_.fetch == nullptr) {
    return Unavailable("no_source", "no other origin is known");
  }
  std::vector<std::string> urls;
  for (const std::string& origin : options_.origins)
    urls.push_back(origin + path);
  return FromUrls(std::move(urls), max_bytes, std::move(sha256));
}

std::vector<std::string> RecordFetcher::AllFromRecords(
    const std::string& place, records::v1::RecordKind kind) {
  std::vector<std::string> payloads =
      Own(place, kind, kMaxOwn, [](const std::string&) { return true; });
  const auto found =
      options_.network->GetBlocking(place, options_.network_timeout);
  if (!found.ok()) return payloads;
  for (const VerifiedRecord& record : *found) {
    if (record.body.kind() == kind) payloads.push_back(record.body.payload());
  }
  return payloads;
}

std::vector<std::string> RecordFetcher::FetchBundle(uint64_t n) {
  std::vector<std::string> found = AllFromRecords(
      options_.places->LogEntries(n), records::v1::RECORD_KIND_LOG_ENTRIES);
  if (!found.empty()) return found;
  auto bytes = FromOrigins("log/" + signing::LogEntriesName(n),
                           signing::kMaxLogBundleBytes, std::nullopt);
  if (bytes.ok()) found.push_back(*std::move(bytes));
  return found;
}

absl::StatusOr<std::string> RecordFetcher::FetchLog(const std::string& name,
                                                    size_t source,
                                                    uint64_t max_bytes) {
  constexpr std::string_view kProof = "proof/";
  const auto no_more = [&] {
    return NotFound("no_more_sources", "nobody else has log/" + name);
  };
  if (name.starts_with(kProof)) {
    if (source == 0) {
      SHOAL_ASSIGN_OR_RETURN(
          const std::string root,
          HexDecode(std::string_view(name).substr(kProof.size())));
      proof_name_ = name;
      proofs_ = AllFromRecords(options_.places->LogProof(root),
                               records::v1::RECORD_KIND_LOG_PROOF);
    }
    if (name != proof_name_ || source >= proofs_.size()) return no_more();
    return proofs_[source];
  }
  if (source == 0 && options_.log != nullptr) {
    return options_.log->Tile(name,
                              [this](uint64_t n) { return FetchBundle(n); });
  }
  if (options_.log != nullptr) --source;
  if (source >= options_.origins.size() || options_.fetch == nullptr) {
    return no_more();
  }
  return FromUrls({options_.origins[source] + "log/" + name}, max_bytes,
                  std::nullopt);
}

absl::StatusOr<std::string> RecordFetcher::FromUrls(
    std::vector<std::string> urls, uint64_t max_bytes,
    std::optional<std::string> sha256) {
  auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  auto future = answer->get_future();
  options_.fetch->FetchDocument(std::move(urls), max_bytes, std::move(sha256),
                                options_.origin_timeout,
                                [answer](absl::StatusOr<std::string> result) {
                                  answer->set_value(std::move(result));
                                });
  // A process that was destroyed never answers: the deadline is ours too.
  if (future.wait_for(absl::ToChronoMilliseconds(
          options_.origin_timeout * 2)) != std::future_status::ready) {
    return Unavailable("no_source", "no answer from the fetcher");
  }
  return future.get();
}

absl::StatusOr<std::string> RecordFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  if (role == "timestamp") {
    if (timestamp_.empty()) {
      return Unavailable("no_source", "no timestamp was announced");
    }
    return timestamp_;
  }
  if (!version.has_value()) {
    return Unavailable("no_source", "records are named by their version");
  }
  const auto may_be = [&](const std::string& bytes) {
    return bytes.size() <= max_bytes &&
           (!options_.plausible ||
            options_.plausible(role, version, bytes).ok());
  };
  auto found = FromRecords(options_.places->Metadata(role, *version),
                           records::v1::RECORD_KIND_METADATA, may_be);
  if (!found.has_value()) {
    auto document =
        FromOrigins("metadata/" + signing::MetadataFileName(role, version),
                    max_bytes, std::nullopt);
    if (document.ok()) {
      found = std::move(*document);
    } else if (role == "root") {
      // Neither records nor origins have it: the end of root rotation, as far
      // as can be known here. A later refresh asks again.
      return NotFound("metadata_missing", "no further root");
    } else {
      return Annotate(document.status(),
                      signing::MetadataFileName(role, version));
    }
  }
  if (role == "root") roots_[*version] = *found;
  return std::move(*found);
}

absl::StatusOr<std::string> RecordFetcher::FetchTarget(
    const signing::TargetFile& target) {
  // The place is that of its digest.
  auto found = FromRecords(
      options_.places->Document(target.sha256),
      records::v1::RECORD_KIND_DOCUMENT,
      [&](const std::string& bytes) { return bytes.size() <= target.length; });
  if (found.has_value()) return std::move(*found);
  return FromOrigins("blobs/" + HexEncode(target.sha256), target.length,
                     target.sha256);
}

}  // namespace shoal::dht::node
