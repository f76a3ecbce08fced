#include "signing/client/http_fetcher.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::signing {
namespace {

bool IsHttp(std::string_view url) {
  return url.starts_with("http://") || url.starts_with("https://");
}

std::string WithSlash(std::string url) {
  if (!url.ends_with('/')) url.push_back('/');
  return url;
}

// One transfer's state, for libcurl's callbacks.
struct Transfer {
  CURL* easy;
  const ByteSink& sink;
  uint64_t max_bytes;
  uint64_t received = 0;
  bool no_content = false;  // an error's page, which nobody reads
  absl::Status status;
};

size_t Receive(char* data, size_t, size_t size, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  long code = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &code);
  if (code != 200) {
    transfer.no_content = true;
    return 0;
  }
  transfer.received += size;
  if (transfer.received > transfer.max_bytes) {
    transfer.status = ResourceExhausted(
        "metadata_too_large",
        fmt::format("more than the {} bytes allowed", transfer.max_bytes));
    return 0;
  }
  transfer.status = transfer.sink({data, size});
  return transfer.status.ok() ? size : 0;
}

}  // namespace

struct HttpFetcher::Impl {
  HttpFetcherOptions options;
  CURL* easy = nullptr;
  ~Impl() {
    if (easy != nullptr) curl_easy_cleanup(easy);
  }
  absl::Status Get(const std::string& url, uint64_t max_bytes,
                   absl::Duration deadline, const ByteSink& sink);
};

HttpFetcher::HttpFetcher(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFetcher::~HttpFetcher() = default;

absl::StatusOr<std::unique_ptr<HttpFetcher>> HttpFetcher::Create(
    HttpFetcherOptions options) {
  if (!IsHttp(options.metadata_url) ||
      (!options.targets_url.empty() && !IsHttp(options.targets_url)))
    return InvalidArgument("bad_url", "a URL begins with http:// or https://");
  options.metadata_url = WithSlash(std::move(options.metadata_url));
  if (!options.targets_url.empty())
    options.targets_url = WithSlash(std::move(options.targets_url));
  // libcurl counts the calls; what it holds then stays until the end.
  static const bool initialised =
      curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  impl->easy = initialised ? curl_easy_init() : nullptr;
  if (impl->easy == nullptr)
    return Internal("curl", "libcurl can't be initialised");
  return std::unique_ptr<HttpFetcher>(new HttpFetcher(std::move(impl)));
}

absl::Status HttpFetcher::Impl::Get(const std::string& url, uint64_t max_bytes,
                                    absl::Duration deadline,
                                    const ByteSink& sink) {
  curl_easy_reset(easy);  // keeps connections
  Transfer transfer{easy, sink, max_bytes, 0, false, absl::OkStatus()};
  const auto set = [this](CURLoption option, auto value) {
    curl_easy_setopt(easy, option, value);
  };
  set(CURLOPT_URL, url.c_str());
  // A role may be called "..": curl must not tidy that up.
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR,
      url.starts_with("https://") ? "https" : "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 3L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "shoal-tuf");
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(options.min_rate));
  set(CURLOPT_LOW_SPEED_TIME,
      static_cast<long>(absl::ToInt64Seconds(options.stall_time)));
  set(CURLOPT_TIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(deadline)));
  set(CURLOPT_WRITEFUNCTION, &Receive);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  const CURLcode result = curl_easy_perform(easy);
  if (!transfer.status.ok()) return Annotate(transfer.status, url);
  if (result != CURLE_OK && !transfer.no_content)
    return Unavailable("http_failed",
                       fmt::format("{}: {}", url, curl_easy_strerror(result)));
  long code = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
  if (code == 200) return absl::OkStatus();
  const std::string message = fmt::format("{} answers {}", url, code);
  return code == 404 ? NotFound("metadata_missing", message)
                     : Unavailable("http_status", message);
}

absl::StatusOr<std::string> HttpFetcher::FetchMetadata(
    std::string_view role, std::optional<uint64_t> version,
    uint64_t max_bytes) {
  return FetchUrl(impl_->options.metadata_url + MetadataFileName(role, version),
                  max_bytes, impl_->options.metadata_deadline);
}

absl::StatusOr<std::string> HttpFetcher::FetchUrl(const std::string& url,
                                                  uint64_t max_bytes,
                                                  absl::Duration deadline) {
  if (!IsHttp(url)) return InvalidArgument("bad_url", url);
  std::string bytes;
  SHOAL_RETURN_IF_ERROR(
      impl_->Get(url, max_bytes, deadline, [&bytes](std::string_view part) {
        bytes.append(part);
        return absl::OkStatus();
      }));
  return bytes;
}

absl::StatusOr<std::string> HttpFetcher::FetchTarget(const TargetFile& target) {
  std::string bytes;
  SHOAL_RETURN_IF_ERROR(
      StreamTarget(target, true, [&bytes](std::string_view part) {
        bytes.append(part);
        return absl::OkStatus();
      }));
  return bytes;
}

absl::Status HttpFetcher::StreamTarget(const TargetFile& target, bool by_digest,
                                       const ByteSink& sink) {
  if (impl_->options.targets_url.empty())
    return InvalidArgument("bad_url", "no URL for targets is given");
  std::string url = impl_->options.targets_url;
  std::string_view rest = target.path;
  for (size_t slash; (slash = rest.find('/')) != rest.npos;
       rest.remove_prefix(slash + 1))
    url += PercentEncode(rest.substr(0, slash)) + "/";
  if (by_digest)
    url +=
        HexEncode(target.sha256.empty() ? target.sha512 : target.sha256) + ".";
  url += PercentEncode(rest);
  // One byte more than is signed, so that the sink can say what is wrong.
  return impl_->Get(
      url, target.length + 1,
      impl_->options.metadata_deadline +
          absl::Seconds(target.length /
                        std::max<uint64_t>(impl_->options.min_rate, 1)),
      sink);
}

}  // namespace shoal::signing
