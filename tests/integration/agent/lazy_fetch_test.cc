// shoal-fetch runs only while there is something to fetch or to seed.
#include "agent/link/lazy_fetch.h"

#include <future>

#include "common/crypto/hash.h"
#include "common/files.h"
#include "dht/swarm/origin_server.h"
#include "tests/support/device.h"
#include "tests/support/fake_clock.h"

namespace shoal::testing {
namespace {

class LazyFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(RealFileSystem().MakeDirectories(dir_.File("origin/metadata")));
    WriteText(dir_.File("origin/metadata/1.root.json"), "hello");
    ASSERT_OK_AND_ASSIGN(
        origin_, dht::OriginServer::Open("127.0.0.1:0", dir_.File("origin")));
    dht::FetchOptions options;
    options.program = BinPath("shoal-fetch");
    options.state_dir = dir_.File("swarm");
    fetch_ = std::make_unique<agent::LazyFetch>(std::move(options), clock_,
                                                absl::Seconds(10));
  }
  absl::StatusOr<std::string> Document() {
    std::promise<absl::StatusOr<std::string>> answer;
    fetch_->FetchDocument(
        {"http://" + origin_->address() + "/metadata/1.root.json"}, 100,
        std::nullopt, absl::Seconds(20),
        [&](absl::StatusOr<std::string> bytes) { answer.set_value(bytes); });
    return answer.get_future().get();
  }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<dht::OriginServer> origin_;
  std::unique_ptr<agent::LazyFetch> fetch_;
};

TEST_F(LazyFetchTest, StartsForWorkEndsWhenIdleAndStartsAgainAtItsPort) {
  EXPECT_FALSE(fetch_->running());
  EXPECT_EQ(fetch_->swarm_address(), "");
  ASSERT_OK_AND_ASSIGN(const std::string bytes, Document());
  EXPECT_EQ(bytes, "hello");
  EXPECT_TRUE(fetch_->running());
  const std::string address = fetch_->swarm_address();
  fetch_->EndIfIdle();
  EXPECT_TRUE(fetch_->running()) << "it was used a moment ago";
  clock_.Advance(absl::Seconds(11));
  fetch_->EndIfIdle();
  EXPECT_FALSE(fetch_->running());
  ASSERT_OK(Document());
  EXPECT_EQ(fetch_->swarm_address(), address);
}

TEST_F(LazyFetchTest, StaysWhileItSeeds) {
  const std::string bytes(1000, 's');
  WriteText(dir_.File("blob"), bytes);
  dht::SeedJob job;
  job.artifact.file_root = crypto::Sha256Digest(bytes);  // one short block
  job.artifact.piece_length = 16384;
  job.artifact.length = bytes.size();
  job.artifact.sha256 = crypto::Sha256Digest(bytes);
  job.path = dir_.File("blob");
  std::promise<absl::Status> seeded;
  ASSERT_OK(fetch_->Seed(
      job, [&](absl::Status status) { seeded.set_value(status); }));
  ASSERT_OK(seeded.get_future().get());
  clock_.Advance(absl::Hours(1));
  fetch_->EndIfIdle();
  EXPECT_TRUE(fetch_->running());
  fetch_->StopSeeding(job.artifact.sha256);
  clock_.Advance(absl::Hours(1));
  fetch_->EndIfIdle();
  EXPECT_FALSE(fetch_->running());
}

TEST_F(LazyFetchTest, AFailedSeedDoesNotKeepIt) {
  dht::SeedJob job;
  job.artifact.file_root = job.artifact.sha256 = std::string(32, 'x');
  job.artifact.piece_length = 16384;
  job.artifact.length = 1000;
  job.path = dir_.File("missing");
  std::promise<absl::Status> seeded;
  ASSERT_OK(fetch_->Seed(
      job, [&](absl::Status status) { seeded.set_value(status); }));
  EXPECT_FALSE(seeded.get_future().get().ok());
  clock_.Advance(absl::Hours(1));
  fetch_->EndIfIdle();
  EXPECT_FALSE(fetch_->running());
}

}  // namespace
}  // namespace shoal::testing
