// A writer's durable outbox: a record stays here until storage nodes have it
// on disk (T63).
#ifndef SHOAL_DHT_RECORDS_SPOOL_H_
#define SHOAL_DHT_RECORDS_SPOOL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/files.h"
#include "dht/records/network.h"

namespace shoal::dht {

struct SpoolOptions {
  std::string directory;        // made when missing
  FileSystem* files = nullptr;  // not owned
  Clock* clock = nullptr;       // not owned
  Network* network = nullptr;   // not owned; must outlive the Spool
  size_t max_records = 4096;
  uint64_t max_bytes = 32ull << 20;  // of records
  int max_in_flight = 16;
  // After this time one receipt is enough: the record then counts as
  // acknowledged, under-replicated, and stays for repair until all wanted
  // receipts came or it expires.
  absl::Duration patience = absl::Seconds(30);
  // Pause between tries of one record, doubled up to max_backoff.
  absl::Duration backoff = absl::Seconds(1);
  absl::Duration max_backoff = absl::Minutes(5);
  // Both run on the Spool's own thread and may call its methods, but not its
  // destructor. The record is acknowledged; not called for records that were
  // acknowledged before a restart and are only being repaired.
  std::function<void(const std::string& digest, const PutResult& result)>
      on_acknowledged;
  // The record ran out before any node had it; it is gone from the spool.
  std::function<void(const std::string& digest)> on_expired;
};

// Thread-safe. One Spool per directory at a time.
class Spool {
 public:
  // Reads what an earlier run left and goes on with it. Files that are no
  // records are set aside (*.bad), not deleted.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(SpoolOptions options);
  // Leaves the rest on disk for the next Open.
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Returns once the record is on disk; the network is tried from then on.
  // The same record twice is OK and kept once. kResourceExhausted
  // "spool_full"; kInvalidArgument "bad_record".
  absl::Status Add(std::string record);
  // Forgets a record (replaced by a newer one). OK when it was not there.
  absl::Status Remove(const std::string& digest);
  // Puts other bytes in the place of records that no node has acknowledged:
  // `rewrite` answers them, or nullopt to leave a record as it is. The new one
  // is on disk before the old one goes. How many were replaced.
  absl::StatusOr<int> Rewrite(const std::function<std::optional<std::string>(
                                  const std::string& record)>& rewrite);
  // Tries everything that waits, now: the network came back.
  void Kick();

  bool Contains(const std::string& digest) const;
  size_t pending() const;  // not acknowledged yet
  size_t size() const;     // with those under repair
  uint64_t bytes() const;

 private:
  class Impl;
  explicit Spool(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace shoal::dht

#endif  // SHOAL_DHT_RECORDS_SPOOL_H_
