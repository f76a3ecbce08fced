#include "dht/swarm/origin_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "common/files.h"
#include "dht/swarm/endpoint.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::dht {
namespace {

using shoal::testing::FailsBecause;
using shoal::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OriginServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mkdir(dir_.File("root").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(dir_.File("root/blobs").c_str(), 0755), 0);
    std::ofstream(dir_.File("root/blobs/abc")) << "0123456789";
    std::ofstream(dir_.File("root/empty"));
    std::ofstream(dir_.File("root/.hidden")) << "hidden";
    std::ofstream(dir_.File("secret")) << "secret";
    ASSERT_EQ(symlink("../secret", dir_.File("root/link").c_str()), 0);
    ASSERT_EQ(symlink("..", dir_.File("root/up").c_str()), 0);
    ASSERT_OK_AND_ASSIGN(server_,
                         OriginServer::Open("127.0.0.1:0", dir_.File("root")));
  }

  static sockaddr_in Address(const std::string& ip, uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
    return address;
  }
  // A connection from `ip`, one of this machine's own.
  FileDescriptor Connect(const std::string& ip = "127.0.0.1") {
    const auto endpoint = ParseEndpoint(server_->address());
    EXPECT_OK(endpoint);
    FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    timeval timeout{5, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    const sockaddr_in from = Address(ip, 0);
    EXPECT_EQ(
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)),
        0);
    const sockaddr_in to = Address(endpoint->ip, endpoint->port);
    EXPECT_EQ(
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)),
        0);
    return fd;
  }
  // Sends bytes as they are; returns all until the server closes.
  std::string Raw(const std::string& request,
                  const std::string& ip = "127.0.0.1") {
    const FileDescriptor fd = Connect(ip);
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
      return "";  // closed before a word was said
    }
    std::string answer;
    char buffer[4096];
    ssize_t n;
    while ((n = recv(fd.get(), buffer, sizeof(buffer), 0)) > 0) {
      answer.append(buffer, static_cast<size_t>(n));
    }
    return answer;
  }
  std::string Get(const std::string& path, const std::string& headers = "",
                  const std::string& method = "GET") {
    return Raw(method + " " + path +
               " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers +
               "\r\n");
  }
  static std::string Body(const std::string& answer) {
    const size_t end = answer.find("\r\n\r\n");
    return end == std::string::npos ? "" : answer.substr(end + 4);
  }

  TempDir dir_;
  std::unique_ptr<OriginServer> server_;
};

TEST_F(OriginServerTest, ServesAWholeFile) {
  const std::string answer = Get("/blobs/abc");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Accept-Ranges: bytes"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 10"));
  EXPECT_EQ(Body(answer), "0123456789");
  EXPECT_THAT(Get("/empty"), HasSubstr("Content-Length: 0"));
}

TEST_F(OriginServerTest, HeadHasTheHeadersAlone) {
  const std::string answer = Get("/blobs/abc", "", "HEAD");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 10"));
  EXPECT_EQ(Body(answer), "");
}

TEST_F(OriginServerTest, Ranges) {
  const auto range = [&](const std::string& value) {
    return Get("/blobs/abc", "Range: " + value + "\r\n");
  };
  std::string answer = range("bytes=2-4");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 206"));
  EXPECT_THAT(answer, HasSubstr("Content-Range: bytes 2-4/10"));
  EXPECT_EQ(Body(answer), "234");
  EXPECT_EQ(Body(range("bytes=7-")), "789");
  EXPECT_EQ(Body(range("bytes=-2")), "89");
  EXPECT_EQ(Body(range("bytes=-100")), "0123456789");
  EXPECT_EQ(Body(range("bytes=8-100")), "89");
  answer = range("bytes=10-");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 416"));
  EXPECT_THAT(answer, HasSubstr("Content-Range: bytes */10"));
  EXPECT_THAT(range("bytes=-0"), StartsWith("HTTP/1.1 416"));
  // Malformed or several: as if there was none.
  for (const char* value :
       {"bytes=4-2", "bytes=a-b", "bytes=0-1,4-5", "lines=1-2",
        "bytes=", "bytes=-", "bytes=99999999999999999999-"}) {
    EXPECT_THAT(range(value), StartsWith("HTTP/1.1 200")) << value;
  }
}

