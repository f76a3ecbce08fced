// Origins: fallback, liars, endless and slow ones; documents.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "absl/time/clock.h"
#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "tests/integration/swarm/fixture.h"

namespace shoal::dht {
namespace {

using shoal::testing::Fails;
using shoal::testing::FailsBecause;
using shoal::testing::WaitFor;

constexpr int64_t kMiB = 1024 * 1024;

std::string Head(std::optional<size_t> length) {
  std::string head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
  if (length) head += fmt::format("Content-Length: {}\r\n", *length);
  return head + "\r\n";
}

TEST_F(SwarmTest, AnOriginAloneIsEnough) {
  MakeArtifact(4 * kMiB + 123);
  auto origin = StartOrigin();
  auto fetch = Start("fetch");
  ASSERT_TRUE(origin != nullptr && fetch != nullptr);
  FetchJob job = Job("j");
  job.origin_urls = {origin->base_url() + "missing",
                     origin->base_url() + "artifact"};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, outcome.Progress(), outcome.Callback()));
  ASSERT_OK_AND_ASSIGN(const FetchResult result, outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
  EXPECT_EQ(result.bytes_from_origin, artifact_.length);
  EXPECT_EQ(result.bytes_from_peers, 0u);
  EXPECT_EQ(result.bytes_discarded, 0u);
  EXPECT_EQ(outcome.bytes(), artifact_.length);
}

TEST_F(SwarmTest, WhatCameFromAnOriginIsSeeded) {
  MakeArtifact(2 * kMiB);
  auto origin = StartOrigin();
  auto first = Start("first");
  auto second = Start("second");
  ASSERT_TRUE(origin && first && second);
  FetchJob job = Job("a");
  job.origin_urls = {origin->base_url() + "artifact"};
  job.seed_afterwards = true;
  Outcome outcome;
  ASSERT_OK(first->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  FetchJob next = Job("b");
  next.peers = {first->swarm_address()};
  Outcome other;
  ASSERT_OK(second->Fetch(next, nullptr, other.Callback()));
  ASSERT_OK_AND_ASSIGN(const FetchResult result, other.Wait());
  EXPECT_GE(result.bytes_from_peers, artifact_.length);
  EXPECT_EQ(Content(next.output_path), content_);
}

TEST_F(SwarmTest, DeadPeersLeadToTheOrigin) {
  MakeArtifact(kMiB);
  auto origin = StartOrigin();
  auto fetch = Start("fetch");
  ASSERT_TRUE(origin && fetch);
  FetchJob job = Job("j");
  job.peers = {"127.0.0.1:1"};
  job.origin_urls = {origin->base_url() + "artifact"};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
}

TEST_F(SwarmTest, ResumesFromAnOriginByRangeAfterAKill) {
  MakeArtifact(6 * kMiB);
  auto fetch = Start("fetch");
  ASSERT_TRUE(fetch);
  // The first answer stops in the middle; later ones serve the range.
  std::mutex mutex;
  std::vector<size_t> starts;
  RudeServer origin([&](const std::string& head, const RudeServer::Send& send) {
    size_t start = 0;
    if (const size_t at = head.find("Range: bytes="); at != std::string::npos) {
      start = std::stoul(head.substr(at + 13));
    }
    bool first;
    {
      std::lock_guard lock(mutex);
      first = starts.empty();
      starts.push_back(start);
    }
    if (first) {
      if (!send(Head(content_.size())) || !send(content_.substr(0, 4 * kMiB))) {
        return;
      }
      while (send("")) usleep(10'000);
      return;
    }
    send(fmt::format(
        "HTTP/1.1 206 Partial Content\r\nConnection: close\r\n"
        "Content-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n",
        content_.size() - start, start, content_.size() - 1, content_.size()));
    send(std::string_view(content_).substr(start));
  });
  FetchJob job = Job("j");
  job.origin_urls = {origin.url()};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, outcome.Progress(), outcome.Callback()));
  // The state beside the file is written every half second.
  const std::string state =
      dir_.File("state-fetch/") + HexEncode(artifact_.sha256) + ".partial";
  ASSERT_OK(WaitFor("the first part and its state", [&] {
    return outcome.bytes() == 4 * kMiB && RealFileSystem().Exists(state);
  }));
  ASSERT_EQ(kill(fetch->Status().child, SIGKILL), 0);
  ASSERT_OK_AND_ASSIGN(const FetchResult result, outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
  EXPECT_EQ(fetch->Status().restarts, 1);
  EXPECT_EQ(result.bytes_discarded, 0u);
  EXPECT_FALSE(RealFileSystem().Exists(state));
  std::lock_guard lock(mutex);
  ASSERT_EQ(starts.size(), 2u);
  EXPECT_GT(starts[1], 0u);
}

TEST_F(SwarmTest, TheRateCapHoldsForOrigins) {
  MakeArtifact(6 * kMiB);
  FetchLimits slow;
  slow.download_bytes_per_second = 2 * kMiB;
  auto origin = StartOrigin();
  auto fetch = Start("fetch", slow);
  ASSERT_TRUE(origin && fetch);
  FetchJob job = Job("j");
  job.origin_urls = {origin->base_url() + "artifact"};
  Outcome outcome;
  const absl::Time start = absl::Now();
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
  // Less the burst that libcurl takes before it counts.
  EXPECT_GT(absl::Now() - start, absl::Seconds(1));
}

TEST_F(SwarmTest, ALyingOriginIsLeftForAnHonestOne) {
  MakeArtifact(2 * kMiB);
  auto origin = StartOrigin();
  auto fetch = Start("fetch");
  ASSERT_TRUE(origin && fetch);
  std::string wrong = content_;
  wrong[kMiB] ^= 1;
  RudeServer liar([&](const std::string&, const RudeServer::Send& send) {
    if (send(Head(wrong.size()))) send(wrong);
  });
  FetchJob job = Job("j");
  job.origin_urls = {liar.url(), origin->base_url() + "artifact"};
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*fetch, job));
  EXPECT_EQ(result.bytes_discarded, artifact_.length);
  EXPECT_EQ(result.bytes_from_origin, 2 * artifact_.length);
  EXPECT_EQ(liar.requests(), 1);
}

