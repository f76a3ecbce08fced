// What the bench measured: times by call, refusals by status and reason, and
// what shoald took of the machine.
#ifndef SHOAL_TESTS_BENCH_LOAD_LOAD_REPORT_H_
#define SHOAL_TESTS_BENCH_LOAD_LOAD_REPORT_H_

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace shoal::bench {

// Thread-safe.
class LoadReport {
 public:
  void Took(const std::string& call, double milliseconds);
  // "CODE reason" of a call that was refused.
  void Refused(const std::string& call, const grpc::Status& status,
               const grpc::ClientContext& context);
  // Forgets the times, keeps the refusals.
  void Restart();
  void Print(const std::string& title);

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<double>> times_;
  std::map<std::string, uint64_t> refused_;
};

struct Usage {
  double cpu_seconds = 0;
  double resident_mb = 0;
  double peak_mb = 0;
  long threads = 0;
};
Usage UsageOf(pid_t pid);

}  // namespace shoal::bench

#endif  // SHOAL_TESTS_BENCH_LOAD_LOAD_REPORT_H_
