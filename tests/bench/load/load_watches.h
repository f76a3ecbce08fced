// Many streams that stay open, none of which costs this program a thread.
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_WATCHES_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_WATCHES_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/load/load_report.h"

namespace shoal::bench {

class LoadWatches {
 public:
  // `count` streams over the channels in turn: a fifth of them watch the
  // devices of one site each, the others the rollout.
  LoadWatches(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
              const std::string& rollout, uint32_t count, uint32_t sites,
              LoadReport& report);
  ~LoadWatches();  // hangs up

  uint32_t open() const;      // that have got an answer and were not ended
  uint64_t messages() const;  // in all

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_WATCHES_H_
