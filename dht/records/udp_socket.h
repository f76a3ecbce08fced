// One or two UDP sockets (one per address family), non-blocking.
#ifndef SHOAL_DHT_RECORDS_UDP_SOCKET_H_
#define SHOAL_DHT_RECORDS_UDP_SOCKET_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/files.h"
#include "dht/records/address.h"

namespace shoal::dht {

// Larger datagrams are none of ours: cut off and counted as foreign.
inline constexpr size_t kMaxDatagram = 16384;

// Move only; one thread at a time.
class UdpSocket {
 public:
  // `second` may be empty; two addresses must be of different families.
  // "bad_address", or ErrnoError's.
  static absl::StatusOr<UdpSocket> Bind(std::string_view first,
                                        std::string_view second);

  const std::vector<Address>& bound() const { return bound_; }
  bool Has(int family) const;
  std::vector<int> descriptors() const;
  // Sends or loses the datagram, as networks do. 0, or an errno value.
  int Send(const Address& to, std::string_view datagram);
  // Reads at most `limit` datagrams of each socket.
  void Receive(int limit,
               const std::function<void(const Address& from,
                                        std::string_view datagram)>& take);

 private:
  std::vector<FileDescriptor> sockets_;
  std::vector<Address> bound_;  // as sockets_
  std::string buffer_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_UDP_SOCKET_H_
