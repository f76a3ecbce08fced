// An IPv4 or IPv6 address with its port, comparable and printable.
#ifndef SHOAL_DHT_RECORDS_ADDRESS_H_
#define SHOAL_DHT_RECORDS_ADDRESS_H_

#include <sys/socket.h>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace shoal::dht {

class Address {
 public:
  Address() = default;
  // "127.0.0.1:4222" or "[::1]:4222": numeric, no look-ups. kInvalidArgument
  // "bad_address".
  static absl::StatusOr<Address> Parse(std::string_view text);
  // Another family than IPv4 and IPv6: an Address that is not valid().
  static Address From(const sockaddr* address, socklen_t length);

  bool valid() const { return family_ != 0; }
  int family() const { return family_; }
  uint16_t port() const { return port_; }
  // Fills `storage` and returns the length for the socket calls.
  socklen_t ToSockaddr(sockaddr_storage& storage) const;
  std::string ToString() const;
  // Family, address, scope and port: distinct for distinct addresses.
  std::string Key() const;

  auto operator<=>(const Address&) const = default;

 private:
  int family_ = 0;
  std::string host_;  // 4 or 16 bytes
  uint32_t scope_ = 0;
  uint16_t port_ = 0;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_ADDRESS_H_
