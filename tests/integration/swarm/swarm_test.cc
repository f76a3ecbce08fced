// Peers: sharing, restarts, resuming, poison.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iostream>

#include "common/crypto/hash.h"
#include "tests/integration/swarm/fixture.h"

namespace shoal::dht {
namespace {

using shoal::testing::Fails;
using shoal::testing::FailsBecause;
using shoal::testing::WaitFor;

constexpr int64_t kMiB = 1024 * 1024;

// Kilobytes of resident memory; 0 when the process is gone.
int64_t ResidentKb(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6));
  }
  return 0;
}

TEST_F(SwarmTest, LeechersShareWhatOneSlowSeedGives) {
  MakeArtifact(8 * kMiB);
  FetchLimits slow;
  slow.upload_bytes_per_second = 3 * kMiB;
  auto seed = StartSeed("seed", slow);
  ASSERT_NE(seed, nullptr);
  std::vector<std::unique_ptr<FetchProcess>> leechers;
  for (int i = 0; i < 3; ++i) {
    leechers.push_back(Start("leech" + std::to_string(i)));
    ASSERT_NE(leechers.back(), nullptr);
  }
  std::vector<Outcome> outcomes(3);
  for (int i = 0; i < 3; ++i) {
    FetchJob job = Job("j" + std::to_string(i));
    job.seed_afterwards = true;
    job.peers = {seed->swarm_address()};
    for (int k = 0; k < 3; ++k) {
      if (k != i) job.peers.push_back(leechers[k]->swarm_address());
    }
    ASSERT_OK(leechers[i]->Fetch(job, outcomes[i].Progress(),
                                 outcomes[i].Callback()));
  }
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const FetchResult result, outcomes[i].Wait());
    EXPECT_GE(result.bytes_from_peers, artifact_.length);
    EXPECT_EQ(result.bytes_from_origin, 0u);
    EXPECT_EQ(Content(dir_.File("out-j" + std::to_string(i))), content_);
  }
  // Less than the three leechers took came from the seed: the rest they gave
  // each other.
  uint64_t shared = 0;
  ASSERT_OK(WaitFor("the counts of what leechers gave", [&] {
    shared = 0;
    for (const auto& leecher : leechers) shared += leecher->Status().uploaded;
    return shared + seed->Status().uploaded >= 3 * artifact_.length;
  }));
  EXPECT_GT(shared, artifact_.length / 4);
  EXPECT_LT(seed->Status().uploaded, 3 * artifact_.length);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(ResidentKb(seed->Status().child), 32 * 1024);
  EXPECT_LT(ResidentKb(leechers[0]->Status().child), 32 * 1024);
#endif
  std::cout << "resident kB: seed " << ResidentKb(seed->Status().child)
            << ", leecher " << ResidentKb(leechers[0]->Status().child) << "\n";
  RecordProperty("seed_kb", std::to_string(ResidentKb(seed->Status().child)));
  RecordProperty("leech_kb",
                 std::to_string(ResidentKb(leechers[0]->Status().child)));
}

TEST_F(SwarmTest, KilledInTheMiddleItCompletesWithWhatIsOnDisk) {
  MakeArtifact(8 * kMiB);
  FetchLimits slow;
  slow.upload_bytes_per_second = 4 * kMiB;
  auto seed = StartSeed("seed", slow);
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  Outcome outcome;
  ASSERT_OK(leech->Fetch(job, outcome.Progress(), outcome.Callback()));
  const std::string address = leech->swarm_address();
  for (const uint64_t part : {2, 5}) {
    ASSERT_OK(WaitFor("a part of the file", [&] {
      return outcome.Finished() || outcome.bytes() > part * kMiB;
    }));
    ASSERT_FALSE(outcome.Finished());
    const pid_t child = leech->Status().child;
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_OK(WaitFor("another child", [&] {
      const pid_t now = leech->Status().child;
      return now > 0 && now != child;
    }));
  }
  ASSERT_OK_AND_ASSIGN(const FetchResult result, outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
  EXPECT_EQ(leech->Status().restarts, 2);
  EXPECT_EQ(leech->swarm_address(), address);
  // Not everything twice: what was on disk stayed.
  EXPECT_LT(seed->Status().uploaded, 12u * kMiB);
  EXPECT_GT(result.bytes_from_peers, 0u);
}

TEST_F(SwarmTest, AKilledSeedServesAgain) {
  MakeArtifact(2 * kMiB);
  auto seed = StartSeed("seed");
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  const std::string address = seed->swarm_address();
  ASSERT_EQ(kill(seed->Status().child, SIGKILL), 0);
  FetchJob job = Job("j");
  job.peers = {address};
  Outcome outcome;
  ASSERT_OK(leech->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
}

TEST_F(SwarmTest, ResumesFromAPartialFile) {
  MakeArtifact(4 * kMiB);
  auto seed = StartSeed("seed");
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  std::ofstream(job.output_path, std::ios::binary)
      << content_.substr(0, 3 * kMiB + 77);
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*leech, job));
  EXPECT_LT(result.bytes_from_peers, 2u * kMiB);
  EXPECT_GE(result.bytes_resumed, 2u * kMiB);
}

