// Work in units on several threads, results in order, in bounded memory.
#ifndef SHOAL_DELTA_MAKE_UNIT_POOL_H_
#define SHOAL_DELTA_MAKE_UNIT_POOL_H_

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace shoal::delta {

// Makes units on several threads and hands them out in order. At most two
// finished units a thread wait to be taken, so that memory stays bounded.
template <typename UnitResult>
class UnitPool {
 public:
  using Work = std::function<UnitResult(size_t)>;
  UnitPool(size_t units, int threads, Work work)
      : results_(units), work_(std::move(work)) {
    const size_t count = std::min<size_t>(static_cast<size_t>(threads), units);
    ahead_ = count * 2;
    for (size_t i = 0; i < count; ++i)
      threads_.emplace_back([this] { RunWorker(); });
  }
  ~UnitPool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& t : threads_) t.join();
  }
  // Blocks until unit number `i` is made; i = 0, 1, 2 … once each.
  UnitResult Take(size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return results_[i] != nullptr; });
    UnitResult result = std::move(*results_[i]);
    results_[i].reset();
    taken_ = i + 1;
    changed_.notify_all();
    return result;
  }

 private:
  void RunWorker() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] {
        return stop_ || next_ >= results_.size() || next_ < taken_ + ahead_;
      });
      if (stop_ || next_ >= results_.size()) return;
      const size_t i = next_++;
      lock.unlock();
      auto result = std::make_unique<UnitResult>(work_(i));
      lock.lock();
      results_[i] = std::move(result);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<UnitResult>> results_;
  Work work_;
  size_t ahead_ = 0, next_ = 0, taken_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace shoal::delta

#endif  // SHOAL_DELTA_MAKE_UNIT_POOL_H_
