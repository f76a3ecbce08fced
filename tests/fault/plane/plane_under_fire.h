// shoald is killed with SIGKILL at random moments while its owners change it,
// and started again: what was acknowledged is there, whole, and no rollout is
// where it may not be.
#ifndef SHOAL_TESTS_FAULT_PLANE_PLANE_UNDER_FIRE_H_
#define SHOAL_TESTS_FAULT_PLANE_PLANE_UNDER_FIRE_H_

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/bytes.h"
#include "common/crypto/keyfile.h"
#include "server/identity/plane_keys.h"
#include "tests/bench/load/load_feed.h"
#include "tests/bench/load/load_outcomes.h"
#include "tests/fault/plane/owners.h"
#include "tests/fault/plane/published.h"
#include "tests/integration/server/shoald_fixture.h"

namespace shoal::testing {

class PlaneUnderFire : public ShoaldTest {
 protected:
  // The seed is printed; SHOAL_KILL_SEED sets it.
  void Run(int kills) {
    const char* given = std::getenv("SHOAL_KILL_SEED");
    const uint32_t seed =
        given != nullptr
            ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
            : std::random_device()();
    std::printf("SHOAL_KILL_SEED=%u repeats this run's choices\n", seed);
    std::fflush(stdout);
    SCOPED_TRACE("SHOAL_KILL_SEED=" + std::to_string(seed));
    random_.seed(seed);
    ASSERT_NO_FATAL_FAILURE(Prepare(kills, seed));
    for (int kill = 0; kill < kills; ++kill) {
      SCOPED_TRACE("kill " + std::to_string(kill));
      ASSERT_NO_FATAL_FAILURE(WorkAndKill());
      ASSERT_NO_FATAL_FAILURE(StartAgain());
      for (Owner* owner : owners_) owner->Check(*ann_);
      ASSERT_FALSE(HasFailure()) << shoald_->Log();
    }
    Settle();
  }

 private:
  static constexpr uint32_t kLabelled = 0;
  static constexpr uint32_t kGrouped = 20;
  static constexpr uint32_t kFirstRollouts = 40;

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

