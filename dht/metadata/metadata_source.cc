#include "dht/metadata/metadata_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <future>
#include <memory>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"
#include "signing/log/files.h"

namespace shoal::dht {
namespace {

// Where all that lies at a place is wanted.
constexpr size_t kMaxOfPlace = 64;
constexpr std::string_view kLogProof = "proof/";
constexpr std::string_view kLogTimestamp = "timestamp/";

bool AnyPayload(const std::string&) { return true; }

// An origin's own word. A transport that lacks its program or its socket has
// "not found" nothing.
bool SaysNone(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return absl::IsNotFound(status) &&
         (reason == "no_source" || reason == "metadata_missing");
}

}  // namespace

LookUp InNetwork(Network& network, absl::Duration timeout) {
  return [&network, timeout](const std::string& place,
                             records::v1::RecordKind kind, const Take& take) {
    const auto found = network.GetBlocking(place, timeout);
    return found.ok() && std::any_of(found->begin(), found->end(),
                                     [&](const VerifiedRecord& record) {
                                       return record.body.kind() == kind &&
                                              take(record.body.payload());
                                     });
  };
}

HttpGet Blocking(FetchDocument fetch) {
  return [fetch = std::move(fetch)](
             std::vector<std::string> urls, uint64_t max_bytes,
             std::optional<std::string> sha256,
             absl::Duration timeout) -> absl::StatusOr<std::string> {
    auto answer = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
    auto future = answer->get_future();
    fetch(std::move(urls), max_bytes, std::move(sha256), timeout,
          [answer](absl::StatusOr<std::string> result) {
            answer->set_value(std::move(result));
          });
    if (future.wait_for(absl::ToChronoMilliseconds(timeout * 2)) !=
        std::future_status::ready)
      return Unavailable("no_source", "no answer from the fetcher");
    return future.get();
  };
}

MetadataSource::MetadataSource(MetadataSourceOptions options)
    : o_(std::move(options)) {}

bool MetadataSource::MayBe(std::string_view role,
                           std::optional<uint64_t> version,
                           const std::string& bytes, uint64_t max_bytes) const {
  return bytes.size() <= max_bytes &&
         (!o_.plausible || o_.plausible(role, version, bytes).ok());
}

std::optional<std::string> MetadataSource::First(const std::string& place,
                                                 records::v1::RecordKind kind,
                                                 const Take& usable) {
  std::optional<std::string> first;
  for (const LookUp& look_up : o_.look_ups) {
    const bool found = look_up(place, kind, [&](const std::string& payload) {
      if (!usable(payload)) return false;
      first = payload;
      return true;
    });
    if (found) break;
  }
  return first;
}

std::vector<std::string> MetadataSource::All(const std::string& place,
                                             records::v1::RecordKind kind,
                                             const Take& usable) {
  std::vector<std::string> all;
  for (const LookUp& look_up : o_.look_ups)
    look_up(place, kind, [&](const std::string& payload) {
      if (usable(payload)) all.push_back(payload);
      return all.size() >= kMaxOfPlace;
    });
  return all;
}

// The one that was of use first, those that gave no answer last: they may be
// many, and the time is for all of them.
std::vector<std::string> MetadataSource::OriginsInTurn() {
  std::vector<std::string> origins =
      o_.origins ? o_.origins() : std::vector<std::string>{};
  std::erase_if(silent_, [&](const std::string& one) {
    return std::find(origins.begin(), origins.end(), one) == origins.end();
  });
  const auto turn = [this](const std::string& one) {
    return silent_.contains(one) ? 2 : one == good_origin_ ? 0 : 1;
  };
  std::stable_sort(
      origins.begin(), origins.end(),
      [&](const auto& a, const auto& b) { return turn(a) < turn(b); });
  return origins;
}

// One at a time and not the whole list at once: the first that answers may be
// the one that lies.
absl::StatusOr<std::string> MetadataSource::FromOrigins(const std::string& path,
                                                        uint64_t max_bytes,
                                                        const Take& usable) {
  const std::vector<std::string> origins = OriginsInTurn();
  absl::Status last =
      Unavailable("no_source", fmt::format("no origin for {}", path));
  bool none_there = false;
  const absl::Duration end = o_.clock->MonotonicNow() + o_.origin_timeout;
  for (size_t i = 0; i < origins.size(); ++i) {
    const std::string& origin = origins[i];
    const absl::Duration left = end - o_.clock->MonotonicNow();
    if (left <= absl::ZeroDuration()) break;
    // A share each, so that silent ones leave the others their turn. Who was of
    // use has the time that it needs.
    const absl::Duration share = std::min(
        left, origin == good_origin_
                  ? o_.one_origin
                  : std::clamp(left / static_cast<int64_t>(origins.size() - i),
                               least_, o_.one_origin));
    auto bytes = o_.get({origin + path}, max_bytes, std::nullopt, share);
    if (bytes.ok() && usable(*bytes)) {
      good_origin_ = origin;
      silent_.erase(origin);
      least_ = kLeastOfAnOrigin;
      return bytes;
    }
    if (bytes.ok() || SaysNone(bytes.status()))
      silent_.erase(origin);
    else
      silent_.insert(origin);
    none_there |= SaysNone(bytes.status());
    last = bytes.ok()
               ? Unavailable("no_source",
                             fmt::format("{}{} is of no use", origin, path))
               : bytes.status();
  }
  // No origin at all answered in its time: the link is slow, perhaps.
  if (!origins.empty() && silent_.size() == origins.size())
    least_ = std::min(least_ * 2, o_.one_origin);
  if (none_there)
    return NotFound("metadata_missing", fmt::format("no origin has {}", path));
  return last;
}

absl::StatusOr<std::string> MetadataSource::OfVersion(std::string_view role,
                                                      uint64_t version,
                                                      const std::string& path,
                                                      uint64_t max_bytes,
                                                      const Take& usable) {
  if (auto found = First(o_.places->Metadata(role, version),
                         records::v1::RECORD_KIND_METADATA, usable))
    return *std::move(found);
  auto bytes = FromOrigins(path, max_bytes, usable);
  if (!bytes.ok() && role == "root" && o_.answered && o_.answered())
    return NotFound("metadata_missing",
                    fmt::format("nobody has version {} of root", version));
  return bytes;
}

absl::StatusOr<std::string> MetadataSource::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  const Take usable = [&](const std::string& bytes) {
    return MayBe(role, version, bytes, max_bytes);
  };
  const std::string path =
      "metadata/" + signing::MetadataFileName(role, version);
  if (role == "timestamp") return NewestTimestamp(path, max_bytes);
  if (!version)
    return Unavailable("no_source",
                       fmt::format("{} is fetched by version only", role));
  auto bytes = OfVersion(role, *version, path, max_bytes, usable);
  if (bytes.ok() && role == "root" && o_.on_root) o_.on_root(*version, *bytes);
  return bytes;
}

