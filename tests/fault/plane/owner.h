// One who changes a part of the plane that nobody else changes, remembers what
// was acknowledged, and after a kill says whether all of it is there. At most
// one of its changes is open at a time: that one may have happened or not, but
// not by half.
#ifndef SHOAL_TESTS_FAULT_PLANE_OWNER_H_
#define SHOAL_TESTS_FAULT_PLANE_OWNER_H_

#include <cstdint>
#include <random>

#include "absl/status/status.h"
#include "server/cli/plane_client.h"

namespace shoal::testing {

// The plane went away while it was asked: whether it did it is not known.
inline bool IsLost(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsUnknown(status);
}

// One thread at a time.
class Owner {
 public:
  explicit Owner(uint32_t seed) : random_(seed) {}
  virtual ~Owner() = default;

  // One change. OK: acknowledged, or none was due. What IsLost() stays open;
  // every other error is the test's failure.
  virtual absl::Status Work(cli::PlaneClient& plane) = 0;
  // Fails the running test for everything that is not as acknowledged. Settles
  // what was open.
  virtual void Check(cli::PlaneClient& plane) = 0;

  uint64_t acknowledged() const { return acknowledged_; }

 protected:
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  void Acknowledged() { ++acknowledged_; }

 private:
  std::minstd_rand random_;
  uint64_t acknowledged_ = 0;
};

}  // namespace shoal::testing

#endif  // SHOAL_TESTS_FAULT_PLANE_OWNER_H_
