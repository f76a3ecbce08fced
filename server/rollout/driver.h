// Moves rollouts on: deltas → signed document → published → phases → end. One
// thread; each step is one durable change, so it goes on after a crash where
// the store says it was.
#ifndef SHOAL_SERVER_ROLLOUT_DRIVER_H_
#define SHOAL_SERVER_ROLLOUT_DRIVER_H_

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "rules/parallel.h"
#include "rules/progress.h"
#include "server/rollout/delta_demand.h"
#include "server/rollout/rollouts.h"

namespace shoal::server {

class RolloutDriver {
 public:
  struct Mirrors {
    uint32_t complete = 0;  // nodes that hold all of them
    uint32_t wanted = 0;    // min(2, nodes)
  };
  // How many storage nodes hold all of these (32-byte digests).
  using CountMirrors =
      std::function<Mirrors(const std::vector<std::string>& digests)>;

  RolloutDriver(Store& store, Rollouts& rollouts, Releases& releases,
                Deltas& deltas, Devices& devices, TrustRepository& trust,
                Publisher& publisher, CountMirrors mirrors);
  ~RolloutDriver();
  // `informed`: what the storage nodes hold was read, halts and outcomes of the
  // time that the plane was away included. Until it says so, for 15 seconds at
  // most, no phase is opened.
  void Start(std::function<bool()> informed = nullptr);
  void Stop();  // ends by Store::Shutdown()

  // One look at every live rollout; for tests and the thread.
  absl::Status Step();

 private:
  absl::Status StepOne(const store::RolloutRow& row);
  absl::Status Prepare(const store::RolloutRow& row);
  absl::Status AwaitPublication(const store::RolloutRow& row);
  absl::Status Advance(const store::RolloutRow& row, rules::PlaneView view);
  // What gates are judged by, as it is now.
  absl::StatusOr<rules::PlaneView> ViewOf(const store::RolloutRow& row) const;
  // Ends it where that is due, whatever its state: superseded, expired, too
  // many failures. True: it did.
  absl::StatusOr<bool> EndIfDue(const store::RolloutRow& row,
                                const rules::PlaneView& view);
  // True when it signed deltas that were made after the start.
  absl::StatusOr<bool> JoinLateDeltas(const store::RolloutRow& row);
  // Signs the next version of the document in one change with the row.
  absl::Status Sign(const store::RolloutRow& seen,
                    std::function<void(store::RolloutRow&)> change,
                    const DeltaIndexes* indexes);
  absl::Status SetMessage(const store::RolloutRow& row,
                          const std::string& message);
  // One change of the row without a signature, unless it changed meanwhile.
  absl::Status Change(const store::RolloutRow& row,
                      const std::function<void(store::RolloutRow&)>& change);
  absl::Status End(const store::RolloutRow& row,
                   rollout::v1::RolloutState state, const std::string& message);
  // For max_parallel; empty without it.
  absl::StatusOr<std::vector<rules::ParallelMember>> Members(
      const store::RolloutRow& row);
  // True when it signed a version that admits more, or says again whom it
  // admitted.
  absl::StatusOr<bool> AdmitMore(const store::RolloutRow& row);
  // When a rollout's devices are looked through again: for who has not answered,
  // where the numbers say that all have and where they don't; and for whom to
  // admit.
  struct Looks {
    absl::Duration next, next_slow, admit;
  };
  Looks& LooksAt(const std::string& rollout);
  // May it end because all have answered? Asked again after a while only.
  absl::StatusOr<bool> MayFinish(const store::RolloutRow& row, bool by_numbers);
  Store& store_;
  Rollouts& rollouts_;
  Releases& releases_;
  Deltas& deltas_;
  Devices& devices_;
  TrustRepository& trust_;
  Publisher& publisher_;
  const CountMirrors mirrors_;
  std::map<std::string, Looks> looks_;
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_ROLLOUT_DRIVER_H_
