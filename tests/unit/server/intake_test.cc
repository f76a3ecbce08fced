// Records that all nodes send at about the same time.
#include "server/pull/intake.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "server/store/state.pb.h"
#include "tests/unit/server/plane_fixture.h"

namespace shoal::server {
namespace {

using ::shoal::testing::FailsBecause;

// Outcomes of devices that need no fleet: the resolver counts who is asked for,
// which is once for each signature that is verified.
class SharedIntake : public PlaneTest {
 protected:
  void SetUp() override {
    PlaneTest::SetUp();
    device_.id = std::string(16, 'd');
    shared_ = std::make_unique<Intake>(
        *store_, writer_->fleet_id(), writer_->places(),
        [this](const dht::RecordBody&,
               absl::Time) -> absl::StatusOr<dht::Writer> {
          ++verified_;
          return dht::Writer{records::v1::WRITER_CLASS_DEVICE, device_.id,
                             device_.key.public_key()};
        });
    shared_->Handle(records::v1::RECORD_KIND_OUTCOME,
                    [this](Transaction&, const dht::VerifiedRecord& record) {
                      if (fail_ > 0 && --fail_ >= 0)
                        return Unavailable("not_now", "later");
                      std::lock_guard lock(mutex_);
                      ++handled_[record.digest];
                      return absl::OkStatus();
                    });
    for (uint64_t i = 1; i <= 300; ++i)
      records_.push_back(OutcomeRecord(device_, "r" + std::to_string(i),
                                       records::v1::OUTCOME_RESULT_SUCCESS,
                                       std::string(32, 'n'), i));
  }
  void ExpectEachHandledOnce() {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(handled_.size(), records_.size());
    for (const auto& [digest, times] : handled_) EXPECT_EQ(times, 1);
  }
  uint64_t CursorOf(const std::string& node) {
    const auto row = store_->Get<store::CursorRow>(kCursors, node);
    return row.ok() ? row->cursor() : 0;
  }
  Intake::Position At(const std::string& node) const {
    return {.node = node, .store_id = "s", .cursor = records_.size()};
  }

  TestDevice device_;
  std::atomic<int> verified_{0};
  std::atomic<int> fail_{0};
  std::mutex mutex_;
  std::map<std::string, int> handled_;
  std::vector<std::string> records_;
  std::unique_ptr<Intake> shared_;
};

TEST_F(SharedIntake, ThreeReadersVerifyAndTakeEachRecordOnce) {
  std::latch together(3);
  std::vector<std::thread> readers;
  for (const char* node : {"one", "two", "three"})
    readers.emplace_back([&, node] {
      together.arrive_and_wait();
      EXPECT_OK(shared_->Take(records_, At(node)));
      // What Take has said yes to is in the store, whoever put it there.
      for (const std::string& record : records_)
        EXPECT_TRUE(store_->Has(kSeen, dht::RecordDigest(record)));
      EXPECT_EQ(CursorOf(node), records_.size());
    });
  for (std::thread& reader : readers) reader.join();
  ExpectEachHandledOnce();
  EXPECT_EQ(verified_, static_cast<int>(records_.size()));
}

TEST_F(SharedIntake, WhatOneCouldNotStoreTheOthersTake) {
  fail_ = 1;
  std::latch together(3);
  std::atomic<int> failed{0};
  std::vector<std::thread> readers;
  for (const char* node : {"one", "two", "three"})
    readers.emplace_back([&, node] {
      together.arrive_and_wait();
      const absl::Status taken = shared_->Take(records_, At(node));
      if (taken.ok()) return;
      ++failed;
      EXPECT_THAT(taken, FailsBecause("not_now"));
      EXPECT_EQ(CursorOf(node), 0u);
      EXPECT_OK(shared_->Take(records_, At(node)));
    });
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(failed, 1);
  ExpectEachHandledOnce();
}

TEST_F(SharedIntake, ARecordThatComesTwiceInABatchIsTakenOnce) {
  records_.resize(3);
  std::vector<std::string> twice = records_;
  twice.insert(twice.end(), records_.begin(), records_.end());
  EXPECT_OK(shared_->Take(twice, At("one")));
  ExpectEachHandledOnce();
  EXPECT_EQ(CursorOf("one"), records_.size());
}

}  // namespace
}  // namespace shoal::server
