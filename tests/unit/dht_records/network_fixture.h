// What the tests of Network share.
#ifndef SHOAL_TESTS_UNIT_DHT_RECORDS_NETWORK_FIXTURE_H_
#define SHOAL_TESTS_UNIT_DHT_RECORDS_NETWORK_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dht/records/network.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/dht_records/test_fleet.h"

namespace shoal::dht::testing {

// What a listener heard. The state is shared with the callback, which may
// still run when the test is over.
class Heard {
 public:
  Network::ListenCallback Callback() {
    return [state = state_](const VerifiedRecord& record) {
      std::lock_guard lock(state->mutex);
      state->records.push_back(record.body.payload());
    };
  }
  bool Has(const std::string& payload) const {
    std::lock_guard lock(state_->mutex);
    return std::count(state_->records.begin(), state_->records.end(), payload) >
           0;
  }
  size_t count() const {
    std::lock_guard lock(state_->mutex);
    return state_->records.size();
  }

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::string> records;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class NetworkTest : public ::testing::Test {
 protected:
  std::unique_ptr<Network> Client() {
    auto client = Network::Open(fleet_.Options());
    EXPECT_OK(client);
    return *std::move(client);
  }
  std::string Head(uint64_t version, std::string payload) {
    return fleet_.DirectorRecord(records::v1::RECORD_KIND_HEAD, head_, version,
                                 std::move(payload));
  }
  TestFleet fleet_;
  const std::string head_ = fleet_.places.Head("gateway");
};

}  // namespace shoal::dht::testing

#endif  // SHOAL_TESTS_UNIT_DHT_RECORDS_NETWORK_FIXTURE_H_
