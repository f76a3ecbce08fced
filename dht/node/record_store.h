// A storage node's records on disk: what a receipt promises.
//
// One thread writes: it takes everything that is waiting, puts it into one
// batch, syncs once, and only then answers (group commit). Column families:
//
//   records   digest → sequence (8) ‖ expires (8, seconds) ‖ its key in
//             by_place (93) ‖ record bytes
//   arrival   sequence (8) → kind (1) ‖ expires (8) ‖ digest (32)
//   by_place  place (20) ‖ kind (1) ‖ writer (32) ‖ version (8) ‖ digest
//             → bytes (8)
//   due       time (8, seconds) ‖ digest → "": deleted by the first Sweep after
//   meta      store_id, last_sequence, credential/DIGEST, cursor/NODE
//
// Numbers are big endian. A sequence number is never given twice, also not
// after its record was deleted.
#ifndef SHOAL_DHT_NODE_RECORD_STORE_H_
#define SHOAL_DHT_NODE_RECORD_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "dht/records/record.h"
#include "shoal/records/v1/credential.pb.h"
#include "shoal/records/v1/record.pb.h"

namespace shoal::dht::node {

// What one writer may have on this node at a time (T43).
struct WriterQuota {
  uint64_t records = 0;
  uint64_t bytes = 0;
};

struct RecordStoreOptions {
  WriterQuota device{20'000, 64u << 20};
  // A key that pairs may write one place, once or twice.
  WriterQuota claim{16, 64u << 10};
  // A key that asks to be let in, by a door or with a factory credential.
  WriterQuota applicant{4, 32u << 10};
  WriterQuota node{100'000, 64u << 20};
  WriterQuota oper{100'000, 256u << 20};
  WriterQuota director{10'000'000, uint64_t{16} << 30};
  // Of all records together; beyond it nothing new is taken: "store_full".
  uint64_t max_bytes = uint64_t{64} << 30;
  // How long a version stays after a newer one of the same writer came, for
  // kinds of which only the newest counts.
  absl::Duration superseded_grace = absl::Minutes(10);
  // Waiting records beyond this are refused: "busy".
  size_t max_queue = 8192;
  // Tests only.
  bool in_memory = false;
};

enum class Source {
  kNetwork,  // a writer's put
  // Another storage node's copy. It has passed a quota there, so twice the
  // quota is allowed: nodes count alike but not at the same moment. A version
  // that is superseded here already is not taken: "superseded".
  kRepair,
};

struct RecordStoreStats {
  uint64_t records = 0;
  uint64_t bytes = 0;
  uint64_t last_sequence = 0;
  uint64_t refused = 0;  // by quota, size or queue
  uint64_t commits = 0;  // synced batches
};

// Thread-safe.
class RecordStore {
 public:
  // The store's errors (common/kv). Counts every writer's usage: reads the
  // whole index once. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<RecordStore>> Open(
      const std::string& path, const RecordStoreOptions& options, Clock& clock);
  ~RecordStore();  // writes what is waiting, then ends its thread

  // Calls `done` on the store's own thread after the record is on disk (OK
  // also when it was there already), or with why it is not: "quota_exceeded",
  // "store_full", "busy" (kResourceExhausted), "expired_record" (also: it lives
  // longer than its kind may, KeepUntil), "superseded", "future_record" (repair
  // alone: issued more than a day from now) (kFailedPrecondition), "disk_full"
  // or another error of the store. `done` must not block; it may be called
  // before Add returns.
  void Add(VerifiedRecord record, Source source,
           std::function<void(absl::Status)> done);
  absl::Status AddBlocking(VerifiedRecord record, Source source);

  // A quick look at quotas and free space, without the disk: whether Add would
  // refuse. What is waiting is not counted.
  absl::Status MayAdd(const VerifiedRecord& record) const;

  // After everything that was added before is on disk or refused: until when
  // the record is kept; kNotFound "not_stored". On the store's thread.
  void Confirm(std::string digest,
               std::function<void(absl::StatusOr<absl::Time>)> reply);

  // On disk and not expired.
  bool Has(std::string_view digest) const;
  absl::StatusOr<std::optional<std::string>> Get(std::string_view digest) const;

  // The serialised records of one kind at a place, highest version first; at
  // most `max` of those that `accept` takes (none: all). Of each writer the
  // newest 64 are looked at: what a former member left behind, however much
  // and under whatever numbers, hides nothing of another's.
  using Accept = std::function<bool(const std::string& bytes)>;
  absl::StatusOr<std::vector<std::string>> AtPlace(
      std::string_view place, records::v1::RecordKind kind, size_t max = 256,
      const Accept& accept = nullptr) const;

  // Records with a sequence number above `cursor` in order of arrival, of
  // `kinds` (empty: all), at most `max` and about 1 MiB. Returns the cursor
  // up to which everything was looked at.
  struct Entry {
    uint64_t sequence = 0;
    std::string bytes;
  };
  absl::StatusOr<uint64_t> Read(
      uint64_t cursor, const std::vector<records::v1::RecordKind>& kinds,
      size_t max, std::vector<Entry>* entries) const;
  // Until something arrived above `cursor`; false after `timeout`.
  bool WaitBeyond(uint64_t cursor, absl::Duration timeout) const;

  // Deletes what is due; returns how many records.
  absl::StatusOr<uint64_t> Sweep();

  // Random, made with the store: 16 bytes. Cursors of another store_id mean
  // nothing here.
  const std::string& store_id() const;

  // Credentials that full records carried, for records that only name them.
  absl::Status PutCredential(std::string_view digest,
                             const records::v1::Credential& credential);
  absl::StatusOr<std::optional<records::v1::Credential>> GetCredential(
      std::string_view digest) const;

  // How far another node's stream was read.
  struct PeerCursor {
    std::string store_id;
    uint64_t cursor = 0;
  };
  absl::StatusOr<PeerCursor> GetPeerCursor(std::string_view node) const;
  absl::Status PutPeerCursor(std::string_view node, const PeerCursor& cursor);
  absl::Status ForgetPeerCursors();

  RecordStoreStats Stats() const;

 private:
  struct Impl;
  explicit RecordStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Kinds of which only the newest version of a writer at a place counts.
bool OnlyNewestCounts(records::v1::RecordKind kind);

}  // namespace shoal::dht::node

#endif  // SHOAL_DHT_NODE_RECORD_STORE_H_
