#include "server/store/store.h"

#include <google/protobuf/message_lite.h>

#include "fmt/format.h"
#include "server/store/state.pb.h"

namespace shoal::server {
namespace {

constexpr std::string_view kFamily = kv::kDefaultFamily;
constexpr std::string_view kSchemaKey = "schema";

// Table names hold no zero byte, so tables can't reach into each other.
std::string FullKey(std::string_view table, std::string_view key) {
  std::string full(table);
  full.push_back('\0');
  full.append(key);
  return full;
}

absl::Status NoSuchRow(std::string_view table, std::string_view key) {
  // Sequence keys and digests are binary: show those as hex.
  bool printable = true;
  for (const char c : key) printable &= c >= 0x20 && c < 0x7f;
  return NotFound("not_found",
                  fmt::format("no {} {}", table,
                              printable ? std::string(key) : HexEncode(key)));
}

}  // namespace

Store::Store(std::unique_ptr<kv::Store> kv, Clock& clock)
    : kv_(std::move(kv)), clock_(clock) {}
Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(
    std::unique_ptr<kv::Store> kv, Clock& clock) {
  const std::string key = FullKey(kMeta, kSchemaKey);
  SHOAL_ASSIGN_OR_RETURN(std::optional<std::string> schema,
                         kv->Get(kFamily, key));
  const bool known = schema && schema->size() == 8 &&
                     ReadBigEndian(*schema, 8) <= uint64_t{kSchemaVersion};
  if (!schema || (known && *schema != SequenceKey(kSchemaVersion))) {
    kv::WriteBatch batch;
    batch.Put(kFamily, key, SequenceKey(kSchemaVersion));
    SHOAL_RETURN_IF_ERROR(kv->Write(batch, /*sync=*/true));
  } else if (!known) {
    return FailedPrecondition(
        "schema_too_new",
        fmt::format("the store was written by a later shoald (this one knows "
                    "schema {}): start that one",
                    kSchemaVersion));
  }
  return std::unique_ptr<Store>(new Store(std::move(kv), clock));
}

absl::Status Store::Parse(std::string_view table, std::string_view key,
                          std::string_view value,
                          google::protobuf::MessageLite& row) {
  if (!row.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
    return DataLoss("bad_row", fmt::format("row {} of table {} is damaged",
                                           HexEncode(key), table));
  }
  return absl::OkStatus();
}

absl::Status Store::GetMessage(std::string_view table, std::string_view key,
                               google::protobuf::MessageLite& row) const {
  SHOAL_ASSIGN_OR_RETURN(std::optional<std::string> value,
                         kv_->Get(kFamily, FullKey(table, key)));
  if (!value) return NoSuchRow(table, key);
  return Parse(table, key, *value, row);
}

bool Store::Has(std::string_view table, std::string_view key) const {
  auto value = kv_->Get(kFamily, FullKey(table, key));
  return value.ok() && value->has_value();
}

absl::Status Store::ScanRaw(
    std::string_view table, std::string_view prefix, std::string_view after,
    std::function<bool(std::string_view, std::string_view)> visit) const {
  const std::string table_prefix = FullKey(table, "");
  std::string from;
  if (!after.empty()) {
    from = FullKey(table, after);
    from.push_back('\0');  // the next possible key
  }
  return kv_->Scan(kFamily, from, table_prefix + std::string(prefix),
                   [&](std::string_view key, std::string_view value) {
                     return visit(key.substr(table_prefix.size()), value);
                   });
}

std::unique_ptr<StoreView> Store::View() const {
  return std::unique_ptr<StoreView>(new StoreView(kv_->TakeSnapshot()));
}

StoreView::StoreView(std::unique_ptr<kv::Snapshot> snapshot)
    : snapshot_(std::move(snapshot)) {}
StoreView::~StoreView() = default;

absl::StatusOr<std::optional<std::string>> StoreView::GetRaw(
    std::string_view table, std::string_view key) const {
  return snapshot_->Get(kFamily, FullKey(table, key));
}

absl::Status StoreView::GetMessage(std::string_view table, std::string_view key,
                                   google::protobuf::MessageLite& row) const {
  SHOAL_ASSIGN_OR_RETURN(const auto value, GetRaw(table, key));
  if (!value) return NoSuchRow(table, key);
  return Store::Parse(table, key, *value, row);
}

absl::Status StoreView::ScanRaw(std::string_view table, std::string_view prefix,
                                std::string_view after,
                                const Visit& visit) const {
  const std::string table_prefix = FullKey(table, "");
  std::string from;
  if (!after.empty()) {
    from = FullKey(table, after);
    from.push_back('\0');
  }
  return snapshot_->Scan(kFamily, from, table_prefix + std::string(prefix),
                         [&](std::string_view key, std::string_view value) {
                           return visit(key.substr(table_prefix.size()), value);
                         });
}

absl::Status StoreView::ScanBackwardRaw(std::string_view table,
                                        std::string_view prefix,
                                        std::string_view before,
                                        const Visit& visit) const {
  const std::string table_prefix = FullKey(table, "");
  return snapshot_->ScanBackward(
      kFamily, before.empty() ? "" : FullKey(table, before),
      table_prefix + std::string(prefix),
      [&](std::string_view key, std::string_view value) {
        return visit(key.substr(table_prefix.size()), value);
      });
}

absl::StatusOr<uint64_t> Store::LastSequence(std::string_view table) const {
  const std::string prefix = FullKey(table, "");
  uint64_t last = 0;
  SHOAL_RETURN_IF_ERROR(kv_->ScanBackward(
      kFamily, "", prefix, [&](std::string_view key, std::string_view) {
        if (key.size() == prefix.size() + 8) {
          last = ReadBigEndian(key.substr(prefix.size()), 8);
        }
        return false;
      }));
  return last;
}

uint64_t Store::revision() const {
  std::lock_guard lock(revision_mutex_);
  return revision_;
}

uint64_t Store::WaitForChange(uint64_t seen, absl::Duration timeout) const {
  std::unique_lock lock(revision_mutex_);
  changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                    [&] { return revision_ != seen || shut_down_; });
  return revision_;
}

