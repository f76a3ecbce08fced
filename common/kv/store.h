// An ordered key-value store that survives power loss: a thin wrapper over
// RocksDB. Keys and values are byte strings; keys sort as unsigned bytes.
//
//   auto store = kv::Store::Open(dir, {.column_families = {"records"}});
//   kv::WriteBatch batch;
//   batch.Put("records", key, value);
//   SHOAL_RETURN_IF_ERROR((*store)->Write(batch, /*sync=*/true));
//
// Errors have one of the reasons "disk_full", "kv_corrupt" (kDataLoss),
// "kv_busy" (another process has it open), "kv_io", "kv_closed",
// "no_such_column_family" (kInvalidArgument).
#ifndef SHOAL_COMMON_KV_STORE_H_
#define SHOAL_COMMON_KV_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::kv {

// The column family that every store has.
inline constexpr char kDefaultFamily[] = "default";

struct StoreOptions {
  // Made when missing; those of the disk that are not named are opened too.
  std::vector<std::string> column_families = {};
  bool create_if_missing = true;
  // Kept in memory, gone with the object: for tests.
  bool in_memory = false;
  // Bytes of the write buffer of each column family and of the shared cache
  // of blocks.
  uint64_t write_buffer_bytes = 8u << 20;
  uint64_t block_cache_bytes = 16u << 20;
  // Writes are refused with "disk_full" while the file system has less room
  // than this, so that the engine itself (logs, flushes, compactions) never
  // runs out of it: Debian's RocksDB aborts when a log write fails half-way.
  uint64_t min_free_bytes = 64u << 20;
};

// Changes that take effect together. Not thread-safe; may be used again after
// Clear(). A later change of a key wins.
class WriteBatch {
 public:
  void Put(std::string_view cf, std::string_view key, std::string_view value);
  void Delete(std::string_view cf, std::string_view key);
  // All keys in [from, to).
  void DeleteRange(std::string_view cf, std::string_view from,
                   std::string_view to);
  void Clear() { operations_.clear(); }
  bool empty() const { return operations_.empty(); }
  size_t size() const { return operations_.size(); }

 private:
  friend class Store;
  enum class Op { kPut, kDelete, kDeleteRange };
  struct Operation {
    Op op;
    std::string cf;
    std::string key;
    std::string value;
  };
  std::vector<Operation> operations_;
};

// Sees a key and its value; false ends the scan. The views are valid during
// the call only. May read and write the same store.
using ScanCallback =
    std::function<bool(std::string_view key, std::string_view value)>;

// The store as it was at one moment. Must end before its Store. Thread-safe.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual absl::StatusOr<std::optional<std::string>> Get(
      std::string_view cf, std::string_view key) const = 0;
  virtual absl::Status Scan(std::string_view cf, std::string_view from,
                            std::string_view prefix,
                            const ScanCallback& callback) const = 0;
  virtual absl::Status ScanBackward(std::string_view cf,
                                    std::string_view before,
                                    std::string_view prefix,
                                    const ScanCallback& callback) const = 0;
};

// Thread-safe.
class Store {
 public:
  // Opens or makes the store in the directory `path`; one process at a time.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const std::string& path, const StoreOptions& options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // nullopt: no such key.
  absl::StatusOr<std::optional<std::string>> Get(std::string_view cf,
                                                 std::string_view key) const;

  // All of `batch` or nothing. With `sync` it is on disk on return (fsync of
  // the log); without, it survives a crash of the process but perhaps not of
  // the machine, and a later synced write makes it durable too.
  absl::Status Write(const WriteBatch& batch, bool sync);

  // Keys that start with `prefix` and are not below `from` (both may be
  // empty), in order, as of the moment of the call.
  absl::Status Scan(std::string_view cf, std::string_view from,
                    std::string_view prefix,
                    const ScanCallback& callback) const;
  // The same from the end: keys below `before` (empty: no bound), descending.
  absl::Status ScanBackward(std::string_view cf, std::string_view before,
                            std::string_view prefix,
                            const ScanCallback& callback) const;

  std::unique_ptr<Snapshot> TakeSnapshot() const;

  // A copy of the whole store as of now in the new directory `path` (which
  // must not exist), openable with Open(). Files are hard links where the file
  // system allows. "already_exists" when it does exist.
  absl::Status Backup(const std::string& path) const;

  // About how many keys a column family holds, and bytes on disk of all.
  absl::StatusOr<uint64_t> EstimateKeys(std::string_view cf) const;
  absl::StatusOr<uint64_t> DiskBytes() const;

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The smallest key above all keys that start with `prefix`; empty: none.
std::string PrefixEnd(std::string_view prefix);

}  // namespace shoal::kv

#endif  // SHOAL_COMMON_KV_STORE_H_
