// What follows from every change of a device, in the same transaction,
// whoever makes it: bounds of what it reports, membership of dynamic groups, a
// new assignment where it says something else, the index, the history, and
// its place in the order of changes that watches read.
#ifndef SHOAL_SERVER_FLEET_DEVICE_CHANGES_H_
#define SHOAL_SERVER_FLEET_DEVICE_CHANGES_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/fleet/group_matcher.h"
#include "server/publish/record_writer.h"
#include "server/store/state.pb.h"
#include "server/store/store.h"

namespace shoal::server {

// Thread-safe. Outlives the store's writers.
class DeviceChanges {
 public:
  // From now on called for each change of kDevices. A store of an earlier
  // schema, or one whose index was not finished, gets its index now.
  static absl::StatusOr<std::unique_ptr<DeviceChanges>> Open(
      Store& store, const RecordWriter& writer);

  // From now on called, in the same transaction, for every change of a device's
  // labels, groups or enrolment state. Before other threads write.
  using FactsHook = std::function<absl::Status(Transaction& tx,
                                               const store::DeviceRow& before,
                                               const store::DeviceRow& after)>;
  void OnFacts(FactsHook hook) { on_facts_ = std::move(hook); }

  // The groups as `tx` sees them.
  absl::StatusOr<std::shared_ptr<const GroupMatcher>> Matcher(
      const Transaction& tx);
  // In the transaction of every change of kGroups.
  static absl::Status GroupsChanged(Transaction& tx);

 private:
  explicit DeviceChanges(const RecordWriter& writer) : writer_(writer) {}
  absl::Status OnWrite(Transaction& tx, const std::string& key);
  absl::Status UpdateGroups(Transaction& tx, const store::DeviceRow* old,
                            store::DeviceRow& next);
  absl::Status UpdateAssignment(Transaction& tx, const store::DeviceRow* old,
                                store::DeviceRow& next) const;
  static absl::Status Forget(Transaction& tx, const store::DeviceRow& old);
  static absl::Status BuildIndex(Store& store);

  const RecordWriter& writer_;
  FactsHook on_facts_;
  std::mutex mutex_;
  uint64_t matcher_version_ = 0;
  std::shared_ptr<const GroupMatcher> matcher_;
};

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_CHANGES_H_
