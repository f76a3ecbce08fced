#include "tests/support/scrape.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <regex>

#include "common/files.h"
#include "common/status.h"

namespace shoal::testing {

absl::StatusOr<std::string> ScrapeAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (colon == std::string::npos ||
      ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1)
    return InvalidArgument("bad_address", address);
  to.sin_port =
      htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval timeout{20, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    return ErrnoError(errno, "connect to " + address);
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: " + address +
                              "\r\nConnection: close\r\n\r\n";
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size()))
    return ErrnoError(errno, "send to " + address);
  std::string answer(1 << 20, '\0');
  size_t size = 0;
  ssize_t n = 0;
  while (size < answer.size() && (n = ::recv(fd.get(), answer.data() + size,
                                             answer.size() - size, 0)) > 0)
    size += static_cast<size_t>(n);
  if (n < 0) return ErrnoError(errno, "read from " + address);
  answer.resize(size);
  if (answer.rfind("HTTP/1.1 200", 0) != 0)
    return Internal("http", answer.substr(0, 200));
  const size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos) return Internal("http", "no body");
  return answer.substr(body + 4);
}

std::string Scrape(const HarnessProcess& process) {
  const auto address = process.LogValue("event=metrics", "address");
  EXPECT_TRUE(address.has_value()) << process.Log();
  const auto body = ScrapeAddress(address.value_or(""));
  EXPECT_TRUE(body.ok()) << body.status();
  return body.value_or("");
}

std::set<std::string> MetricNames(const std::string& text) {
  static const std::regex kName("shoal(d|_node|_dht|_agent)_[a-z0-9_]+");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), kName), end; it != end;
       ++it) {
    names.insert(
        std::regex_replace(it->str(), std::regex("_(bucket|sum|count)$"), ""));
  }
  return names;
}

}  // namespace shoal::testing