TEST_F(SwarmTest, ADamagedPartIsFetchedAgain) {
  MakeArtifact(4 * kMiB);
  auto seed = StartSeed("seed");
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  std::string damaged = content_;
  damaged[kMiB] ^= 1;
  std::fill_n(damaged.begin() + 2 * kMiB, kMiB, '\0');
  std::ofstream(job.output_path, std::ios::binary) << damaged;
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*leech, job));
  EXPECT_LT(result.bytes_from_peers, 3u * kMiB);
}

TEST_F(SwarmTest, T44_APoisonedSeedIsDroppedAndTheOriginServes) {
  MakeArtifact(4 * kMiB);
  const std::string poisoned = dir_.File("poisoned");
  std::ofstream(poisoned, std::ios::binary) << content_;
  auto seed = StartSeed("seed", {}, poisoned);
  // It was right when the seed checked it; now every piece is wrong.
  {
    const int fd = open(poisoned.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    for (int64_t at = 0; at < 4 * kMiB; at += 65536) {
      ASSERT_EQ(pwrite(fd, "poison", 6, at), 6);
    }
    close(fd);
  }
  auto origin = StartOrigin();
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && origin != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  job.origin_urls = {origin->base_url() + "artifact"};
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*leech, job));
  EXPECT_GT(result.bytes_discarded, 0u);
  EXPECT_GE(result.bytes_from_origin, artifact_.length);
}

TEST_F(SwarmTest, T44_AGoodPeerBesideAPoisonedOneStillServes) {
  MakeArtifact(4 * kMiB);
  const std::string poisoned = dir_.File("poisoned");
  std::ofstream(poisoned, std::ios::binary) << content_;
  auto bad = StartSeed("bad", {}, poisoned);
  {
    const int fd = open(poisoned.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    for (int64_t at = 0; at < 4 * kMiB; at += 65536) {
      ASSERT_EQ(pwrite(fd, "poison", 6, at), 6);
    }
    close(fd);
  }
  FetchLimits slow;
  slow.upload_bytes_per_second = 2 * kMiB;
  auto good = StartSeed("good", slow);
  auto leech = Start("leech");
  ASSERT_TRUE(bad != nullptr && good != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {bad->swarm_address(), good->swarm_address()};
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*leech, job));
  // The bad one was dropped before it could send the file over and over.
  EXPECT_LT(result.bytes_discarded, artifact_.length);
  EXPECT_LT(bad->Status().uploaded, 2 * artifact_.length);
}

TEST_F(SwarmTest, AFileThatDoesNotMatchItsRootIsNotSeeded) {
  MakeArtifact(kMiB);
  std::string wrong = content_;
  wrong[1000] ^= 1;
  const std::string path = dir_.File("wrong");
  std::ofstream(path, std::ios::binary) << wrong;
  auto process = Start("seed");
  ASSERT_NE(process, nullptr);
  for (const std::string& file : {path, dir_.File("missing")}) {
    std::atomic<bool> called{false};
    absl::Status status;
    ASSERT_OK(process->Seed({artifact_, file}, [&](absl::Status s) {
      status = s;
      called = true;
    }));
    ASSERT_OK(WaitFor("the seed's check", [&] { return called.load(); }));
    EXPECT_THAT(status,
                FailsBecause(file == path ? "hash_mismatch" : "io_not_found"));
  }
  EXPECT_EQ(process->Status().seeds, 0);
  EXPECT_EQ(Content(path), wrong);
}

