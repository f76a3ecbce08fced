// Carries the outbox to the storage nodes and keeps what was published alive.
// A record leaves the outbox once as many nodes as wanted have it on disk;
// with fewer after half a minute it counts as acknowledged, under-replicated,
// and is tried again in the background. Everything is resumed from the store.
#ifndef SHOAL_SERVER_PUBLISH_PUBLISHER_H_
#define SHOAL_SERVER_PUBLISH_PUBLISHER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "dht/records/network.h"
#include "server/publish/record_writer.h"
#include "server/store/store.h"
#include "server/trust/repository.h"

namespace shoal::server {

inline constexpr absl::Duration kDocumentLifetime = absl::Hours(24 * 30);

// Puts a record; `done` may be called on any thread. Injected, so that tests
// need no network.
using PutRecord =
    std::function<void(std::string record, dht::Network::PutCallback done)>;

class Publisher {
 public:
  // All references outlive it. `renewal`: a timestamp that nothing else changed
  // with is announced once it is this much younger than the one before, more
  // than 0. `node_count`: storage nodes in the directory; without any nothing
  // is tried.
  Publisher(Store& store, const RecordWriter& writer, TrustRepository& trust,
            absl::Duration renewal, PutRecord put,
            std::function<int()> node_count);
  ~Publisher();  // as Stop()

  void Start();
  void Stop();

  // Queues the records of a change of metadata, or of a renewal
  // (TrustRepository::Apply, Renew), and a Head after them for every device
  // type: it carries the timestamp that devices, and who pairs, go by.
  absl::Status AddPublication(Transaction& tx,
                              const TrustRepository::Changed& changed,
                              const TrustView& view) const;
  // All that is in force: at start, and when the trust changed elsewhere.
  absl::Status PublishCurrent();

  // The outbox's newest row: the barrier of what was queued until now.
  static absl::StatusOr<uint64_t> Barrier(const Transaction& tx);
  // Whether everything up to `barrier` is acknowledged.
  absl::StatusOr<bool> Acknowledged(uint64_t barrier) const;
  // The same, and the Head that announces it is out and acknowledged.
  absl::StatusOr<bool> Published(uint64_t barrier) const;

 private:
  struct Result {
    uint64_t sequence;
    absl::StatusOr<dht::PutResult> result;
  };
  struct Flight {
    bool in_flight = false;
    absl::Duration next_try = absl::ZeroDuration();
    absl::Duration backoff = absl::Seconds(1);
  };
  // Shared with callbacks, which may come after this object's end.
  struct Mailbox {
    std::mutex mutex;
    std::condition_variable arrived;
    std::vector<Result> results;
  };

  absl::Status AddRecords(Transaction& tx,
                          const TrustRepository::Changed& changed,
                          const TrustView& view) const;
  absl::Status AddHead(Transaction& tx) const;
  bool Announced(const Transaction& tx, const TrustView& view) const;

  void Run();
  absl::Status HandleResults();
  absl::Status StartPuts();
  absl::Status SendHead();
  absl::Status RenewOld();

  Store& store_;
  const RecordWriter& writer_;
  TrustRepository& trust_;
  const absl::Duration renewal_;
  const PutRecord put_;
  const std::function<int()> node_count_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  std::map<uint64_t, Flight> flights_;  // the thread's own
  absl::Duration next_renewal_ = absl::ZeroDuration();
  std::thread thread_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_PUBLISH_PUBLISHER_H_