  void Prepare(int kills, uint32_t seed) {
    // As the bench does: into the store, while nobody has it open.
    shoald_->Kill(SIGKILL);
    const uint32_t of_rollouts = static_cast<uint32_t>(kills) * 30 + 300;
    ASSERT_OK(
        bench::FillDevices(Path("plane"), kFirstRollouts + 2 * of_rollouts));
    std::vector<ReleaseOwner::Image> images;
    for (int i = 0; i < 3 + kills / 10; ++i) {
      images.push_back(
          {"1." + std::to_string(i),
           "image " + std::to_string(i) +
               std::string(300'000, static_cast<char>('a' + i % 26))});
      ASSERT_OK(
          RealFileSystem().WriteAtomic(Path("image"), images.back().bytes));
      ASSERT_NO_FATAL_FAILURE(
          Sign({"image", "add", "--type", "gateway", "--version",
                images.back().version, "--counter", std::to_string(i + 1),
                "--kdf", "interactive", Path("image")}));
    }
    ASSERT_NO_FATAL_FAILURE(StartAgain());
    // As many as give receipts before a rollout counts as published.
    for (const char* node : {"n1", "n2", "n3"})
      ASSERT_NO_FATAL_FAILURE(StartNode(node));
    ASSERT_NO_FATAL_FAILURE(StartFeed());
    ASSERT_OK_AND_ASSIGN(const std::string metadata,
                         FirmwareRole(images.size()));
    releases_ = std::make_unique<ReleaseOwner>(seed, images, metadata,
                                               Path("plane/public/blobs"));
    ASSERT_OK(releases_->Work(*ann_));
    ASSERT_TRUE(releases_->any());
    ASSERT_OK_AND_ASSIGN(const auto keys, server::LoadPlaneKeys(
                                              Path("plane"), RealFileSystem()));
    places_ = std::make_unique<dht::PlaceNamer>(keys.place_key.view());
    ASSERT_OK_AND_ASSIGN(
        const auto secret,
        crypto::ReadSecretFile(RealFileSystem(), Path("ann/operator.key")));
    ASSERT_OK_AND_ASSIGN(auto halter, crypto::SigningKey::FromSeed(secret));
    halter_ = std::make_unique<crypto::SigningKey>(std::move(halter));
    ASSERT_OK_AND_ASSIGN(const auto trust, ann_->GetTrust());
    ASSERT_OK_AND_ASSIGN(const std::string fleet, HexDecode(trust.fleet_id()));
    const RolloutOwner::Parts parts{.plane_directory = Path("plane"),
                                    .release = "releases/gateway/1.0",
                                    .halter = halter_.get(),
                                    .places = places_.get(),
                                    .fleet_id = fleet,
                                    .feed = feed_.get()};
    labels_ = std::make_unique<LabelOwner>(seed + 1, kLabelled);
    groups_ = std::make_unique<GroupOwner>(seed + 2, kGrouped);
    for (uint32_t i = 0; i < 2; ++i)
      rollouts_.push_back(std::make_unique<RolloutOwner>(
          seed + 3 + i, i == 0 ? "a" : "b", kFirstRollouts + i * of_rollouts,
          parts));
    owners_ = {labels_.get(), groups_.get(), releases_.get(),
               rollouts_[0].get(), rollouts_[1].get()};
  }

  // The outcomes come from a second storage node, which this test is.
  void StartFeed() {
    ASSERT_OK_AND_ASSIGN(const auto trust, ann_->GetTrust());
    ASSERT_NO_FATAL_FAILURE(
        Must({BinPath("shoal-node"), "init", "--data", Path("feed"), "--id",
              "feed", "--fleet", trust.fleet_id()}));
    ASSERT_OK_AND_ASSIGN(const std::string plane, Read("plane/server.crt"));
    ASSERT_OK_AND_ASSIGN(feed_, bench::LoadFeed::Start(Path("feed"), plane));
    ASSERT_NO_FATAL_FAILURE(
        Must({BinPath("shoal"), "--context-dir", Path("ctx"), "node", "enroll",
              "--request", Path("feed/enroll-request.json"), "--out",
              Path("feed/bundle.pb")}));
  }

  // The role's newest file, which names all images.
  absl::StatusOr<std::string> FirmwareRole(size_t images) {
    for (size_t version = images + 2; version > 0; --version) {
      auto text =
          Read("repo/metadata/" + std::to_string(version) + ".fw-gateway.json");
      if (text.ok()) return text;
    }
    return NotFound("no_metadata", "no fw-gateway.json");
  }

  // All owners at work until the plane is gone.
  void WorkAndKill() {
    std::atomic<bool> gone{false};
    std::vector<std::thread> threads;
    for (Owner* owner : owners_)
      threads.emplace_back([&gone, owner, client = Client("ann")] {
        while (!gone) {
          const absl::Status done = owner->Work(*client);
          if (IsLost(done)) return;
          EXPECT_OK(done);
          if (!done.ok()) return;
          // Paces the load; nothing waits for it.
          absl::SleepFor(absl::Milliseconds(5));
        }
      });
    // The moment is the test's input.
    absl::SleepFor(absl::Milliseconds(Below(900)));
    shoald_->Kill(SIGKILL);
    gone = true;
    for (std::thread& thread : threads) thread.join();
  }

  void StartAgain() {
    // Now and then the start itself is cut off.
    if (Below(4) == 0) {
      ASSERT_OK(shoald_->Start());
      absl::SleepFor(absl::Milliseconds(Below(300)));
      shoald_->Kill(SIGKILL);
    }
    ASSERT_OK(shoald_->Start());
    ASSERT_OK(shoald_->WaitForLog("event=ready", absl::Seconds(60)));
    ann_ = Client("ann");
  }

  void Settle() {
    absl::Status finished;
    EXPECT_OK(WaitFor(
        "all rollouts to come to their ends",
        [&] {
          finished.Update(absl::OkStatus());
          finished = rollouts_[0]->Finish(*ann_);
          if (finished.ok()) finished = rollouts_[1]->Finish(*ann_);
          return finished.ok() || HasFailure();
        },
        absl::Seconds(120)))
        << finished;
    uint64_t acknowledged = 0;
    for (Owner* owner : owners_) {
      owner->Check(*ann_);
      EXPECT_GT(owner->acknowledged(), 0u);
      acknowledged += owner->acknowledged();
    }
    ASSERT_OK_AND_ASSIGN(const std::string request,
                         Read("n1/enroll-request.json"));
    const auto json = nlohmann::json::parse(request);
    const auto bundle = [&](const char* snake, const char* camel) {
      return json.contains(snake) ? json[snake].get<std::string>()
                                  : json[camel].get<std::string>();
    };
    ASSERT_OK_AND_ASSIGN(const std::string cert, Read("n1/tls.crt"));
    ASSERT_OK_AND_ASSIGN(const std::string spki, crypto::SpkiSha256(cert));
    crypto::TlsKeyPair caller;
    ASSERT_OK_AND_ASSIGN(caller.cert_pem, Read("ann/tls.crt"));
    ASSERT_OK_AND_ASSIGN(std::string key, Read("ann/tls.key"));
    caller.key_pem = crypto::SecretBytes::TakeFrom(key);
    ASSERT_OK_AND_ASSIGN(
        const size_t documents,
        CheckPublished({bundle("grpc_address", "grpcAddress"), spki}, caller));
    EXPECT_GT(documents, 0u);
    std::printf("%llu changes acknowledged, %zu documents published\n",
                static_cast<unsigned long long>(acknowledged), documents);
  }

  std::minstd_rand random_;
  std::unique_ptr<bench::LoadFeed> feed_;
  std::unique_ptr<dht::PlaceNamer> places_;
  std::unique_ptr<crypto::SigningKey> halter_;
  std::unique_ptr<LabelOwner> labels_;
  std::unique_ptr<GroupOwner> groups_;
  std::unique_ptr<ReleaseOwner> releases_;
  std::vector<std::unique_ptr<RolloutOwner>> rollouts_;
  std::vector<Owner*> owners_;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_FAULT_PLANE_PLANE_UNDER_FIRE_H_
