#include "server/fleet/device_changes.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/log.h"
#include "server/fleet/device_history.h"
#include "server/fleet/device_index.h"
#include "server/fleet/running_images.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kAssignmentLifetime = absl::Hours(24 * 90);
// Of the index's form. 2: what devices run is counted beside it; 3: with their
// tools.
constexpr uint64_t kIndexVersion = 3;
constexpr std::string_view kIndexKey = "device_index";
constexpr std::string_view kGroupsKey = "groups";
constexpr size_t kRowsPerChange = 500;
// Deleted devices that a watch still hears of. Strangers' requests come and go.
constexpr uint64_t kDeletedKept = 1000;

std::vector<std::string> GroupIds(const fleet::v1::Device& device) {
  std::vector<std::string> ids;
  for (const std::string& name : device.groups()) {
    ids.push_back(name.substr(name.find('/') + 1));
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

bool SameAssignment(const records::v1::Assignment& a,
                    const records::v1::Assignment& b) {
  const auto labels = [](const records::v1::Assignment& x) {
    return std::map<std::string, std::string>(x.labels().begin(),
                                              x.labels().end());
  };
  return a.device_type() == b.device_type() && labels(a) == labels(b) &&
         std::equal(a.groups().begin(), a.groups().end(), b.groups().begin(),
                    b.groups().end());
}

// A change of its own, so that watches tell it: id and number of the device.
absl::Status NoteDeleted(Transaction& tx, const store::DeviceRow& old) {
  SHOAL_ASSIGN_OR_RETURN(const uint64_t change,
                         tx.NextSequence(kDeviceChanges));
  std::string value = old.assignment().device_id();
  AppendBigEndian(value, old.ordinal(), 4);
  tx.PutRaw(kDeviceChanges, SequenceKey(change), value);
  SHOAL_ASSIGN_OR_RETURN(const uint64_t at, tx.NextSequence(kDeletedDevices));
  const std::string place = SequenceKey(at % kDeletedKept);
  SHOAL_ASSIGN_OR_RETURN(const auto oldest, tx.GetRaw(kDeletedDevices, place));
  if (oldest) tx.Delete(kDeviceChanges, *oldest);
  tx.PutRaw(kDeletedDevices, place, SequenceKey(change));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceChanges>> DeviceChanges::Open(
    Store& store, const RecordWriter& writer) {
  std::unique_ptr<DeviceChanges> changes(new DeviceChanges(writer));
  store.BeforeCommit(kDevices, [self = changes.get()](Transaction& tx,
                                                      const std::string& key) {
    return self->OnWrite(tx, key);
  });
  SHOAL_RETURN_IF_ERROR(BuildIndex(store));
  return changes;
}

absl::Status DeviceChanges::BuildIndex(Store& store) {
  const std::string want = SequenceKey(kIndexVersion);
  {
    Transaction tx(store);
    SHOAL_ASSIGN_OR_RETURN(const auto have, tx.GetRaw(kMeta, kIndexKey));
    if (have == want) return absl::OkStatus();
    if (have == SequenceKey(1) || have == SequenceKey(2)) {
      SHOAL_RETURN_IF_ERROR(RecountRunningImages(tx));
      tx.PutRaw(kMeta, kIndexKey, want);
      return tx.Commit();
    }
    if (have) {
      return FailedPrecondition("schema_too_new",
                                "the index of devices has another form");
    }
  }
  // A row without a number is not in the index yet; the hook puts it there.
  size_t rows = 0;
  for (bool more = true; more;) {
    std::vector<std::pair<std::string, store::DeviceRow>> batch;
    SHOAL_RETURN_IF_ERROR(store.Scan<store::DeviceRow>(
        kDevices, "", "", [&](std::string_view key, const auto& row) {
          if (row.ordinal() == 0) batch.emplace_back(key, row);
          return batch.size() < kRowsPerChange;
        }));
    more = batch.size() == kRowsPerChange;
    Transaction tx(store);
    tx.SetActor("plane");
    for (const auto& [key, row] : batch) tx.Put(kDevices, key, row);
    if (!more) tx.PutRaw(kMeta, kIndexKey, want);
    SHOAL_RETURN_IF_ERROR(tx.Commit());
    rows += batch.size();
  }
  if (rows > 0) LogInfo("device_index_built", {{"devices", rows}});
  return absl::OkStatus();
}

absl::Status DeviceChanges::GroupsChanged(Transaction& tx) {
  const std::string key(kGroupsKey);
  SHOAL_ASSIGN_OR_RETURN(const auto have, tx.GetRaw(kMeta, key));
  const uint64_t version = have ? ReadBigEndian(*have, 8) : 0;
  tx.PutRaw(kMeta, key, SequenceKey(version + 1));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const GroupMatcher>> DeviceChanges::Matcher(
    const Transaction& tx) {
  SHOAL_ASSIGN_OR_RETURN(const auto have, tx.GetRaw(kMeta, kGroupsKey));
  const uint64_t version = have ? ReadBigEndian(*have, 8) : 0;
  std::lock_guard lock(mutex_);
  if (matcher_ && matcher_version_ == version) return matcher_;
  auto matcher = std::make_shared<GroupMatcher>();
  absl::Status bad;
  SHOAL_RETURN_IF_ERROR(tx.store().Scan<store::GroupRow>(
      kGroups, "", "", [&](std::string_view key, const store::GroupRow& row) {
        if (row.group().deleting()) return true;
        if (row.group().filter().empty()) {
          matcher->AddStatic(std::string(key));
          return true;
        }
        auto filter =
            ParseFilter(row.group().filter(), tx.store().clock().WallNow());
        if (!filter.ok()) {
          bad = Annotate(filter.status(), row.group().name());
          return false;
        }
        matcher->Add(std::string(key), *std::move(filter));
        return true;
      }));
  SHOAL_RETURN_IF_ERROR(bad);
  matcher_ = std::move(matcher);
  matcher_version_ = version;
  return matcher_;
}

absl::Status DeviceChanges::UpdateGroups(Transaction& tx,
                                         const store::DeviceRow* old,
                                         store::DeviceRow& next) {
  SHOAL_ASSIGN_OR_RETURN(const auto matcher, Matcher(tx));
  const FilterSubject subject(next);
  std::vector<DeviceTerm> changed;
  if (old != nullptr) {
    const std::vector<DeviceTerm> before = TermsOf(*old);
    std::set_symmetric_difference(before.begin(), before.end(),
                                  subject.terms.begin(), subject.terms.end(),
                                  std::back_inserter(changed));
  }
  std::vector<std::string> groups = GroupIds(next.device());
  bool overflow = false;
  matcher->Update(subject, old == nullptr, changed, groups, overflow);
  if (overflow) {
    LogWarn("too_many_groups",
            {{"device", next.device().name()}, {"kept", kMaxGroupsOfDevice}});
  }
  next.mutable_device()->clear_groups();
  next.mutable_assignment()->clear_groups();
  for (const std::string& id : groups) {
    next.mutable_device()->add_groups("groups/" + id);
    next.mutable_assignment()->add_groups(id);
  }
  return absl::OkStatus();
}

absl::Status DeviceChanges::UpdateAssignment(Transaction& tx,
                                             const store::DeviceRow* old,
                                             store::DeviceRow& next) const {
  records::v1::Assignment& assignment = *next.mutable_assignment();
  *assignment.mutable_labels() = next.device().labels();
  // What a new device got with its grant knows nothing of groups.
  const bool news = old == nullptr
                        ? !assignment.groups().empty()
                        : !SameAssignment(old->assignment(), assignment);
  if (news) {
    const uint64_t last =
        old == nullptr ? assignment.version() : old->assignment().version();
    assignment.set_version(std::max(assignment.version(), last + 1));
  }
  if (next.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return absl::OkStatus();
  }
  const bool entered =
      old == nullptr ||
      old->device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED;
  if (!news && !entered) return absl::OkStatus();
  return writer_.Publish(tx, records::v1::RECORD_KIND_ASSIGNMENT,
                         HexEncode(assignment.device_id()),
                         assignment.SerializeAsString(), kAssignmentLifetime,
                         true);
}

absl::Status DeviceChanges::Forget(Transaction& tx,
                                   const store::DeviceRow& old) {
  if (old.ordinal() == 0) return absl::OkStatus();
  SHOAL_RETURN_IF_ERROR(WriteDeviceIndex(tx, &old, nullptr));
  SHOAL_RETURN_IF_ERROR(CountRunningImage(tx, &old, nullptr));
  DropDeviceHistory(tx, old);
  tx.Delete(kDeviceChanges, SequenceKey(old.change()));
  return NoteDeleted(tx, old);
}

absl::Status DeviceChanges::OnWrite(Transaction& tx, const std::string& key) {
  auto stored = tx.store().Get<store::DeviceRow>(kDevices, key);
  if (!stored.ok() && !absl::IsNotFound(stored.status())) {
    return stored.status();
  }
  store::DeviceRow* old = stored.ok() ? &*stored : nullptr;
  auto written = tx.Get<store::DeviceRow>(kDevices, key);
  if (absl::IsNotFound(written.status())) {
    return old != nullptr ? Forget(tx, *old) : absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(written);
  store::DeviceRow& next = *written;
  // A row of an earlier schema is in no index: for it, it is new; but its
  // assignment is out already.
  store::DeviceRow* indexed =
      old != nullptr && old->ordinal() != 0 ? old : nullptr;
  if (indexed != nullptr) {
    next.set_ordinal(indexed->ordinal());
    next.set_first_event(indexed->first_event());
    next.set_next_event(indexed->next_event());
    tx.Delete(kDeviceChanges, SequenceKey(indexed->change()));
  } else {
    SHOAL_ASSIGN_OR_RETURN(const uint64_t number,
                           tx.NextSequence(kDeviceNumbers));
    if (number > UINT32_MAX) return Internal("too_many_devices", "no number");
    next.set_ordinal(static_cast<uint32_t>(number));
  }
  BoundReported(*next.mutable_device());
  SHOAL_RETURN_IF_ERROR(UpdateGroups(tx, indexed, next));
  SHOAL_RETURN_IF_ERROR(UpdateAssignment(tx, old, next));
  if (on_facts_ && old != nullptr &&
      (old->device().state() != next.device().state() ||
       !SameAssignment(old->assignment(), next.assignment())))
    SHOAL_RETURN_IF_ERROR(on_facts_(tx, *old, next));
  WriteDeviceHistory(tx, old, next);
  SHOAL_RETURN_IF_ERROR(WriteDeviceIndex(tx, indexed, &next));
  SHOAL_RETURN_IF_ERROR(CountRunningImage(tx, indexed, &next));
  SHOAL_ASSIGN_OR_RETURN(const uint64_t change,
                         tx.NextSequence(kDeviceChanges));
  next.set_change(change);
  tx.PutRaw(kDeviceChanges, SequenceKey(change), next.assignment().device_id());
  tx.Put(kDevices, key, next);
  return absl::OkStatus();
}

}  // namespace shoal::server
