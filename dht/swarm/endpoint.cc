#include "dht/swarm/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::dht {

std::string Endpoint::ToString() const {
  return v6 ? fmt::format("[{}]:{}", ip, port) : fmt::format("{}:{}", ip, port);
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text,
                                       bool allow_port_zero) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument("bad_address", fmt::format("'{}' is not ip:port: {}",
                                                      text.substr(0, 64), why));
  };
  if (text.size() > 64) return bad("too long");
  Endpoint endpoint;
  std::string_view port;
  if (text.starts_with('[')) {
    const size_t end = text.find("]:");
    if (end == std::string_view::npos) return bad("']:' is missing");
    endpoint.ip = text.substr(1, end - 1);
    endpoint.v6 = true;
    port = text.substr(end + 2);
  } else {
    const size_t colon = text.find(':');
    if (colon == std::string_view::npos) return bad("the port is missing");
    endpoint.ip = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  unsigned char address[16];
  if (inet_pton(endpoint.v6 ? AF_INET6 : AF_INET, endpoint.ip.c_str(),
                address) != 1) {
    return bad("the address is not numeric");
  }
  const auto [end, error] =
      std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (port.empty() || error != std::errc() ||
      end != port.data() + port.size()) {
    return bad("the port is not a number up to 65535");
  }
  if (endpoint.port == 0 && !allow_port_zero) return bad("port 0");
  return endpoint;
}

absl::Status ValidateUrl(std::string_view url) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument("bad_url",
                           fmt::format("'{}': {}", url.substr(0, 128), why));
  };
  if (url.size() > 2048) return bad("longer than 2048 bytes");
  for (const char c : url) {
    if (c <= ' ' || c >= 0x7f) return bad("only printable ASCII is allowed");
  }
  size_t scheme = 0;
  if (url.starts_with("http://")) {
    scheme = 7;
  } else if (url.starts_with("https://")) {
    scheme = 8;
  } else {
    return bad("only http:// and https:// are allowed");
  }
  const std::string_view host =
      url.substr(scheme, url.find_first_of("/?#", scheme) - scheme);
  if (host.empty()) return bad("the host is missing");
  if (host.find('@') != std::string_view::npos) {
    return bad("user information is not allowed");
  }
  if (url.find('#') != std::string_view::npos) {
    return bad("a fragment is not allowed");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> BlobUrl(std::string_view origin_url,
                                    std::string_view sha256) {
  if (sha256.size() != 32) {
    return InvalidArgument("bad_artifact", "the sha256 has not 32 bytes");
  }
  std::string url(origin_url);
  if (!url.ends_with('/')) url += '/';
  url += "blobs/" + HexEncode(sha256);
  SHOAL_RETURN_IF_ERROR(ValidateUrl(url));
  return url;
}

}  // namespace shoal::dht