// Signed is what an old one is too, so nobody's is the last word: the highest
// version of all.
absl::StatusOr<std::string> MetadataSource::NewestTimestamp(
    const std::string& path, uint64_t max_bytes) {
  std::optional<std::string> newest;
  uint64_t version = 0;
  if (o_.timestamp) {
    if (auto announced = o_.timestamp(); announced.ok()) {
      const auto parsed = signing::ParseTimestamp(*announced);
      if (!parsed.ok() || Enough(parsed->value)) return announced;
      version = parsed->value.version;
      newest = *std::move(announced);
    }
  }
  const absl::Status asked =
      FromOrigins(path, max_bytes, [&](const std::string& bytes) {
        const auto parsed = signing::ParseTimestamp(bytes);
        if (parsed.ok() && parsed->value.version > version &&
            MayBe("timestamp", std::nullopt, bytes, max_bytes)) {
          version = parsed->value.version;
          newest = bytes;
        }
        return false;  // the next one may have a newer one
      }).status();
  if (newest) return *std::move(newest);
  return asked;
}

bool MetadataSource::Enough(const signing::Timestamp& announced) {
  if (!o_.now) return true;
  const absl::Time now = o_.now();
  if (announced.expires <= now) return false;
  const auto trusted = o_.trusted ? o_.trusted() : std::nullopt;
  if (!trusted || announced.version > trusted->version) return true;
  const absl::Duration left = trusted->expires - now;
  if (life_of_ != trusted->version) {
    life_of_ = trusted->version;
    life_ = left;
  }
  return left > life_ / 2;
}

