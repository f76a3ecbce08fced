// Which deltas the plane makes, by what devices report that they can take.
#include "server/release/deltas.h"

#include <filesystem>
#include <fstream>
#include <random>

#include "common/bytes.h"
#include "delta/image/image_map.h"
#include "rules/delta_abilities.h"
#include "tests/unit/delta/delta_test_support.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

constexpr uint64_t kMiB = 1u << 20;

class DeltasTest : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    ReadReports();
    EnrollNode("n1");
    std::mt19937 random(7);
    std::string image(200000, 0);
    for (char& c : image) c = static_cast<char>(random());
    from_ = MakeRelease("1.0", image);
    image[100000] ^= 1;
    to_ = MakeRelease("2.0", image);
  }
  void TearDown() override {
    store_->Shutdown();  // wakes the worker
    deltas_->Stop();
  }
  // The device runs release 1.0 and says what it can do.
  void Report(const TestDevice& device, uint64_t version,
              const std::map<std::string, std::string>& inventory) {
    records::v1::DeviceReport report;
    report.set_device_type("gateway");
    report.set_running_sha256(*HexDecode(from_.release().sha256()));
    report.set_running_version("1.0");
    for (const auto& [name, value] : inventory)
      (*report.mutable_inventory())[name] = value;
    ASSERT_OK(Take({DeviceRecord(device, records::v1::RECORD_KIND_DEVICE_REPORT,
                                 writer_->places().DeviceReport(device.id),
                                 version, report.SerializeAsString())}));
  }
  release::v1::Delta WaitForDelta() {
    for (int rounds = 0; rounds < 100; ++rounds) {
      const uint64_t seen = store_->revision();
      auto progress = deltas_->ProgressOf({to_, ""});
      EXPECT_OK(progress);
      if (progress.ok() && progress->made == 1 &&
          progress->index.deltas_size() == 1)
        return progress->index.deltas(0);
      store_->WaitForChange(seen, absl::Seconds(1));
    }
    ADD_FAILURE() << "no delta in 100 changes or seconds";
    return {};
  }
  // Waits for the worker to have tried so often that the pair's delta stands
  // there with a failure and is tried again after `now` + `pause`.
  release::v1::ReleaseDelta WaitForFailure(absl::Duration pause) {
    for (int rounds = 0; rounds < 100; ++rounds) {
      const uint64_t seen = store_->revision();
      auto list = deltas_->List(to_.release().name());
      EXPECT_OK(list);
      if (list.ok() && list->deltas_size() == 1 &&
          list->deltas(0).retry_at() ==
              absl::ToUnixMillis(clock_.WallNow() + pause))
        return list->deltas(0);
      store_->WaitForChange(seen, absl::Seconds(1));
    }
    ADD_FAILURE() << "no failure in 100 changes or seconds";
    return {};
  }
  std::string FromPath() {
    return blobs_->PathOf(*HexDecode(from_.release().sha256()));
  }
  bool Incoming() {
    return !std::filesystem::is_empty(dir_.File("plane/incoming"));
  }
  // Wakes the worker.
  void Change(const TestDevice& device) { Report(device, ++report_, {}); }
  void Begin(TestDevice& device) {
    Pair(device);
    Change(device);
    deltas_->SetDemand([this] { return std::vector<DeltaDemand>{{to_, ""}}; });
    deltas_->Start();
  }
  store::ReleaseRow from_, to_;
  uint64_t report_ = 0;
};

TEST_F(DeltasTest, FitWhatTheDevicesCanTakeAndAreMadeAgainWhenTheyNoLongerDo) {
  TestDevice device;
  Pair(device);
  Report(device, 1, {});
  deltas_->SetDemand([this] { return std::vector<DeltaDemand>{{to_, ""}}; });
  deltas_->Start();
  const release::v1::Delta usual = WaitForDelta();
  EXPECT_EQ(usual.mode(), "sdelta1");
  EXPECT_GT(usual.memory(), 2 * kMiB);

  std::map<std::string, std::string> inventory;
  rules::TellDeltaAbilities({true, true, 2 * kMiB}, inventory);
  Report(device, 2, inventory);
  const release::v1::Delta small = WaitForDelta();
  EXPECT_EQ(small.mode(), "sdelta1");
  EXPECT_LE(small.memory(), 2 * kMiB);

  inventory.clear();
  rules::TellDeltaAbilities({false, true, 8 * kMiB}, inventory);
  Report(device, 3, inventory);
  EXPECT_EQ(WaitForDelta().mode(), "bsdiff40");

  inventory.clear();
  rules::TellDeltaAbilities({false, false, {}}, inventory);
  Report(device, 4, inventory);
  ASSERT_OK_AND_ASSIGN(const auto progress, deltas_->ProgressOf({to_, ""}));
  EXPECT_EQ(progress.wanted, 0u);
}

