#include "dht/records/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>

#include "common/bytes.h"
#include "common/status.h"

namespace shoal::dht {

absl::StatusOr<Address> Address::Parse(std::string_view text) {
  const absl::Status bad = InvalidArgument(
      "bad_address", "want \"127.0.0.1:4222\" or \"[::1]:4222\", got \"" +
                         std::string(text.substr(0, 80)) + "\"");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return bad;
  const std::string_view digits = text.substr(colon + 1);
  Address result;
  const auto [end, error] = std::from_chars(
      digits.data(), digits.data() + digits.size(), result.port_);
  if (error != std::errc() || end != digits.data() + digits.size() ||
      digits.empty())
    return bad;
  std::string host(text.substr(0, colon));
  const bool bracketed = host.size() > 2 && host.front() == '[';
  if (bracketed) {
    if (host.back() != ']') return bad;
    host = host.substr(1, host.size() - 2);
  }
  char buffer[16];
  if (!bracketed && inet_pton(AF_INET, host.c_str(), buffer) == 1) {
    result.family_ = AF_INET;
    result.host_.assign(buffer, 4);
  } else if (bracketed && inet_pton(AF_INET6, host.c_str(), buffer) == 1) {
    result.family_ = AF_INET6;
    result.host_.assign(buffer, 16);
  } else {
    return bad;
  }
  return result;
}

Address Address::From(const sockaddr* address, socklen_t length) {
  Address result;
  if (!address) return result;
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    result.family_ = AF_INET;
    result.host_.assign(reinterpret_cast<const char*>(&in.sin_addr), 4);
    result.port_ = ntohs(in.sin_port);
  } else if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof in);
    result.family_ = AF_INET6;
    result.host_.assign(reinterpret_cast<const char*>(&in.sin6_addr), 16);
    result.scope_ = in.sin6_scope_id;
    result.port_ = ntohs(in.sin6_port);
  }
  return result;
}

socklen_t Address::ToSockaddr(sockaddr_storage& storage) const {
  std::memset(&storage, 0, sizeof storage);
  if (family_ == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port_);
    std::memcpy(&in.sin_addr, host_.data(), 4);
    std::memcpy(&storage, &in, sizeof in);
    return sizeof in;
  }
  if (family_ == AF_INET6) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port_);
    in.sin6_scope_id = scope_;
    std::memcpy(&in.sin6_addr, host_.data(), 16);
    std::memcpy(&storage, &in, sizeof in);
    return sizeof in;
  }
  return 0;
}

std::string Address::ToString() const {
  if (!valid()) return "";
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(family_, host_.data(), text, sizeof text);
  const std::string port = std::to_string(port_);
  return family_ == AF_INET6 ? "[" + std::string(text) + "]:" + port
                             : std::string(text) + ":" + port;
}

std::string Address::Key() const {
  std::string key(1, static_cast<char>(family_));
  key += host_;
  AppendBigEndian(key, scope_, 4);
  AppendBigEndian(key, port_, 2);
  return key;
}

}  // namespace shoal::dht
