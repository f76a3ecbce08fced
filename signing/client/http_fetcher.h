// A TUF repository behind HTTP. Nothing that it answers is trusted.
#ifndef SHOAL_SIGNING_CLIENT_HTTP_FETCHER_H_
#define SHOAL_SIGNING_CLIENT_HTTP_FETCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "signing/verify/fetcher.h"

namespace shoal::signing {

struct HttpFetcherOptions {
  std::string metadata_url;  // http or https, with or without a last '/'
  std::string targets_url;   // "" when no target is fetched
  // T10: a server that sends fewer bytes a second for this long is left, as is
  // one that takes longer in all, however fast: metadata_deadline for a
  // metadata file, and for a target as long as its length takes at `min_rate`,
  // on top.
  uint64_t min_rate = 1024;
  absl::Duration stall_time = absl::Seconds(20);
  absl::Duration metadata_deadline = absl::Seconds(120);
};

// Takes bytes in their order; an error ends the transfer and is its result.
using ByteSink = std::function<absl::Status(std::string_view)>;

// One thread. At most three redirects, never from https to http. No proxy, no
// cookies, no credentials.
//
// Errors: kNotFound "metadata_missing" for a 404 and nothing else; kUnavailable
// "http_status", "http_failed" (DNS, connection, TLS, too slow, cut off);
// kResourceExhausted "metadata_too_large"; kInvalidArgument "bad_url".
class HttpFetcher final : public Fetcher {
 public:
  static absl::StatusOr<std::unique_ptr<HttpFetcher>> Create(
      HttpFetcherOptions options);
  ~HttpFetcher() override;

  // Under URL/VERSION.ROLE.json, the role percent-encoded.
  absl::StatusOr<std::string> FetchMetadata(std::string_view role,
                                            std::optional<uint64_t> version,
                                            uint64_t max_bytes) override;
  // Any URL, as it is; "bad_url" for another protocol.
  absl::StatusOr<std::string> FetchUrl(const std::string& url,
                                       uint64_t max_bytes,
                                       absl::Duration deadline);
  // In memory; for small ones.
  absl::StatusOr<std::string> FetchTarget(const TargetFile& target) override;

  // With `by_digest` (consistent snapshots) from URL/DIRECTORY/HEX.NAME, else
  // from URL/DIRECTORY/NAME; each segment percent-encoded. At most
  // target.length bytes and one more.
  absl::Status StreamTarget(const TargetFile& target, bool by_digest,
                            const ByteSink& sink);

 private:
  struct Impl;
  explicit HttpFetcher(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::signing

#endif  // SHOAL_SIGNING_CLIENT_HTTP_FETCHER_H_