// Devices with another library than the plane's get deltas without its blocks,
// those that tell no tools get what needs none, and what an older plane made is
// made again.
TEST_F(DeltasTest, NeedNoToolsThatTheDevicesLack) {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += std::to_string(i * i % 977);
  const auto image = [&](const std::string& name) {
    return name + delta::Gzip(content);
  };
  from_ = MakeRelease("3.0", image("boot 3"));
  content.insert(content.size() / 2, "something new");
  to_ = MakeRelease("4.0", image("boot 4"));
  TestDevice device;
  Pair(device);
  const auto report = [&](const rules::DeltaTools& tools) {
    std::map<std::string, std::string> inventory;
    rules::TellDeltaAbilities({true, true, 8 * kMiB, tools}, inventory);
    Report(device, ++report_, inventory);
  };
  const std::set<std::string> all = delta::CodecLibraries();
  report({delta::kModelVersion, all});
  deltas_->SetDemand([this] { return std::vector<DeltaDemand>{{to_, ""}}; });
  deltas_->Start();
  const release::v1::Delta best = WaitForDelta();
  EXPECT_EQ(best.needs().model(), delta::kModelVersion);
  ASSERT_EQ(best.needs().codecs_size(), 1);
  EXPECT_TRUE(best.needs().codecs(0).starts_with("zlib "))
      << best.ShortDebugString();

  std::set<std::string> other = all;
  other.erase(best.needs().codecs(0));
  other.insert("zlib 9.9");
  report({delta::kModelVersion, other});
  const release::v1::Delta raw = WaitForDelta();
  EXPECT_EQ(raw.needs().model(), delta::kModelVersion);
  EXPECT_EQ(raw.needs().codecs_size(), 0);
  EXPECT_GT(raw.length(), best.length());

  report({});
  const release::v1::Delta plain = WaitForDelta();
  EXPECT_TRUE(plain.has_needs());
  EXPECT_EQ(plain.needs().model(), 0u);

  // As planes of before left it in the store: with another model, and not said.
  report({delta::kModelVersion, all});
  for (const bool said : {true, false}) {
    ASSERT_OK_AND_ASSIGN(const auto pairs, deltas_->Wanted({to_, ""}));
    ASSERT_EQ(pairs.size(), 1u);
    ASSERT_OK_AND_ASSIGN(
        auto row, store_->Get<store::DeltaRow>(kDeltas, DeltaKey(pairs[0])));
    row.mutable_delta()->clear_needs();
    if (said)
      row.mutable_delta()->mutable_needs()->set_model(delta::kModelVersion - 1);
    Transaction tx(*store_);
    tx.Put(kDeltas, DeltaKey(pairs[0]), row);
    ASSERT_OK(tx.Commit());
    EXPECT_EQ(WaitForDelta().needs().model(), delta::kModelVersion);
  }
}

TEST_F(DeltasTest, AnImageThatChangedOnDiskIsToldAndHoldsNoRolloutUp) {
  std::string bytes(200000, 0);
  std::ifstream(FromPath(), std::ios::binary).read(bytes.data(), 200000);
  const std::string good = bytes;
  bytes[7] ^= 1;
  std::ofstream(FromPath(), std::ios::binary) << bytes;
  TestDevice device;
  Begin(device);
  const auto failed = WaitForFailure(absl::Hours(24));
  EXPECT_EQ(failed.state(), release::v1::DELTA_STATE_FAILED);
  EXPECT_EQ(failed.failure(), "hash_mismatch");
  EXPECT_EQ(failed.from_version(), "1.0");
  EXPECT_FALSE(Incoming());
  ASSERT_OK_AND_ASSIGN(const auto progress, deltas_->ProgressOf({to_, ""}));
  EXPECT_EQ(progress.wanted, 1u);
  EXPECT_EQ(progress.made, 1u) << "a rollout starts without it";
  EXPECT_EQ(progress.index.deltas_size(), 0);
  EXPECT_EQ(deltas_->Artifacts()->size(), 0u);
  // Somebody put the right bytes back.
  std::ofstream(FromPath(), std::ios::binary) << good;
  clock_.Advance(absl::Hours(24));
  Change(device);
  EXPECT_GT(WaitForDelta().length(), 0u);
  EXPECT_FALSE(Incoming());
  ASSERT_OK_AND_ASSIGN(const auto list, deltas_->List(to_.release().name()));
  EXPECT_EQ(list.deltas(0).state(), release::v1::DELTA_STATE_MADE);
  EXPECT_EQ(list.deltas(0).failure(), "");
}

TEST_F(DeltasTest, WhatMayPassIsTriedAgainAfterAPauseThatGrows) {
  const std::string aside = dir_.File("aside");
  std::filesystem::rename(FromPath(), aside);
  TestDevice device;
  Begin(device);
  absl::Duration pause = absl::Minutes(1);
  for (uint32_t tries = 1; tries <= 7; ++tries) {
    const auto failed = WaitForFailure(pause);
    EXPECT_EQ(failed.failure(), "io_not_found");
    EXPECT_EQ(failed.state(), release::v1::DELTA_STATE_FAILED);
    EXPECT_FALSE(Incoming());
    ASSERT_OK_AND_ASSIGN(const auto progress, deltas_->ProgressOf({to_, ""}));
    EXPECT_EQ(progress.made, tries < 3 ? 0u : 1u)
        << "a rollout waits for a few tries, not for ever";
    clock_.Advance(pause);
    Change(device);
    pause = std::min(2 * pause, absl::Hours(1));
  }
  WaitForFailure(absl::Hours(1));
  std::filesystem::rename(aside, FromPath());
  clock_.Advance(absl::Hours(1));
  Change(device);
  EXPECT_GT(WaitForDelta().length(), 0u);
}

}  // namespace
}  // namespace shoal::server