TEST_F(SwarmTest, OnlyLiarsIsAMismatch) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  ASSERT_TRUE(fetch);
  const std::string wrong(content_.size(), 'x');
  RudeServer liar([&](const std::string&, const RudeServer::Send& send) {
    if (send(Head(wrong.size()))) send(wrong);
  });
  FetchJob job = Job("j");
  job.origin_urls = {liar.url()};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  EXPECT_THAT(outcome.Wait(),
              Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
}

TEST_F(SwarmTest, T02_AnEndlessOriginIsCut) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  auto origin = StartOrigin();
  ASSERT_TRUE(fetch && origin);
  std::atomic<uint64_t> sent{0};
  RudeServer endless([&](const std::string&, const RudeServer::Send& send) {
    if (!send(Head(std::nullopt))) return;
    const std::string junk(65536, 'z');
    while (send(junk)) sent += junk.size();
  });
  FetchJob job = Job("j");
  job.origin_urls = {endless.url(), origin->base_url() + "artifact"};
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*fetch, job));
  EXPECT_EQ(result.bytes_from_origin, 2 * artifact_.length);
  // What the sockets' buffers hold, beside the megabyte that was taken.
  EXPECT_LT(sent, 32u * kMiB);
}

TEST_F(SwarmTest, T02_AnOriginWithAnotherLengthIsNotRead) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  auto origin = StartOrigin();
  ASSERT_TRUE(fetch && origin);
  RudeServer longer([&](const std::string&, const RudeServer::Send& send) {
    if (send(Head(content_.size() + 1))) send(content_ + "x");
  });
  FetchJob job = Job("j");
  job.origin_urls = {longer.url(), origin->base_url() + "artifact"};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK_AND_ASSIGN(const FetchResult result, outcome.Wait());
  EXPECT_EQ(result.bytes_from_origin, artifact_.length);
}

