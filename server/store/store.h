// The management plane's durable state. One Transaction is one change: its
// writes reach the disk together (synced) or not at all, and until Commit()
// returns OK nothing of it may be acknowledged to anybody.
//
//   Transaction tx(store);
//   SHOAL_ASSIGN_OR_RETURN(DeviceRow row, tx.Get<DeviceRow>(kDevices, id));
//   …
//   tx.Put(kDevices, id, row);
//   tx.Audit(principal, "device.label", name, "ok");
//   return tx.Commit();
#ifndef SHOAL_SERVER_STORE_STORE_H_
#define SHOAL_SERVER_STORE_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/kv/store.h"
#include "common/status.h"
#include "server/store/tables.h"

namespace google::protobuf {
class MessageLite;
}

namespace shoal::server {

// 2: devices have an index beside them; 3: rollouts have counts of outcomes.
inline constexpr int kSchemaVersion = 3;

class Transaction;
// Completes a change of one row before it is written: what is derived from it.
using RowHook =
    std::function<absl::Status(Transaction& tx, const std::string& key)>;

// The store as it was at one moment, for reads that must fit together. Ends
// before its Store. Thread-safe.
class StoreView {
 public:
  ~StoreView();
  using Visit =
      std::function<bool(std::string_view key, std::string_view value)>;

  // As Store's.
  template <typename T>
  absl::StatusOr<T> Get(std::string_view table, std::string_view key) const {
    T row;
    SHOAL_RETURN_IF_ERROR(GetMessage(table, key, row));
    return row;
  }
  absl::StatusOr<std::optional<std::string>> GetRaw(std::string_view table,
                                                    std::string_view key) const;
  absl::Status ScanRaw(std::string_view table, std::string_view prefix,
                       std::string_view after, const Visit& visit) const;
  // From the last key below `before` (empty: the last of all) downwards.
  absl::Status ScanBackwardRaw(std::string_view table, std::string_view prefix,
                               std::string_view before,
                               const Visit& visit) const;

 private:
  friend class Store;
  explicit StoreView(std::unique_ptr<kv::Snapshot> snapshot);
  absl::Status GetMessage(std::string_view table, std::string_view key,
                          google::protobuf::MessageLite& row) const;
  std::unique_ptr<kv::Snapshot> snapshot_;
};

// Thread-safe. Reads see committed changes only.
class Store {
 public:
  // Takes over the key-value store. kFailedPrecondition "schema_too_new" when
  // a later shoald wrote it. An older one's is brought to this schema by those
  // who derive tables from others, when they are opened.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      std::unique_ptr<kv::Store> kv, Clock& clock);
  ~Store();

  // kNotFound "not_found" without such a row; kDataLoss "bad_row" when it
  // can't be read.
  template <typename T>
  absl::StatusOr<T> Get(std::string_view table, std::string_view key) const {
    T row;
    SHOAL_RETURN_IF_ERROR(GetMessage(table, key, row));
    return row;
  }
  bool Has(std::string_view table, std::string_view key) const;

  // Calls `visit` for the rows whose key starts with `prefix`, in the order of
  // keys, from the first key after `after` on (empty: the first), until it
  // returns false. A consistent view.
  template <typename T>
  absl::Status Scan(
      std::string_view table, std::string_view prefix, std::string_view after,
      std::function<bool(std::string_view key, const T& row)> visit) const {
    absl::Status bad;
    SHOAL_RETURN_IF_ERROR(
        ScanRaw(table, prefix, after,
                [&](std::string_view key, std::string_view value) {
                  T row;
                  bad = Parse(table, key, value, row);
                  return bad.ok() && visit(key, row);
                }));
    return bad;
  }
  absl::Status ScanRaw(
      std::string_view table, std::string_view prefix, std::string_view after,
      std::function<bool(std::string_view key, std::string_view value)> visit)
      const;
  std::unique_ptr<StoreView> View() const;
  // The highest key of a table with SequenceKey()s; 0 when it is empty.
  absl::StatusOr<uint64_t> LastSequence(std::string_view table) const;

  // Counts committed changes. Wakes whoever watches.
  uint64_t revision() const;
  // Waits until revision() differs from `seen` or for `timeout`; answers it.
  uint64_t WaitForChange(uint64_t seen, absl::Duration timeout) const;
  // All waiters return from now on.
  void Shutdown();
  bool shut_down() const;

  // From now on `hook` is called in Commit() for each row of `table` that the
  // change writes or deletes, so that nobody who writes the table can forget
  // what hangs on it. One hook a table; before other threads write.
  void BeforeCommit(std::string_view table, RowHook hook);

  Clock& clock() const { return clock_; }

 private:
  friend class Transaction;
  friend class StoreView;
  Store(std::unique_ptr<kv::Store> kv, Clock& clock);
  absl::Status GetMessage(std::string_view table, std::string_view key,
                          google::protobuf::MessageLite& row) const;
  static absl::Status Parse(std::string_view table, std::string_view key,
                            std::string_view value,
                            google::protobuf::MessageLite& row);

  std::unique_ptr<kv::Store> kv_;
  Clock& clock_;
  std::mutex writer_;  // held by the one Transaction that is open
  mutable std::mutex revision_mutex_;
  mutable std::condition_variable changed_;
  uint64_t revision_ = 1;
  bool shut_down_ = false;
  std::map<std::string, RowHook, std::less<>> hooks_;
};

// One change. Holds the store's only writer lock from construction to the end
// of its life: keep it short, do slow work before. Sees its own writes. One
// thread; never two at once in one thread.
class Transaction {
 public:
  explicit Transaction(Store& store);
  ~Transaction();  // without Commit(): nothing happened
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  template <typename T>
  absl::StatusOr<T> Get(std::string_view table, std::string_view key) const {
    T row;
    SHOAL_RETURN_IF_ERROR(GetMessage(table, key, row));
    return row;
  }
  bool Has(std::string_view table, std::string_view key) const;
  // nullopt: no such row.
  absl::StatusOr<std::optional<std::string>> GetRaw(std::string_view table,
                                                    std::string_view key) const;
  void Put(std::string_view table, std::string_view key,
           const google::protobuf::MessageLite& row);
  void PutRaw(std::string_view table, std::string_view key,
              std::string_view value);
  void Delete(std::string_view table, std::string_view key);
  // A number higher than every key of the sequence table, this transaction's
  // included.
  absl::StatusOr<uint64_t> NextSequence(std::string_view table);
  // The last number given out; 0: none yet.
  absl::StatusOr<uint64_t> CurrentSequence(std::string_view table) const;
  // Appends to the audit log.
  void Audit(std::string_view principal, std::string_view action,
             std::string_view resource, std::string_view result,
             std::string_view detail = "");

  // Who does it, for what is derived: of SetActor() or the last Audit();
  // "device" when neither was called.
  const std::string& actor() const { return actor_; }
  void SetActor(std::string_view actor) { actor_ = std::string(actor); }

  // Runs once the change is on disk, after the writer lock is given back.
  void AfterCommit(std::function<void()> callback);

  // On disk on return. An error leaves the store as it was.
  absl::Status Commit();

  Store& store() const { return store_; }

 private:
  absl::Status GetMessage(std::string_view table, std::string_view key,
                          google::protobuf::MessageLite& row) const;
  Store& store_;
  std::unique_lock<std::mutex> lock_;
  std::map<std::string, std::optional<std::string>, std::less<>> writes_;
  absl::Status RunHooks();
  std::vector<std::function<void()>> after_commit_;
  std::string actor_ = "device";
  absl::Status failure_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_STORE_STORE_H_