// What lies at a document's place has its digest (VerifyRecord).
absl::StatusOr<std::string> MetadataSource::FetchTarget(
    const signing::TargetFile& target) {
  if (auto found = First(o_.places->Document(target.sha256),
                         records::v1::RECORD_KIND_DOCUMENT,
                         [&](const std::string& bytes) {
                           return bytes.size() <= target.length;
                         }))
    return *std::move(found);
  std::vector<std::string> urls;
  if (o_.origins) urls = o_.origins();
  if (urls.empty())
    return Unavailable("no_source", "no origin for " + target.path);
  for (std::string& url : urls) url += "blobs/" + HexEncode(target.sha256);
  return o_.get(std::move(urls), target.length, target.sha256,
                o_.origin_timeout);
}

absl::StatusOr<std::vector<std::string>> MetadataSource::LogCandidates(
    const std::string& name) {
  if (name.starts_with(kLogProof)) {
    SHOAL_ASSIGN_OR_RETURN(
        const std::string root,
        HexDecode(std::string_view(name).substr(kLogProof.size())));
    return All(o_.places->LogProof(root), records::v1::RECORD_KIND_LOG_PROOF,
               AnyPayload);
  }
  uint64_t version = 0;
  const char* const end = name.data() + name.size();
  const auto read =
      std::from_chars(name.data() + kLogTimestamp.size(), end, version);
  if (read.ec != std::errc() || read.ptr != end)
    return InvalidArgument("bad_log_name", name);
  return All(o_.places->Metadata("timestamp", version),
             records::v1::RECORD_KIND_METADATA, [&](const std::string& bytes) {
               return MayBe("timestamp", std::nullopt, bytes,
                            signing::kMaxTimestampBytes);
             });
}

absl::StatusOr<std::string> MetadataSource::FetchLog(const std::string& name,
                                                     size_t source,
                                                     uint64_t max_bytes) {
  const auto no_more = [&] {
    return NotFound("no_more_sources", "nobody else has log/" + name);
  };
  if (name.starts_with(kLogProof) || name.starts_with(kLogTimestamp)) {
    if (source == 0) {
      SHOAL_ASSIGN_OR_RETURN(log_found_, LogCandidates(name));
      log_name_ = name;
    }
    if (name != log_name_ || source >= log_found_.size()) return no_more();
    return log_found_[source];
  }
  if (o_.log_tile) {
    if (source == 0) return o_.log_tile(*this, name);
    --source;
  }
  const std::vector<std::string> origins =
      o_.origins ? o_.origins() : std::vector<std::string>{};
  if (source >= origins.size()) return no_more();
  return o_.get({origins[source] + "log/" + name}, max_bytes, std::nullopt,
                o_.origin_timeout);
}

std::vector<std::string> MetadataSource::FetchLogBundle(uint64_t n) {
  std::vector<std::string> found =
      All(o_.places->LogEntries(n), records::v1::RECORD_KIND_LOG_ENTRIES,
          AnyPayload);
  if (!found.empty()) return found;
  // All of them: which one is right shows only in the tree.
  FromOrigins("log/" + signing::LogEntriesName(n), signing::kMaxLogBundleBytes,
              [&found](const std::string& bytes) {
                found.push_back(bytes);
                return false;
              })
      .IgnoreError();
  return found;
}

}  // namespace shoal::dht
