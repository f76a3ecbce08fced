#include "common/ports.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

#include "common/status.h"

namespace shoal {
namespace {

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&bytes); }
  in_port_t& port() {
    return bytes.ss_family == AF_INET6
               ? reinterpret_cast<sockaddr_in6*>(&bytes)->sin6_port
               : reinterpret_cast<sockaddr_in*>(&bytes)->sin_port;
  }
};

absl::StatusOr<Address> Resolve(std::string host, int socket_type) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = socket_type;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), "0", &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(
      found, &::freeaddrinfo);
  if (failed != 0 || found->ai_addrlen > sizeof(Address::bytes))
    return InvalidArgument(
        "bad_address",
        host + ": " + (failed != 0 ? ::gai_strerror(failed) : "too long"));
  Address address;
  std::memcpy(&address.bytes, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  return address;
}

// Ports that programs choose one after the other, and bind for good only later,
// are free at each choice: chance alone would give one of them twice now and
// then. Neighbouring processes have other numbers, and begin apart; containers
// number theirs alike, and differ in their namespace.
uint64_t Beginning() {
  constexpr uint64_t kOfOneProcess = 8;
  static std::atomic<uint64_t> calls{0};
  struct stat space {};
  if (::stat("/proc/self/ns/pid", &space) != 0) space.st_ino = 0;
  return static_cast<uint64_t>(::getpid()) * kOfOneProcess +
         calls++ % kOfOneProcess +
         (static_cast<uint64_t>(space.st_ino) * 0x9e3779b97f4a7c15u >> 40);
}

}  // namespace

absl::StatusOr<HeldPort> HoldFreePort(const PortRange& range,
                                      const std::string& host,
                                      int socket_type) {
  SHOAL_ASSIGN_OR_RETURN(Address address, Resolve(host, socket_type));
  HeldPort held;
  held.socket.Reset(
      ::socket(address.bytes.ss_family, socket_type | SOCK_CLOEXEC, 0));
  if (!held.socket.valid()) return ErrnoError(errno, "socket");
  const auto bound = [&](int port) {
    address.port() = htons(static_cast<uint16_t>(port));
    return ::bind(held.socket.get(), address.get(), address.length) == 0;
  };
  const int start =
      static_cast<int>(Beginning() % static_cast<uint64_t>(range.count));
  for (int i = 0; i < range.count; ++i) {
    const int port = range.first + (start + i) % range.count;
    if (bound(port)) {
      held.number = static_cast<uint16_t>(port);
      return held;
    }
    // An address that is not this machine's stays so on every port.
    if (errno != EADDRINUSE && errno != EACCES) break;
  }
  if (!bound(0) ||
      ::getsockname(held.socket.get(), address.get(), &address.length) != 0)
    return ErrnoError(errno, "bind " + host);
  held.number = ntohs(address.port());
  return held;
}

}  // namespace shoal
