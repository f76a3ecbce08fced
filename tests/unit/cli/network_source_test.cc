// How long a list of origins may take.
#include "server/cli/network_source.h"

#include <gtest/gtest.h>

#include "common/files.h"
#include "dht/swarm/origin_server.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace shoal::cli {
namespace {

// To whoever asks for the time, four more seconds have gone by.
class SlowDay final : public Clock {
 public:
  absl::Time WallNow() override { return absl::Now(); }
  absl::Duration MonotonicNow() override { return now_ += absl::Seconds(4); }

 private:
  absl::Duration now_;
};

TEST(GetByHttp, TheTimeIsForAllOrigins) {
  const testing::TempDir dir;
  ASSERT_OK(RealFileSystem().WriteAtomic(dir.File("artifact"), "content"));
  ASSERT_OK_AND_ASSIGN(const auto origin,
                       dht::OriginServer::Open("127.0.0.1:0", dir.path()));
  std::vector<std::string> urls(5, "http://127.0.0.1:1/artifact");
  urls.push_back("http://" + origin->address() + "/artifact");
  SlowDay slow;
  EXPECT_FALSE(
      GetByHttp(slow)(urls, 100, std::nullopt, absl::Seconds(10)).ok());
  testing::FakeClock quick;
  ASSERT_OK_AND_ASSIGN(
      const std::string bytes,
      GetByHttp(quick)(urls, 100, std::nullopt, absl::Seconds(10)));
  EXPECT_EQ(bytes, "content");
}

}  // namespace
}  // namespace shoal::cli
