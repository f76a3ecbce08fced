#include "common/kv/store.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/files.h"
#include "common/status.h"

namespace shoal::kv {
namespace {

rocksdb::Slice ToSlice(std::string_view text) {
  return rocksdb::Slice(text.data(), text.size());
}

std::string_view ToView(const rocksdb::Slice& slice) {
  return std::string_view(slice.data(), slice.size());
}

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = fmt::format("{}: {}", what, status.ToString());
  if (status.IsNoSpace()) {
    return ResourceExhausted("disk_full", message);
  }
  if (status.IsCorruption()) return DataLoss("kv_corrupt", message);
  if (status.IsBusy() || status.IsTryAgain()) {
    return Unavailable("kv_busy", message);
  }
  if (status.IsShutdownInProgress()) return Unavailable("kv_closed", message);
  return Unavailable("kv_io", message);
}

// RocksDB reports a held lock as a plain I/O error on the file LOCK.
absl::Status FromOpen(const rocksdb::Status& status, const std::string& path) {
  const std::string what = fmt::format("open the store {}", path);
  if (status.IsIOError() &&
      status.ToString().find("/LOCK") != std::string::npos) {
    return Unavailable("kv_busy",
                       fmt::format("{}: another process has it open ({})", what,
                                   status.ToString()));
  }
  if (status.IsInvalidArgument()) {
    return NotFound("kv_missing",
                    fmt::format("{}: {}", what, status.ToString()));
  }
  return FromRocks(status, what);
}

absl::StatusOr<std::optional<std::string>> GetFrom(
    rocksdb::DB& db, rocksdb::ColumnFamilyHandle* handle, std::string_view key,
    const rocksdb::Snapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  std::string value;
  const rocksdb::Status status = db.Get(options, handle, ToSlice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  SHOAL_RETURN_IF_ERROR(FromRocks(status, "read"));
  return std::optional<std::string>(std::move(value));
}

absl::Status ScanFrom(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* handle,
                      std::string_view from, std::string_view prefix,
                      const rocksdb::Snapshot* snapshot,
                      const ScanCallback& callback) {
  const std::string end = PrefixEnd(prefix);
  const rocksdb::Slice upper = ToSlice(end);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  if (!end.empty()) options.iterate_upper_bound = &upper;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(options, handle));
  const std::string_view start = from > prefix ? from : prefix;
  for (it->Seek(ToSlice(start)); it->Valid(); it->Next()) {
    if (!callback(ToView(it->key()), ToView(it->value()))) break;
  }
  return FromRocks(it->status(), "scan");
}

absl::Status ScanBackwardFrom(rocksdb::DB& db,
                              rocksdb::ColumnFamilyHandle* handle,
                              std::string_view before, std::string_view prefix,
                              const rocksdb::Snapshot* snapshot,
                              const ScanCallback& callback) {
  std::string bound = PrefixEnd(prefix);
  if (!before.empty() && (bound.empty() || before < bound)) bound = before;
  const rocksdb::Slice lower = ToSlice(prefix);
  const rocksdb::Slice upper = ToSlice(bound);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  if (!prefix.empty()) options.iterate_lower_bound = &lower;
  if (!bound.empty()) options.iterate_upper_bound = &upper;
  std::unique_ptr<rocksdb::Iterator> it(db.NewIterator(options, handle));
  for (it->SeekToLast(); it->Valid(); it->Prev()) {
    if (!callback(ToView(it->key()), ToView(it->value()))) break;
  }
  return FromRocks(it->status(), "scan");
}

}  // namespace

struct Store::Impl {
  std::string path;
  uint64_t min_free_bytes = 0;
  std::unique_ptr<rocksdb::Env> memory;  // before db: outlives it
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<rocksdb::DB> db;
  std::map<std::string, rocksdb::ColumnFamilyHandle*, std::less<>> families;

  ~Impl() {
    for (auto& [name, handle] : families) {
      if (db) db->DestroyColumnFamilyHandle(handle);
    }
  }

