#include "signing/client/http_fetcher.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "tests/support/status_matchers.h"

namespace shoal::signing {
namespace {

using ::shoal::testing::Fails;
using ::shoal::testing::FailsBecause;

// One connection at a time: reads a request, sends what `answer` says, closes.
class Server {
 public:
  // Returns false when the other side is gone.
  using Send = std::function<bool(std::string_view)>;
  using Answer = std::function<void(const std::string& path, const Send&)>;

  explicit Server(Answer answer) : answer_(std::move(answer)) {
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Server() {
    ::shutdown(socket_, SHUT_RDWR);  // ends accept()
    thread_.join();
    ::close(socket_);
  }
  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/";
  }
  std::vector<std::string> paths() {
    std::lock_guard lock(mutex_);
    return paths_;
  }

 private:
  void Run() {
    for (int fd; (fd = ::accept(socket_, nullptr, nullptr)) >= 0; ::close(fd)) {
      std::string request;
      char buffer[4096];
      for (ssize_t n; request.find("\r\n\r\n") == request.npos &&
                      (n = ::read(fd, buffer, sizeof buffer)) > 0;)
        request.append(buffer, static_cast<size_t>(n));
      const size_t begin = request.find(' ') + 1;
      const std::string path =
          request.substr(begin, request.find(' ', begin) - begin);
      {
        std::lock_guard lock(mutex_);
        paths_.push_back(path);
      }
      answer_(path, [fd](std::string_view bytes) {
        return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(bytes.size());
      });
    }
  }
  Answer answer_;
  int socket_;
  uint16_t port_;
  std::mutex mutex_;
  std::vector<std::string> paths_;
  std::thread thread_;
};

std::string Response(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " x\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::unique_ptr<HttpFetcher> Fetcher(const std::string& url) {
  HttpFetcherOptions options;
  options.metadata_url = url;
  options.targets_url = url;
  options.stall_time = absl::Seconds(1);
  options.metadata_deadline = absl::Seconds(3);
  auto fetcher = HttpFetcher::Create(options);
  EXPECT_OK(fetcher);
  return fetcher.ok() ? *std::move(fetcher) : nullptr;
}

TEST(HttpFetcher, AsksByTheNamesOfTheSpecification) {
  Server server([](const std::string&, const Server::Send& send) {
    send(Response(200, "body"));
  });
  auto fetcher = Fetcher(server.url() + "a");
  ASSERT_OK_AND_ASSIGN(const std::string bytes,
                       fetcher->FetchMetadata("root", 7, 4));
  EXPECT_EQ(bytes, "body");
  ASSERT_OK(fetcher->FetchMetadata("timestamp", std::nullopt, 4));
  ASSERT_OK(fetcher->FetchMetadata("../r?", 1, 4));
  ASSERT_OK(fetcher->FetchMetadata("..", std::nullopt, 4));
  TargetFile target{"d/a b?#%", 4, std::string(32, '\xaa'), ""};
  const auto ignore = [](std::string_view) { return absl::OkStatus(); };
  ASSERT_OK(fetcher->StreamTarget(target, true, ignore));
  ASSERT_OK(fetcher->StreamTarget(target, false, ignore));
  const std::string hex(64, 'a');
  EXPECT_THAT(server.paths(),
              ::testing::ElementsAre("/a/7.root.json", "/a/timestamp.json",
                                     "/a/1...%2Fr%3F.json", "/a/...json",
                                     "/a/d/" + hex + ".a%20b%3F%23%25",
                                     "/a/d/a%20b%3F%23%25"));
}

TEST(HttpFetcher, OnlyA404SaysThatThereIsNone) {
  std::atomic<int> status = 404;
  Server server([&](const std::string&, const Server::Send& send) {
    send(Response(status, "an error page of some length"));
  });
  auto fetcher = Fetcher(server.url());
  EXPECT_THAT(fetcher->FetchMetadata("root", 2, 4),
              Fails(absl::StatusCode::kNotFound, "metadata_missing"));
  for (const int other : {403, 410, 500, 503, 204, 206}) {
    status = other;
    EXPECT_THAT(fetcher->FetchMetadata("root", 2, 4),
                Fails(absl::StatusCode::kUnavailable, "http_status"))
        << other;
  }
}

TEST(HttpFetcher, T02_AnEndlessErrorPageIsNotRead) {
  Server server([](const std::string&, const Server::Send& send) {
    send("HTTP/1.1 500 x\r\nConnection: close\r\n\r\n");
    while (send(std::string(1 << 16, 'x'))) {
    }
  });
  EXPECT_THAT(Fetcher(server.url())->FetchMetadata("root", 2, 4),
              FailsBecause("http_status"));
}

TEST(HttpFetcher, RedirectsAreFollowedThreeTimes) {
  std::atomic<int> left = 3;
  Server server([&](const std::string& path, const Server::Send& send) {
    if (left-- > 0)
      send("HTTP/1.1 302 x\r\nConnection: close\r\nLocation: " + path +
           "x\r\nContent-Length: 4\r\n\r\nhtml");
    else
      send(Response(200, "body"));
  });
  auto fetcher = Fetcher(server.url());
  EXPECT_EQ(fetcher->FetchMetadata("root", 2, 4).value_or(""), "body");
  left = 4;
  EXPECT_THAT(fetcher->FetchMetadata("root", 2, 4),
              FailsBecause("http_failed"));
}

TEST(HttpFetcher, T02_AnEndlessAnswerIsCut) {
  Server server([](const std::string&, const Server::Send& send) {
    const std::string block(1 << 16, 'x');
    send("HTTP/1.1 200 x\r\nConnection: close\r\n\r\n");
    while (send(block)) {
    }
  });
  auto fetcher = Fetcher(server.url());
  EXPECT_THAT(
      fetcher->FetchMetadata("root", 2, 100'000),
      Fails(absl::StatusCode::kResourceExhausted, "metadata_too_large"));
  // One byte too many is too many.
  Server small([](const std::string&, const Server::Send& send) {
    send(Response(200, "12345"));
  });
  auto other = Fetcher(small.url());
  EXPECT_THAT(other->FetchMetadata("root", 2, 4),
              FailsBecause("metadata_too_large"));
  EXPECT_OK(other->FetchMetadata("root", 2, 5));
}

TEST(HttpFetcher, T10_ASilentServerIsLeft) {
  std::atomic<bool> done = false;
  Server server([&](const std::string&, const Server::Send&) {
    while (!done) std::this_thread::yield();
  });
  auto fetcher = Fetcher(server.url());
  EXPECT_THAT(fetcher->FetchMetadata("root", 2, 4),
              FailsBecause("http_failed"));
  done = true;
}

TEST(HttpFetcher, T10_ATrickleAboveTheRateEndsAtTheDeadline) {
  HttpFetcherOptions options;
  Server server([](const std::string&, const Server::Send& send) {
    send("HTTP/1.1 200 x\r\nConnection: close\r\n\r\n");
    while (send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  options.metadata_url = server.url();
  options.min_rate = 1;  // the trickle is fast enough, and has no end
  options.metadata_deadline = absl::Seconds(1);
  auto fetcher = HttpFetcher::Create(options);
  ASSERT_OK(fetcher);
  EXPECT_THAT((*fetcher)->FetchMetadata("root", 2, 1 << 20),
              FailsBecause("http_failed"));
}

TEST(HttpFetcher, AnAnswerThatIsCutOffIsNoAnswer) {
  Server server([](const std::string&, const Server::Send& send) {
    send("HTTP/1.1 200 x\r\nContent-Length: 100\r\n\r\nhalf");
  });
  EXPECT_THAT(Fetcher(server.url())->FetchMetadata("root", 2, 200),
              FailsBecause("http_failed"));
}

TEST(HttpFetcher, OnlyHttpUrls) {
  for (const char* url : {"", "file:///etc/passwd", "ftp://h/", "h/metadata"}) {
    HttpFetcherOptions options;
    options.metadata_url = url;
    EXPECT_THAT(HttpFetcher::Create(options), FailsBecause("bad_url")) << url;
  }
}

}  // namespace
}  // namespace shoal::signing