TEST_F(SwarmTest, NothingIsUploadedOnAMeteredLink) {
  MakeArtifact(kMiB);
  FetchLimits metered;
  metered.allow_upload = false;
  auto seed = StartSeed("seed", metered);
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  job.deadline = absl::Seconds(3);
  Outcome outcome;
  ASSERT_OK(leech->Fetch(job, nullptr, outcome.Callback()));
  EXPECT_THAT(outcome.Wait(),
              Fails(absl::StatusCode::kDeadlineExceeded, "no_source"));
  EXPECT_EQ(seed->Status().uploaded, 0u);
  // The link changes: the next try works.
  seed->SetLimits({});
  job.deadline = absl::Seconds(60);
  ASSERT_OK(FetchWhole(*leech, job));
}

TEST_F(SwarmTest, PeersMayComeLater) {
  MakeArtifact(kMiB);
  auto seed = StartSeed("seed");
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  Outcome outcome;
  ASSERT_OK(leech->Fetch(job, nullptr, outcome.Callback()));
  EXPECT_THAT(leech->Fetch(job, nullptr, nullptr),
              FailsBecause("duplicate_job"));
  job.id = "other";
  EXPECT_THAT(leech->Fetch(job, nullptr, nullptr),
              FailsBecause("duplicate_artifact"));
  leech->AddPeers("j", {seed->swarm_address()});
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
}

TEST_F(SwarmTest, TheChildIsConfinedAndEndsWithItsController) {
  auto process = Start("one");
  ASSERT_NE(process, nullptr);
  const pid_t child = process->Status().child;
  std::ifstream file("/proc/" + std::to_string(child) + "/status");
  const std::string status((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
  std::ifstream limits_file("/proc/" + std::to_string(child) + "/limits");
  const std::string limits((std::istreambuf_iterator<char>(limits_file)), {});
  EXPECT_THAT(limits, ::testing::ContainsRegex("Max core file size +0 +0"));
  process.reset();
  EXPECT_EQ(kill(child, 0), -1);
}

TEST_F(SwarmTest, TheProgramTakesNoArgumentsAndEndsWithItsInput) {
  const std::string program = shoal::testing::BinPath("shoal-fetch");
  ASSERT_OK_AND_ASSIGN(const CommandResult end, shoal::testing::Run({program}));
  EXPECT_TRUE(end.status.ok()) << end.output;
  ASSERT_OK_AND_ASSIGN(const CommandResult help,
                       shoal::testing::Run({program, "--help"}));
  EXPECT_EQ(help.status.code, 2);
}

TEST_F(SwarmTest, RootGivesUpItsUserWhenTold) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  MakeArtifact(100'000);
  auto origin = StartOrigin();
  FetchOptions options;
  options.program = shoal::testing::BinPath("shoal-fetch");
  options.state_dir = dir_.File("state-user");
  options.user = 65534;
  options.group = 65534;
  ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
  ASSERT_OK_AND_ASSIGN(auto process, FetchProcess::Open(options));
  std::ifstream file("/proc/" + std::to_string(process->Status().child) +
                     "/status");
  const std::string status((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(status.find("Uid:\t65534\t65534\t65534\t65534"), std::string::npos);
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos);
  FetchJob job = Job("j");
  job.origin_urls = {origin->base_url() + "artifact"};
  Outcome outcome;
  ASSERT_OK(process->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
}

TEST_F(SwarmTest, CancelLeavesThePartialFile) {
  MakeArtifact(4 * kMiB);
  FetchLimits slow;
  slow.upload_bytes_per_second = kMiB;
  auto seed = StartSeed("seed", slow);
  auto leech = Start("leech");
  ASSERT_TRUE(seed != nullptr && leech != nullptr);
  FetchJob job = Job("j");
  job.peers = {seed->swarm_address()};
  Outcome outcome;
  ASSERT_OK(leech->Fetch(job, outcome.Progress(), outcome.Callback()));
  ASSERT_OK(WaitFor("a part", [&] { return outcome.bytes() > 300'000; }));
  leech->Cancel("j");
  EXPECT_THAT(outcome.Wait(), Fails(absl::StatusCode::kCancelled, "cancelled"));
  EXPECT_GT(Content(job.output_path).size(), 0u);
  seed->SetLimits({});
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*leech, job));
  EXPECT_LT(result.bytes_from_peers, artifact_.length);
}

}  // namespace
}  // namespace shoal::dht
