#include "dht/swarm/origin_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"
#include "dht/swarm/endpoint.h"

namespace shoal::dht {
namespace {

constexpr size_t kMaxSegments = 8;

// The segments of "/a/b/c"; nullopt unless each is a plain name (T34).
std::optional<std::vector<std::string>> SplitPath(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  std::vector<std::string> segments;
  for (;;) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!IsIdentifier(name, 255)) return std::nullopt;
    segments.emplace_back(name);
    if (segments.size() > kMaxSegments) return std::nullopt;
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

// Opens a regular file below `root` step by step: no symbolic link and no
// ".." can lead out, whatever changes in the tree meanwhile.
FileDescriptor OpenBelow(int root, const std::vector<std::string>& segments,
                         struct stat& info) {
  FileDescriptor directory;
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const int base = directory.valid() ? directory.get() : root;
    FileDescriptor next(openat(base, segments[i].c_str(),
                               O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
                                   (last ? 0 : O_DIRECTORY)));
    if (!next.valid()) return FileDescriptor();
    directory = std::move(next);
  }
  if (fstat(directory.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return FileDescriptor();
  }
  return directory;
}

struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;  // exclusive
};
enum class RangeKind { kNone, kOne, kUnsatisfiable };

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() ||
      end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

// RFC 9110 §14.2: what is malformed, or has several ranges, is ignored.
RangeKind ParseRange(std::string_view header, uint64_t size, Range& range) {
  if (!header.starts_with("bytes=")) return RangeKind::kNone;
  header.remove_prefix(6);
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos) return RangeKind::kNone;
  const std::string_view first = header.substr(0, dash);
  const std::string_view last = header.substr(dash + 1);
  if (first.empty()) {
    const auto suffix = ParseNumber(last);
    if (!suffix) return RangeKind::kNone;
    if (*suffix == 0 || size == 0) return RangeKind::kUnsatisfiable;
    range = {size - std::min(*suffix, size), size};
    return RangeKind::kOne;
  }
  const auto begin = ParseNumber(first);
  if (!begin) return RangeKind::kNone;
  uint64_t end = size;
  if (!last.empty()) {
    const auto inclusive = ParseNumber(last);
    if (!inclusive || *inclusive < *begin) return RangeKind::kNone;
    if (*inclusive < size) end = *inclusive + 1;
  }
  if (*begin >= size) return RangeKind::kUnsatisfiable;
  range = {*begin, end};
  return RangeKind::kOne;
}

std::string_view Header(MHD_Connection* connection, const char* name) {
  const char* value =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

}  // namespace

struct OriginServer::Impl {
  OriginOptions options;
  FileDescriptor root;
  std::string address;
  MHD_Daemon* daemon = nullptr;
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> refused{0};

  ~Impl() {
    if (daemon != nullptr) MHD_stop_daemon(daemon);
  }

  // Takes ownership of the response.
  MHD_Result Send(MHD_Connection* connection, unsigned code,
                  MHD_Response* response) {
    if (code >= 400) ++refused;
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    const MHD_Result result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
  }
  MHD_Result Refuse(MHD_Connection* connection, unsigned code) {
    MHD_Response* response =
        MHD_create_response_from_buffer(0, nullptr, MHD_RESPMEM_PERSISTENT);
    if (response == nullptr) return MHD_NO;
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
      MHD_add_response_header(response, "Allow", "GET, HEAD");
      MHD_add_response_header(response, "Connection", "close");
    }
    return Send(connection, code, response);
  }
  MHD_Result Serve(MHD_Connection* connection, std::string_view url);
};

MHD_Result OriginServer::Impl::Serve(MHD_Connection* connection,
                                     std::string_view url) {
  if (url.size() > options.max_url) {
    return Refuse(connection, MHD_HTTP_URI_TOO_LONG);
  }
  const auto segments = SplitPath(url);
  if (!segments) return Refuse(connection, MHD_HTTP_NOT_FOUND);
  struct stat info {};
  FileDescriptor file = OpenBelow(root.get(), *segments, info);
  if (!file.valid()) return Refuse(connection, MHD_HTTP_NOT_FOUND);

  const auto size = static_cast<uint64_t>(info.st_size);
  // Changes with every replacement and every write.
  const std::string etag =
      fmt::format("\"{:x}-{:x}-{:x}.{:x}\"", info.st_ino, size,
                  info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  const std::string_view if_none = Header(connection, "If-None-Match");
  if (!if_none.empty() &&
      (if_none == "*" || if_none.find(etag) != std::string_view::npos)) {
    MHD_Response* response =
        MHD_create_response_from_buffer(0, nullptr, MHD_RESPMEM_PERSISTENT);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, "ETag", etag.c_str());
    return Send(connection, MHD_HTTP_NOT_MODIFIED, response);
  }

  Range range{0, size};
  RangeKind kind = RangeKind::kNone;
  const std::string_view if_range = Header(connection, "If-Range");
  if (if_range.empty() || if_range == etag) {
    kind = ParseRange(Header(connection, "Range"), size, range);
  }
  if (kind == RangeKind::kUnsatisfiable) {
    MHD_Response* response =
        MHD_create_response_from_buffer(0, nullptr, MHD_RESPMEM_PERSISTENT);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, "Content-Range",
                            fmt::format("bytes */{}", size).c_str());
    return Send(connection, MHD_HTTP_RANGE_NOT_SATISFIABLE, response);
  }
  MHD_Response* response = MHD_create_response_from_fd_at_offset64(
      range.end - range.begin, file.get(), range.begin);
  if (response == nullptr) {
    return Refuse(connection, MHD_HTTP_INTERNAL_SERVER_ERROR);
  }
  file.Release();  // the response closes it
  MHD_add_response_header(response, "ETag", etag.c_str());
  MHD_add_response_header(response, "Accept-Ranges", "bytes");
  MHD_add_response_header(response, "Content-Type", "application/octet-stream");
  if (kind == RangeKind::kNone) return Send(connection, MHD_HTTP_OK, response);
  MHD_add_response_header(
      response, "Content-Range",
      fmt::format("bytes {}-{}/{}", range.begin, range.end - 1, size).c_str());
  return Send(connection, MHD_HTTP_PARTIAL_CONTENT, response);
}