void Store::Shutdown() {
  std::lock_guard lock(revision_mutex_);
  shut_down_ = true;
  changed_.notify_all();
}

bool Store::shut_down() const {
  std::lock_guard lock(revision_mutex_);
  return shut_down_;
}

void Store::BeforeCommit(std::string_view table, RowHook hook) {
  hooks_[std::string(table)] = std::move(hook);
}

Transaction::Transaction(Store& store) : store_(store), lock_(store.writer_) {}
Transaction::~Transaction() = default;

absl::Status Transaction::GetMessage(std::string_view table,
                                     std::string_view key,
                                     google::protobuf::MessageLite& row) const {
  const auto it = writes_.find(FullKey(table, key));
  if (it == writes_.end()) return store_.GetMessage(table, key, row);
  if (!it->second) return NoSuchRow(table, key);
  return Store::Parse(table, key, *it->second, row);
}

bool Transaction::Has(std::string_view table, std::string_view key) const {
  const auto it = writes_.find(FullKey(table, key));
  if (it == writes_.end()) return store_.Has(table, key);
  return it->second.has_value();
}

absl::StatusOr<std::optional<std::string>> Transaction::GetRaw(
    std::string_view table, std::string_view key) const {
  const std::string full = FullKey(table, key);
  const auto it = writes_.find(full);
  if (it != writes_.end()) return it->second;
  return store_.kv_->Get(kFamily, full);
}

void Transaction::Put(std::string_view table, std::string_view key,
                      const google::protobuf::MessageLite& row) {
  PutRaw(table, key, row.SerializeAsString());
}

void Transaction::PutRaw(std::string_view table, std::string_view key,
                         std::string_view value) {
  writes_[FullKey(table, key)] = std::string(value);
}

void Transaction::Delete(std::string_view table, std::string_view key) {
  writes_[FullKey(table, key)] = std::nullopt;
}

absl::StatusOr<uint64_t> Transaction::CurrentSequence(
    std::string_view table) const {
  // The counter is a row of its own: the highest key may have been deleted
  // since (the outbox), and numbers must not come again.
  const std::string key = FullKey(kMeta, "sequence/" + std::string(table));
  const auto it = writes_.find(key);
  std::optional<std::string> value;
  if (it != writes_.end()) {
    value = it->second;
  } else {
    SHOAL_ASSIGN_OR_RETURN(value, store_.kv_->Get(kFamily, key));
  }
  if (!value) return 0;
  if (value->size() != 8) return DataLoss("bad_row", "a sequence is damaged");
  return ReadBigEndian(*value, 8);
}

absl::StatusOr<uint64_t> Transaction::NextSequence(std::string_view table) {
  SHOAL_ASSIGN_OR_RETURN(uint64_t last, CurrentSequence(table));
  PutRaw(kMeta, "sequence/" + std::string(table), SequenceKey(last + 1));
  return last + 1;
}

void Transaction::Audit(std::string_view principal, std::string_view action,
                        std::string_view resource, std::string_view result,
                        std::string_view detail) {
  actor_ = std::string(principal);
  auto sequence = NextSequence(kAudit);
  if (!sequence.ok()) {
    failure_ = sequence.status();  // a change without its audit row: refused
    return;
  }
  store::AuditRow row;
  row.set_time(absl::ToUnixMillis(store_.clock_.WallNow()));
  row.set_principal(std::string(principal));
  row.set_action(std::string(action));
  row.set_resource(std::string(resource));
  row.set_result(std::string(result));
  row.set_detail(std::string(detail));
  Put(kAudit, SequenceKey(*sequence), row);
}

void Transaction::AfterCommit(std::function<void()> callback) {
  after_commit_.push_back(std::move(callback));
}

absl::Status Transaction::RunHooks() {
  for (const auto& [table, hook] : store_.hooks_) {
    const std::string prefix = FullKey(table, "");
    // Hooks write too: first who is to be called, then the calls.
    std::vector<std::string> keys;
    for (auto it = writes_.lower_bound(prefix);
         it != writes_.end() &&
         it->first.compare(0, prefix.size(), prefix) == 0;
         ++it) {
      keys.push_back(it->first.substr(prefix.size()));
    }
    for (const std::string& key : keys) {
      SHOAL_RETURN_IF_ERROR(hook(*this, key));
    }
  }
  return failure_;
}

absl::Status Transaction::Commit() {
  SHOAL_RETURN_IF_ERROR(failure_);
  if (writes_.empty()) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(RunHooks());
  kv::WriteBatch batch;
  for (const auto& [key, value] : writes_) {
    if (value) {
      batch.Put(kFamily, key, *value);
    } else {
      batch.Delete(kFamily, key);
    }
  }
  SHOAL_RETURN_IF_ERROR(store_.kv_->Write(batch, /*sync=*/true));
  writes_.clear();
  lock_.unlock();
  {
    std::lock_guard lock(store_.revision_mutex_);
    ++store_.revision_;
    store_.changed_.notify_all();
  }
  for (const auto& callback : after_commit_) callback();
  return absl::OkStatus();
}

}  // namespace shoal::server