TEST_F(SwarmTest, T10_ASilentOriginIsLeft) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  auto origin = StartOrigin();
  ASSERT_TRUE(fetch && origin);
  RudeServer silent([&](const std::string&, const RudeServer::Send& send) {
    if (!send(Head(content_.size())) || !send(content_.substr(0, 200'000))) {
      return;
    }
    while (send("")) usleep(10'000);  // holds the line, says nothing
  });
  FetchJob job = Job("j");
  job.origin_urls = {silent.url(), origin->base_url() + "artifact"};
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*fetch, job));
  // The second origin was asked for the rest only.
  EXPECT_LT(result.bytes_from_origin, artifact_.length + 65536 + 1);
}

TEST_F(SwarmTest, AnOriginWithoutRangesServesTheRest) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  ASSERT_TRUE(fetch);
  RudeServer plain([&](const std::string&, const RudeServer::Send& send) {
    if (send(Head(content_.size()))) send(content_);
  });
  FetchJob job = Job("j");
  std::ofstream(job.output_path, std::ios::binary)
      << content_.substr(0, kMiB / 2);
  job.origin_urls = {plain.url()};
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  ASSERT_OK(outcome.Wait());
  EXPECT_EQ(Content(job.output_path), content_);
}

// Always a little faster than what counts as too slow, and never done.
TEST_F(SwarmTest, T10_ATrickleAboveTheRateEndsAtTheDeadline) {
  MakeArtifact(16 * kMiB);
  auto fetch = Start("fetch");
  ASSERT_TRUE(fetch);
  RudeServer trickle([&](const std::string&, const RudeServer::Send& send) {
    if (!send(Head(content_.size()))) return;
    for (size_t at = 0; at < content_.size(); at += 65'536) {
      if (!send(std::string_view(content_).substr(at, 65'536))) return;
      usleep(50'000);
    }
  });
  FetchJob job = Job("j");
  job.origin_urls = {trickle.url()};
  job.deadline = absl::Seconds(4);
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, outcome.Progress(), outcome.Callback()));
  EXPECT_THAT(outcome.Wait(),
              Fails(absl::StatusCode::kDeadlineExceeded, "no_source"));
  EXPECT_EQ(trickle.requests(), 1);  // it was never left for being slow
  // What came is kept: another source goes on from there.
  auto origin = StartOrigin();
  job.origin_urls = {origin->base_url() + "artifact"};
  job.deadline = absl::Seconds(60);
  ASSERT_OK_AND_ASSIGN(const FetchResult result, FetchWhole(*fetch, job));
  EXPECT_GT(result.bytes_resumed, 0u);
}

// With and without a substitute: silence is no reason to take it.
TEST_F(SwarmTest, NoSourceIsATypedErrorAtTheDeadline) {
  MakeArtifact(kMiB);
  auto fetch = Start("fetch");
  ASSERT_TRUE(fetch);
  for (const absl::Duration first_byte :
       {absl::InfiniteDuration(), absl::Milliseconds(1)}) {
    FetchJob job = Job("j");
    job.peers = {"127.0.0.1:1"};
    job.origin_urls = {"http://127.0.0.1:1/artifact"};
    job.deadline = absl::Seconds(2);
    job.first_byte = first_byte;
    Outcome outcome;
    ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
    EXPECT_THAT(outcome.Wait(),
                Fails(absl::StatusCode::kDeadlineExceeded, "no_source"));
  }
}

TEST_F(SwarmTest, ASubstituteIsTakenWhenWhoAnswersHasNothing) {
  MakeArtifact(kMiB);
  auto origin = StartOrigin();
  auto fetch = Start("fetch");
  ASSERT_TRUE(origin != nullptr && fetch != nullptr);
  FetchJob job = Job("j");
  job.origin_urls = {"http://" + origin->address() + "/elsewhere"};
  job.first_byte = absl::Milliseconds(300);
  Outcome outcome;
  ASSERT_OK(fetch->Fetch(job, nullptr, outcome.Callback()));
  EXPECT_THAT(outcome.Wait(),
              Fails(absl::StatusCode::kUnavailable, "no_source"));
}

TEST_F(SwarmTest, Documents) {
  MakeArtifact(100'000);
  auto fetch = Start("fetch");
  auto origin = StartOrigin();
  ASSERT_TRUE(fetch && origin);
  const auto get = [&](std::vector<std::string> urls, uint64_t max,
                       std::optional<std::string> sha256) {
    std::atomic<bool> done{false};
    absl::StatusOr<std::string> result;
    fetch->FetchDocument(std::move(urls), max, std::move(sha256),
                         [&](absl::StatusOr<std::string> r) {
                           result = std::move(r);
                           done = true;
                         });
    EXPECT_OK(WaitFor("a document", [&] { return done.load(); }));
    return result;
  };
  const std::string good = origin->base_url() + "artifact";
  const std::string bad = origin->base_url() + "missing";
  auto document = get({bad, good}, 100'000, artifact_.sha256);
  ASSERT_OK(document);
  EXPECT_EQ(*document, content_);
  EXPECT_THAT(get({bad}, 10, std::nullopt),
              Fails(absl::StatusCode::kNotFound, "no_source"));
  // Only who answers knows that there is none.
  RudeServer broken([](const std::string&, const RudeServer::Send& send) {
    send(
        "HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n");
  });
  const std::string refused = "http://127.0.0.1:1/missing";
  for (const auto& urls : std::vector<std::vector<std::string>>{
           {refused}, {broken.url()}, {bad, broken.url()}, {refused, refused}})
    EXPECT_THAT(get(urls, 10, std::nullopt),
                Fails(absl::StatusCode::kUnavailable, "no_source"))
        << urls.front();
  EXPECT_THAT(get({refused, bad}, 10, std::nullopt),
              Fails(absl::StatusCode::kNotFound, "no_source"));
  EXPECT_THAT(get({good}, 99'999, std::nullopt),
              FailsBecause("document_too_large"));
  EXPECT_THAT(get({good}, 100'000, std::string(32, 'x')),
              Fails(absl::StatusCode::kDataLoss, "hash_mismatch"));
  EXPECT_THAT(get({"file:///etc/passwd"}, 10, std::nullopt),
              FailsBecause("bad_url"));
}

TEST_F(SwarmTest, ManyDocumentsAtATimeAllEnd) {
  MakeArtifact(5'000);
  auto fetch = Start("fetch");
  auto origin = StartOrigin();
  ASSERT_TRUE(fetch && origin);
  std::atomic<int> good{0};
  std::atomic<int> missing{0};
  for (int i = 0; i < 40; ++i)
    fetch->FetchDocument(
        {origin->base_url() + (i % 2 == 0 ? "artifact" : "missing")}, 10'000,
        std::nullopt, absl::Minutes(10),
        [&](const absl::StatusOr<std::string>& bytes) {
          if (bytes.ok() && *bytes == content_) ++good;
          if (absl::IsNotFound(bytes.status())) ++missing;
        });
  EXPECT_OK(WaitFor("all of them", [&] { return good + missing == 40; }));
  EXPECT_EQ(good, 20);
}

TEST_F(SwarmTest, AMissingProgramIsAnError) {
  FetchOptions options;
  options.program = dir_.File("nothing");
  options.state_dir = dir_.File("state");
  EXPECT_THAT(FetchProcess::Open(options), FailsBecause("io_not_found"));
}

}  // namespace
}  // namespace shoal::dht
