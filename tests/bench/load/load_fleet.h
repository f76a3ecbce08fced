// A real shoald with a large fleet in its store, real storage nodes, and feeds:
// nodes of the directory whose records this program hands out (load_feed.h).
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_FLEET_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_FLEET_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/load/load_feed.h"
#include "tests/support/process_harness.h"
#include "tests/support/temp_dir.h"

namespace shoal::bench {

struct LoadOptions {
  uint32_t devices = 20'000;
  uint32_t rate = 5'000;  // outcomes a second
  uint32_t seconds = 30;
  uint32_t feeds = 3;  // each hands out every outcome
  uint32_t callers = 8;
  uint32_t pause_ms = 20;  // of a caller between two calls
  uint32_t watches = 1'000;
  uint32_t operators = 40;  // that open the watches
};

// Says what went wrong and ends the program.
void Check(const absl::Status& status, const std::string& what);

class LoadFleet {
 public:
  explicit LoadFleet(const LoadOptions& options);

  // Trust, operators, devices in the store, shoald, nodes, feeds, release 2.0.
  void Start();
  // Operator `number`'s own connection.
  std::shared_ptr<grpc::Channel> Channel(uint32_t number);
  // Feeds hand out `records` from now on, `rate` a second.
  void Feed(const std::vector<SharedRecord>& records, uint32_t rate);
  // The most that one of the feeds has handed out.
  size_t Handed() const;

  std::string Path(const std::string& name) const { return dir_.File(name); }
  const std::string& fleet_id() const { return fleet_id_; }
  testing::HarnessProcess& shoald() { return *shoald_; }

 private:
  void Must(std::vector<std::string> arguments);
  void Sign(std::vector<std::string> arguments);
  void Shoal(std::vector<std::string> arguments);
  std::string Read(const std::string& name);
  void MakeTrust();
  void StartPlane();
  void StartNodes();

  const LoadOptions options_;
  testing::TempDir dir_;
  std::string fleet_id_;  // 32 bytes
  int starts_ = 0;
  std::unique_ptr<testing::HarnessProcess> shoald_;
  std::vector<std::unique_ptr<testing::HarnessProcess>> nodes_;
  std::vector<std::unique_ptr<LoadFeed>> feeds_;
};

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_FLEET_H_
