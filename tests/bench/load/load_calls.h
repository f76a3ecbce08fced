// Callers of unary methods, each a thread that calls, pauses, calls again.
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_CALLS_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_CALLS_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/bench/load/load_report.h"

namespace shoal::bench {

class LoadCalls {
 public:
  // Lists devices with and without a filter, gets rollout and devices, lists
  // rollouts and outcomes, in turn.
  LoadCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
            std::string rollout, std::chrono::milliseconds pause,
            LoadReport& report);
  ~LoadCalls();  // ends them

 private:
  void Run(const std::shared_ptr<grpc::Channel>& channel, uint32_t seed);
  const std::string rollout_;
  const std::chrono::milliseconds pause_;
  LoadReport& report_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_CALLS_H_
