#include "dht/records/udp_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/status.h"

namespace shoal::dht {
namespace {

// Bursts of packets arrive while this thread verifies: losing them costs
// OpenDHT a second each.
constexpr int kReceiveBuffer = 4 << 20;

absl::StatusOr<FileDescriptor> BindOne(const Address& address) {
  FileDescriptor fd(
      socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoError(errno, "socket");
  const int one = 1;
  if (address.family() == AF_INET6 &&
      setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) != 0)
    return ErrnoError(errno, "setsockopt IPV6_V6ONLY");
  // A smaller buffer than asked for is fine.
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer,
                   sizeof kReceiveBuffer);
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(storage);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0)
    return ErrnoError(errno, "bind to " + address.ToString());
  return fd;
}

}  // namespace

absl::StatusOr<UdpSocket> UdpSocket::Bind(std::string_view first,
                                          std::string_view second) {
  UdpSocket result;
  result.buffer_.resize(kMaxDatagram + 1);
  for (const std::string_view text : {first, second}) {
    if (text.empty() && !result.bound_.empty()) continue;
    SHOAL_ASSIGN_OR_RETURN(const Address address, Address::Parse(text));
    if (result.Has(address.family()))
      return InvalidArgument("bad_address",
                             "the two addresses are of one family");
    SHOAL_ASSIGN_OR_RETURN(FileDescriptor fd, BindOne(address));
    sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&storage), &length) !=
        0)
      return ErrnoError(errno, "getsockname");
    result.sockets_.push_back(std::move(fd));
    result.bound_.push_back(
        Address::From(reinterpret_cast<sockaddr*>(&storage), length));
  }
  return result;
}

bool UdpSocket::Has(int family) const {
  for (const Address& address : bound_)
    if (address.family() == family) return true;
  return false;
}

std::vector<int> UdpSocket::descriptors() const {
  std::vector<int> result;
  for (const auto& fd : sockets_) result.push_back(fd.get());
  return result;
}

int UdpSocket::Send(const Address& to, std::string_view datagram) {
  for (size_t i = 0; i < sockets_.size(); ++i) {
    if (bound_[i].family() != to.family()) continue;
    sockaddr_storage storage;
    const socklen_t length = to.ToSockaddr(storage);
    const ssize_t n =
        sendto(sockets_[i].get(), datagram.data(), datagram.size(),
               MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&storage), length);
    return n < 0 ? errno : 0;
  }
  return EAFNOSUPPORT;
}

void UdpSocket::Receive(
    int limit,
    const std::function<void(const Address&, std::string_view)>& take) {
  for (const auto& fd : sockets_) {
    for (int i = 0; i < limit; ++i) {
      sockaddr_storage storage;
      socklen_t length = sizeof storage;
      const ssize_t n =
          recvfrom(fd.get(), buffer_.data(), buffer_.size(), 0,
                   reinterpret_cast<sockaddr*>(&storage), &length);
      if (n < 0) {
        if (errno == EINTR) continue;
        break;  // EAGAIN, or an ICMP error of an earlier send
      }
      take(Address::From(reinterpret_cast<sockaddr*>(&storage), length),
           std::string_view(buffer_.data(), static_cast<size_t>(n)));
    }
  }
}

}  // namespace shoal::dht
