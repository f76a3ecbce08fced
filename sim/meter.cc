#include "sim/meter.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "common/files.h"
#include "common/status.h"
#include "common/subprocess.h"

namespace shoal::sim {
namespace {

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The number behind `key`, anywhere in `text`; 0: none.
uint64_t NumberAfter(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  const size_t digit = text.find_first_not_of(" \t", at + key.size());
  if (digit == std::string_view::npos) return 0;
  uint64_t value = 0;
  std::from_chars(text.data() + digit, text.data() + text.size(), value);
  return value;
}

double CpuSeconds(pid_t pid) {
  const std::string text = Slurp(fmt::format("/proc/{}/stat", pid));
  const size_t end = text.rfind(')');  // the name may hold anything
  if (end == std::string::npos) return 0;
  std::istringstream fields(text.substr(end + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

uint64_t SizeOf(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator(
           directory,
           std::filesystem::directory_options::skip_permission_denied, error);
       !error && it != std::filesystem::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code gone;  // a database renames while we look
    const uint64_t size = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

void MeasureProcess(pid_t pid, Usage& usage) {
  usage.cpu_seconds = CpuSeconds(pid);
  usage.resident =
      NumberAfter(Slurp(fmt::format("/proc/{}/status", pid)), "VmRSS:") * 1024;
  usage.disk_written =
      NumberAfter(Slurp(fmt::format("/proc/{}/io", pid)), "\nwrite_bytes:");
}

}  // namespace

Usage Since(const Usage& before, const Usage& now) {
  Usage d = now;
  d.cpu_seconds -= before.cpu_seconds;
  d.disk_written -= before.disk_written;
  d.udp_in -= before.udp_in;
  d.udp_out -= before.udp_out;
  // Of connections that are open: one may have ended since.
  d.tcp_in -= std::min(before.tcp_in, now.tcp_in);
  d.tcp_out -= std::min(before.tcp_out, now.tcp_out);
  return d;
}

Usage MeasureSelf() {
  Usage usage;
  MeasureProcess(::getpid(), usage);
  return usage;
}

Usage Measure(pid_t pid, const std::string& metrics_address,
              const std::string& directory) {
  Usage usage;
  MeasureProcess(pid, usage);
  usage.directory = SizeOf(directory);
  if (const auto metrics = ReadMetrics(metrics_address); metrics.ok()) {
    const auto get = [&](const std::string& name) -> uint64_t {
      const auto it = metrics->find(name);
      return it == metrics->end() ? 0 : static_cast<uint64_t>(it->second);
    };
    usage.udp_in = get("shoal_dht_bytes_total{direction=\"in\"}");
    usage.udp_out = get("shoal_dht_bytes_total{direction=\"out\"}");
    usage.records = get("shoal_node_records");
    usage.record_bytes = get("shoal_node_record_bytes");
  }
  SubprocessOptions ss;
  ss.arguments = {"/usr/bin/ss", "-tinpHO"};
  if (const auto result = RunCommand(ss, absl::Seconds(10), 16u << 20);
      result.ok()) {
    const TcpBytes tcp = ParseSs(result->output, pid);
    usage.tcp_in = tcp.in;
    usage.tcp_out = tcp.out;
  }
  return usage;
}

TcpBytes ParseSs(std::string_view text, pid_t pid) {
  TcpBytes bytes;
  const std::string mine = fmt::format("pid={},", pid);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find(mine) == std::string_view::npos) continue;
    bytes.in += NumberAfter(line, "bytes_received:");
    bytes.out += NumberAfter(line, "bytes_sent:");
  }
  return bytes;
}

std::map<std::string, double> ParseMetrics(std::string_view text) {
  std::map<std::string, double> values;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const size_t blank = line.rfind(' ');
    if (line.empty() || line[0] == '#' || blank == std::string_view::npos)
      continue;
    values[std::string(line.substr(0, blank))] =
        std::strtod(std::string(line.substr(blank + 1)).c_str(), nullptr);
  }
  return values;
}

absl::StatusOr<std::map<std::string, double>> ReadMetrics(
    const std::string& address) {
  const auto fail = [&](std::string_view what) {
    return Unavailable("no_metrics", fmt::format("{}: {}", address, what));
  };
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if (colon == std::string::npos ||
      ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr) != 1)
    return fail("not an address");
  to.sin_port = htons(static_cast<uint16_t>(
      std::strtoul(address.c_str() + colon + 1, nullptr, 10)));
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) !=
      0)
    return fail("nobody answers");
  const std::string ask = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
  if (::send(fd.get(), ask.data(), ask.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(ask.size()))
    return fail("the question was not taken");
  std::string answer;
  char buffer[65536];
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(n));
    if (answer.size() > (16u << 20)) return fail("too much");
  }
  const size_t body = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || answer.substr(8, 5) != " 200 " ||
      body == std::string::npos)
    return fail("no metrics");
  return ParseMetrics(std::string_view(answer).substr(body + 4));
}

absl::StatusOr<std::string> FreeLoopbackPort() {
  const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof address) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) !=
          0)
    return ErrnoError(errno, "a port on 127.0.0.1");
  return fmt::format("127.0.0.1:{}", ntohs(address.sin_port));
}

}  // namespace shoal::sim