TEST_F(OriginServerTest, EtagsAnswerConditions) {
  const std::string answer = Get("/blobs/abc");
  const size_t begin = answer.find("ETag: ") + 6;
  const std::string etag =
      answer.substr(begin, answer.find("\r\n", begin) - begin);
  EXPECT_THAT(Get("/blobs/abc", "If-None-Match: " + etag + "\r\n"),
              StartsWith("HTTP/1.1 304"));
  EXPECT_THAT(Get("/blobs/abc", "If-None-Match: \"other\"\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(
      Get("/blobs/abc", "Range: bytes=1-2\r\nIf-Range: " + etag + "\r\n"),
      StartsWith("HTTP/1.1 206"));
  EXPECT_THAT(Get("/blobs/abc", "Range: bytes=1-2\r\nIf-Range: \"old\"\r\n"),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(OriginServerTest, T34_NothingOutsideTheTreeAndNoListing) {
  for (const char* path :
       {"/", "/blobs", "/blobs/", "/../secret", "/blobs/../../secret",
        "/%2e%2e/secret", "/..%2fsecret", "//blobs/abc", "/blobs//abc",
        "/./blobs/abc", "/.hidden", "/link", "/up/secret", "/blobs/abc/x",
        "/blobs/%61bc", "/nothing", "/a/b/c/d/e/f/g/h/i", "/blobs\\abc"}) {
    const std::string answer = Get(path);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 404")) << path;
    EXPECT_EQ(answer.find("secret"), std::string::npos) << path;
  }
}

TEST_F(OriginServerTest, OnlyGetAndHead) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    EXPECT_THAT(Get("/blobs/abc", "Content-Length: 0\r\n", method),
                StartsWith("HTTP/1.1 405"))
        << method;
  }
  EXPECT_THAT(Raw("POST /blobs/abc HTTP/1.1\r\nHost: x\r\n"
                  "Content-Length: 1000000\r\n\r\nxxxx"),
              StartsWith("HTTP/1.1 405"));
}

TEST_F(OriginServerTest, T02_AHugeUrlIsRefused) {
  EXPECT_THAT(Get("/" + std::string(1000, 'a')), StartsWith("HTTP/1.1 414"));
  // Far beyond what a connection may hold.
  const std::string answer = Get("/" + std::string(200'000, 'a'));
  EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 414") ||
              answer.starts_with("HTTP/1.1 431"))
      << answer.substr(0, 100);
  // And the server still works.
  EXPECT_THAT(Get("/blobs/abc"), StartsWith("HTTP/1.1 200"));
  EXPECT_GE(server_->Stats().requests, 2u);
  EXPECT_GE(server_->Stats().refused, 1u);
}

TEST_F(OriginServerTest, T02_OneAddressCannotTakeAllConnections) {
  const std::string get =
      "GET /blobs/abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  std::vector<FileDescriptor> idle;
  for (int i = 0; i < OriginOptions().max_connections_per_ip; ++i) {
    idle.push_back(Connect("127.0.0.2"));
  }
  EXPECT_EQ(Raw(get, "127.0.0.2"), "");
  EXPECT_THAT(Raw(get, "127.0.0.3"), StartsWith("HTTP/1.1 200"));
  idle.clear();
  // The server sees the ends of the idle ones a little later.
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  std::string answer;
  while (answer.empty() && absl::Now() < deadline) {
    answer = Raw(get, "127.0.0.2");
  }
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
}

TEST_F(OriginServerTest, OpenSaysWhatIsWrong) {
  EXPECT_THAT(OriginServer::Open("localhost:0", dir_.path()),
              FailsBecause("bad_address"));
  EXPECT_THAT(OriginServer::Open("127.0.0.1:0", dir_.File("missing")),
              FailsBecause("io_not_found"));
  EXPECT_THAT(OriginServer::Open(server_->address(), dir_.path()),
              FailsBecause("listen"));
}

}  // namespace
}  // namespace shoal::dht