namespace {

// Percent-encoding is left as it is; SplitPath refuses '%'.
size_t KeepEscapes(void*, MHD_Connection*, char* text) {
  return std::strlen(text);
}

}  // namespace

OriginServer::OriginServer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
OriginServer::~OriginServer() = default;

absl::StatusOr<std::unique_ptr<OriginServer>> OriginServer::Open(
    OriginOptions options) {
  SHOAL_ASSIGN_OR_RETURN(const Endpoint bind,
                         ParseEndpoint(options.bind, /*allow_port_zero=*/true));
  auto impl = std::make_unique<Impl>();
  impl->root.Reset(
      open(options.root_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!impl->root.valid()) {
    return ErrnoError(errno, "open " + options.root_dir);
  }
  sockaddr_storage address{};
  if (bind.v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&address);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(bind.port);
    inet_pton(AF_INET6, bind.ip.c_str(), &in6->sin6_addr);
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&address);
    in->sin_family = AF_INET;
    in->sin_port = htons(bind.port);
    inet_pton(AF_INET, bind.ip.c_str(), &in->sin_addr);
  }
  impl->options = std::move(options);

  // The first call for a request sees only its headers; a second one answers.
  // A body is never accepted.
  const MHD_AccessHandlerCallback handler =
      +[](void* self, MHD_Connection* connection, const char* url,
          const char* method, const char*, const char*, size_t* upload_size,
          void** state) -> MHD_Result {
    auto& server = *static_cast<Impl*>(self);
    static char seen;
    if (*state == nullptr) {
      *state = &seen;
      ++server.requests;
      if (std::strcmp(method, "GET") != 0 && std::strcmp(method, "HEAD") != 0) {
        return server.Refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED);
      }
      return MHD_YES;
    }
    if (*upload_size != 0) return MHD_NO;
    return server.Serve(connection, url);
  };
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD;
  if (bind.v6) flags |= MHD_USE_IPv6;
  impl->daemon = MHD_start_daemon(
      flags, bind.port, nullptr, nullptr, handler, impl.get(),
      MHD_OPTION_SOCK_ADDR, reinterpret_cast<sockaddr*>(&address),
      MHD_OPTION_CONNECTION_LIMIT,
      static_cast<unsigned>(impl->options.max_connections),
      MHD_OPTION_PER_IP_CONNECTION_LIMIT,
      static_cast<unsigned>(impl->options.max_connections_per_ip),
      MHD_OPTION_CONNECTION_TIMEOUT,
      static_cast<unsigned>(absl::ToInt64Seconds(impl->options.idle_timeout)),
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, size_t{16 * 1024},
      MHD_OPTION_UNESCAPE_CALLBACK, KeepEscapes, nullptr, MHD_OPTION_END);
  if (impl->daemon == nullptr) {
    return Unavailable("listen",
                       fmt::format("can't listen on {}: {}", bind.ToString(),
                                   std::strerror(errno)));
  }
  const MHD_DaemonInfo* info =
      MHD_get_daemon_info(impl->daemon, MHD_DAEMON_INFO_BIND_PORT);
  Endpoint real = bind;
  if (info != nullptr) real.port = info->port;
  impl->address = real.ToString();
  return std::unique_ptr<OriginServer>(new OriginServer(std::move(impl)));
}

std::string OriginServer::address() const { return impl_->address; }
std::string OriginServer::base_url() const {
  return "http://" + impl_->address + "/";
}
OriginStats OriginServer::Stats() const {
  return {impl_->requests.load(), impl_->refused.load()};
}

}  // namespace shoal::dht
