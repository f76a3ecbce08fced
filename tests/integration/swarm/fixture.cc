#include "tests/integration/swarm/fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "common/crypto/hash.h"
#include "common/status.h"
#include "signing/metadata/file_root.h"

namespace shoal::dht {

using shoal::testing::BinPath;
using shoal::testing::WaitFor;

DoneCallback Outcome::Callback() {
  return [state = state_](absl::StatusOr<FetchResult> result) {
    std::lock_guard lock(state->mutex);
    EXPECT_FALSE(state->result.has_value()) << "the callback came twice";
    state->result = std::move(result);
  };
}
ProgressCallback Outcome::Progress() {
  return [state = state_](uint64_t bytes) { state->bytes = bytes; };
}
bool Outcome::Finished() const {
  std::lock_guard lock(state_->mutex);
  return state_->result.has_value();
}
absl::StatusOr<FetchResult> Outcome::Wait(absl::Duration timeout) {
  SHOAL_RETURN_IF_ERROR(WaitFor(
      "the end of a transfer", [&] { return Finished(); }, timeout));
  std::lock_guard lock(state_->mutex);
  return *state_->result;
}

RudeServer::RudeServer(Answer answer) : answer_(std::move(answer)) {
  listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)),
            0);
  EXPECT_EQ(listen(listener_.get(), 8), 0);
  socklen_t size = sizeof(address);
  getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Loop(); });
}
RudeServer::~RudeServer() {
  stop_ = true;
  thread_.join();
}
std::string RudeServer::url() const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/artifact";
}
void RudeServer::Loop() {
  while (!stop_) {
    pollfd wait{listener_.get(), POLLIN, 0};
    if (poll(&wait, 1, 20) <= 0) continue;
    FileDescriptor client(
        accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.valid()) continue;
    ++requests_;
    std::string head;
    char buffer[4096];
    while (head.find("\r\n\r\n") == std::string::npos && head.size() < 65536) {
      const ssize_t n = recv(client.get(), buffer, sizeof(buffer), 0);
      if (n <= 0) break;
      head.append(buffer, static_cast<size_t>(n));
    }
    answer_(head, [&](std::string_view bytes) {
      while (!bytes.empty()) {
        if (stop_) return false;
        pollfd out{client.get(), POLLOUT, 0};
        if (poll(&out, 1, 20) == 0) continue;
        const ssize_t n = send(client.get(), bytes.data(), bytes.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<size_t>(n));
      }
      // A client that has gone shows as readable with nothing to read.
      pollfd in{client.get(), POLLIN, 0};
      return !stop_ && poll(&in, 1, 0) == 0;
    });
  }
}

void SwarmTest::MakeArtifact(size_t size) {
  content_ = crypto::RandomBytes(size);
  ASSERT_EQ(mkdir(dir_.File("origin").c_str(), 0755), 0);
  source_ = dir_.File("origin/artifact");
  std::ofstream(source_, std::ios::binary) << content_;
  signing::FileRootHasher root;
  root.Update(content_);
  artifact_.file_root = root.Finish();
  artifact_.piece_length = 65536;
  artifact_.length = size;
  artifact_.sha256 = crypto::Sha256Digest(content_);
}

std::unique_ptr<FetchProcess> SwarmTest::Start(const std::string& name,
                                               FetchLimits limits) {
  FetchOptions options;
  options.program = BinPath("shoal-fetch");
  options.state_dir = dir_.File("state-" + name);
  options.stall_timeout = absl::Seconds(1);
  options.min_bytes_per_second = 0;
  options.limits = limits;
  auto process = FetchProcess::Open(options);
  EXPECT_OK(process);
  return process.ok() ? *std::move(process) : nullptr;
}

std::unique_ptr<FetchProcess> SwarmTest::StartSeed(const std::string& name,
                                                   FetchLimits limits,
                                                   std::string path) {
  auto process = Start(name, limits);
  if (process == nullptr) return nullptr;
  EXPECT_OK(process->Seed({artifact_, path.empty() ? source_ : path}, nullptr));
  EXPECT_OK(WaitFor("the seed", [&] { return process->Status().seeds == 1; }));
  return process;
}

std::unique_ptr<OriginServer> SwarmTest::StartOrigin() {
  auto server = OriginServer::Open("127.0.0.1:0", dir_.File("origin"));
  EXPECT_OK(server);
  return server.ok() ? *std::move(server) : nullptr;
}

FetchJob SwarmTest::Job(const std::string& name) {
  FetchJob job;
  job.id = name;
  job.artifact = artifact_;
  job.output_path = dir_.File("out-" + name);
  job.deadline = absl::Seconds(60);
  return job;
}

absl::StatusOr<FetchResult> SwarmTest::FetchWhole(FetchProcess& process,
                                                  const FetchJob& job) {
  Outcome outcome;
  SHOAL_RETURN_IF_ERROR(process.Fetch(job, nullptr, outcome.Callback()));
  SHOAL_ASSIGN_OR_RETURN(const FetchResult result, outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
  return result;
}

std::string SwarmTest::Content(const std::string& path) {
  auto content = RealFileSystem().Read(path, uint64_t{1} << 30);
  EXPECT_OK(content);
  return content.ok() ? *std::move(content) : "";
}

}  // namespace shoal::dht