  absl::Status CheckRoom() const {
    if (memory != nullptr) return absl::OkStatus();
    struct statvfs room;
    if (statvfs(path.c_str(), &room) != 0) {
      return ErrnoError(errno, "statvfs " + path);
    }
    if (uint64_t{room.f_bavail} * room.f_frsize < min_free_bytes) {
      return ResourceExhausted("disk_full",
                               fmt::format("less than {} free at {}",
                                           HumanBytes(min_free_bytes), path));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<rocksdb::ColumnFamilyHandle*> Family(
      std::string_view name) const {
    const auto it = families.find(name);
    if (it == families.end()) {
      return InvalidArgument("no_such_column_family",
                             fmt::format("no column family '{}'", name));
    }
    return it->second;
  }
};

namespace {

class RocksSnapshot final : public Snapshot {
 public:
  using FindFamily = std::function<absl::StatusOr<rocksdb::ColumnFamilyHandle*>(
      std::string_view)>;
  RocksSnapshot(rocksdb::DB& db, FindFamily find)
      : db_(db), find_(std::move(find)), snapshot_(db.GetSnapshot()) {}
  ~RocksSnapshot() override { db_.ReleaseSnapshot(snapshot_); }

  absl::StatusOr<std::optional<std::string>> Get(
      std::string_view cf, std::string_view key) const override {
    SHOAL_ASSIGN_OR_RETURN(auto* handle, find_(cf));
    return GetFrom(db_, handle, key, snapshot_);
  }
  absl::Status Scan(std::string_view cf, std::string_view from,
                    std::string_view prefix,
                    const ScanCallback& callback) const override {
    SHOAL_ASSIGN_OR_RETURN(auto* handle, find_(cf));
    return ScanFrom(db_, handle, from, prefix, snapshot_, callback);
  }
  absl::Status ScanBackward(std::string_view cf, std::string_view before,
                            std::string_view prefix,
                            const ScanCallback& callback) const override {
    SHOAL_ASSIGN_OR_RETURN(auto* handle, find_(cf));
    return ScanBackwardFrom(db_, handle, before, prefix, snapshot_, callback);
  }

 private:
  rocksdb::DB& db_;
  FindFamily find_;
  const rocksdb::Snapshot* snapshot_;
};

rocksdb::Options MakeOptions(const StoreOptions& options,
                             const std::shared_ptr<rocksdb::Cache>& cache,
                             rocksdb::Env* env) {
  rocksdb::Options rocks;
  if (env != nullptr) rocks.env = env;
  rocks.create_if_missing = options.create_if_missing;
  rocks.create_missing_column_families = true;
  rocks.write_buffer_size = options.write_buffer_bytes;
  rocks.max_background_jobs = 2;
  rocks.keep_log_file_num = 2;
  rocks.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  rocks.max_total_wal_size = 8 * options.write_buffer_bytes;
  // What was synced is whole; only an unsynced tail may be torn. Damage in
  // the middle is an error, never a silent loss of what was acknowledged.
  rocks.wal_recovery_mode =
      rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  rocks.bytes_per_sync = 1 << 20;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  // Most keys that are looked for are not there: records that are new.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  rocks.memtable_prefix_bloom_size_ratio = 0.1;
  rocks.memtable_whole_key_filtering = true;
  rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return rocks;
}

}  // namespace

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(
    const std::string& path, const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->min_free_bytes = options.min_free_bytes;
  if (options.in_memory) {
    impl->memory.reset(rocksdb::NewMemEnv(rocksdb::Env::Default()));
  } else if (options.create_if_missing) {
    SHOAL_RETURN_IF_ERROR(RealFileSystem().MakeDirectories(path, 0700));
  }
  impl->cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  const rocksdb::Options rocks =
      MakeOptions(options, impl->cache, impl->memory.get());

  std::vector<std::string> names;
  // A new store has none to list: that error is not one.
  (void)rocksdb::DB::ListColumnFamilies(rocks, path, &names).ok();
  const auto want = [&names](const std::string& name) {
    for (const std::string& have : names) {
      if (have == name) return;
    }
    names.push_back(name);
  };
  want(kDefaultFamily);
  for (const std::string& name : options.column_families) want(name);

  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) {
    descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions(rocks));
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(rocks, path, descriptors, &handles, &db);
  if (!status.ok()) return FromOpen(status, path);
  impl->db.reset(db);
  for (size_t i = 0; i < names.size(); ++i) {
    impl->families[names[i]] = handles[i];
  }
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

absl::StatusOr<std::optional<std::string>> Store::Get(
    std::string_view cf, std::string_view key) const {
  SHOAL_ASSIGN_OR_RETURN(auto* handle, impl_->Family(cf));
  return GetFrom(*impl_->db, handle, key, nullptr);
}

absl::Status Store::Write(const WriteBatch& batch, bool sync) {
  SHOAL_RETURN_IF_ERROR(impl_->CheckRoom());
  rocksdb::WriteBatch rocks;
  for (const WriteBatch::Operation& operation : batch.operations_) {
    SHOAL_ASSIGN_OR_RETURN(auto* handle, impl_->Family(operation.cf));
    rocksdb::Status status;
    switch (operation.op) {
      case WriteBatch::Op::kPut:
        status = rocks.Put(handle, operation.key, operation.value);
        break;
      case WriteBatch::Op::kDelete:
        status = rocks.Delete(handle, operation.key);
        break;
      case WriteBatch::Op::kDeleteRange:
        status = rocks.DeleteRange(handle, operation.key, operation.value);
        break;
    }
    SHOAL_RETURN_IF_ERROR(FromRocks(status, "batch"));
  }
  rocksdb::WriteOptions options;
  options.sync = sync;
  const rocksdb::Status status = impl_->db->Write(options, &rocks);
  return FromRocks(status, "write");
}

absl::Status Store::Scan(std::string_view cf, std::string_view from,
                         std::string_view prefix,
                         const ScanCallback& callback) const {
  SHOAL_ASSIGN_OR_RETURN(auto* handle, impl_->Family(cf));
  return ScanFrom(*impl_->db, handle, from, prefix, nullptr, callback);
}

absl::Status Store::ScanBackward(std::string_view cf, std::string_view before,
                                 std::string_view prefix,
                                 const ScanCallback& callback) const {
  SHOAL_ASSIGN_OR_RETURN(auto* handle, impl_->Family(cf));
  return ScanBackwardFrom(*impl_->db, handle, before, prefix, nullptr,
                          callback);
}

std::unique_ptr<Snapshot> Store::TakeSnapshot() const {
  const Impl* impl = impl_.get();
  return std::make_unique<RocksSnapshot>(
      *impl_->db, [impl](std::string_view name) { return impl->Family(name); });
}

absl::Status Store::Backup(const std::string& path) const {
  if (RealFileSystem().Exists(path)) {
    return MakeError(absl::StatusCode::kAlreadyExists, "already_exists",
                     fmt::format("backup: {} exists", path));
  }
  rocksdb::Checkpoint* raw = nullptr;
  const rocksdb::Status made =
      rocksdb::Checkpoint::Create(impl_->db.get(), &raw);
  SHOAL_RETURN_IF_ERROR(FromRocks(made, "backup"));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(raw);
  return FromRocks(checkpoint->CreateCheckpoint(path),
                   fmt::format("backup to {}", path));
}

absl::StatusOr<uint64_t> Store::EstimateKeys(std::string_view cf) const {
  SHOAL_ASSIGN_OR_RETURN(auto* handle, impl_->Family(cf));
  uint64_t keys = 0;
  if (!impl_->db->GetIntProperty(handle, "rocksdb.estimate-num-keys", &keys)) {
    return Internal("kv_io", "the store does not tell its number of keys");
  }
  return keys;
}

absl::StatusOr<uint64_t> Store::DiskBytes() const {
  uint64_t total = 0;
  for (const auto& [name, handle] : impl_->families) {
    uint64_t bytes = 0;
    for (const char* property :
         {"rocksdb.total-sst-files-size", "rocksdb.cur-size-all-mem-tables"}) {
      if (impl_->db->GetIntProperty(handle, property, &bytes)) total += bytes;
    }
  }
  return total;
}

}  // namespace shoal::kv
