#include "server/fleet/devices.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/fleet/device_index.h"
#include "server/fleet/device_list.h"
#include "server/fleet/report_order.h"

namespace shoal::server {
namespace {

constexpr size_t kMaxReason = 512;

}  // namespace

absl::StatusOr<std::string> DeviceKey(const std::string& name) {
  constexpr std::string_view kPrefix = "devices/";
  const std::string key =
      name.rfind(kPrefix, 0) == 0 ? name.substr(kPrefix.size()) : "";
  auto id = HexDecode(key);
  if (!id.ok() || id->size() != 16 || HexEncode(*id) != key) {
    return InvalidArgument("bad_name",
                           "a device's name is devices/ and 32 hex digits");
  }
  return key;
}

rules::DeviceFacts FactsOf(const store::DeviceRow& row) {
  rules::DeviceFacts facts;
  facts.id = row.assignment().device_id();
  facts.device_type = row.device().device_type();
  facts.labels = {row.assignment().labels().begin(),
                  row.assignment().labels().end()};
  facts.groups = {row.assignment().groups().begin(),
                  row.assignment().groups().end()};
  return facts;
}

absl::Status CheckLabels(const std::map<std::string, std::string>& labels) {
  if (labels.size() > 32) {
    return InvalidArgument("bad_label", "at most 32 labels");
  }
  for (const auto& [key, value] : labels) {
    if (!IsIdentifier(key) || value.size() > 128) {
      return InvalidArgument("bad_label",
                             fmt::format("label '{}' is no identifier, or its "
                                         "value is longer than 128 bytes",
                                         key));
    }
  }
  return absl::OkStatus();
}

Devices::Devices(Store& store, const RecordWriter& writer, Writers& writers)
    : store_(store), writer_(writer), writers_(writers) {}

absl::StatusOr<fleet::v1::Device> Devices::Get(const std::string& name) const {
  SHOAL_ASSIGN_OR_RETURN(std::string key, DeviceKey(name));
  SHOAL_ASSIGN_OR_RETURN(auto row, store_.Get<store::DeviceRow>(kDevices, key));
  return DeviceView(row);
}

absl::StatusOr<Devices::Page> Devices::List(
    const fleet::v1::ListDevicesRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(auto list, ListDevices(store_, request));
  Page page;
  page.devices.assign(std::make_move_iterator(list.mutable_devices()->begin()),
                      std::make_move_iterator(list.mutable_devices()->end()));
  page.next_page_token = list.next_page_token();
  page.total_size = list.total_size();
  return page;
}

absl::StatusOr<std::vector<store::DeviceRow>> Devices::Accepted(
    const std::string& device_type) const {
  std::vector<store::DeviceRow> rows;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", "", [&](std::string_view, const store::DeviceRow& row) {
        if (row.device().state() == fleet::v1::ENROLMENT_STATE_ACCEPTED &&
            row.device().device_type() == device_type) {
          rows.push_back(row);
        }
        return true;
      }));
  return rows;
}

absl::StatusOr<int> Devices::CountIn(fleet::v1::EnrolmentState state) const {
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet devices,
                         DeviceIndex(store_).Find(StateTerm(state)));
  return static_cast<int>(devices.Count());
}

absl::Status Devices::Accept(Transaction& tx, store::DeviceRow row) const {
  const std::string key = HexEncode(row.assignment().device_id());
  row.set_revision(row.revision() + 1);
  tx.Put(kDevices, key, row);
  return absl::OkStatus();
}

absl::StatusOr<fleet::v1::Device> Devices::UpdateLabels(
    const std::string& name, const std::map<std::string, std::string>& labels,
    const std::string& etag, const std::string& principal) {
  fleet::v1::UpdateDeviceRequest request;
  request.mutable_device()->set_name(name);
  request.mutable_device()->mutable_labels()->insert(labels.begin(),
                                                     labels.end());
  request.mutable_device()->set_etag(etag);
  request.mutable_update_mask()->add_paths("labels");
  return Update(request, principal);
}

absl::StatusOr<fleet::v1::Device> Devices::Decommission(
    const std::string& name, const std::string& reason,
    const std::string& principal, const std::string& etag, bool validate_only) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, DeviceKey(name));
  if (reason.size() > kMaxReason) {
    return InvalidArgument(
        "bad_request",
        fmt::format("the reason is longer than {} bytes", kMaxReason));
  }
  store::DeviceRow row;
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(row, tx.Get<store::DeviceRow>(kDevices, key));
    const auto state = row.device().state();
    if (state == fleet::v1::ENROLMENT_STATE_PENDING ||
        state == fleet::v1::ENROLMENT_STATE_PREAUTHORIZED ||
        state == fleet::v1::ENROLMENT_STATE_REJECTED) {
      return FailedPrecondition(
          "not_accepted", name + " was never in the fleet: reject it instead");
    }
    if (!etag.empty() && etag != DeviceView(row).etag()) {
      return MakeError(absl::StatusCode::kAborted, "stale_etag",
                       name + " was changed meanwhile: read it again");
    }
    if (validate_only) {
      row.mutable_device()->set_state(
          fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
      return DeviceView(row);
    }
    if (row.device().state() != fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
      row.mutable_device()->set_state(
          fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
      row.set_revision(row.revision() + 1);
      tx.Put(kDevices, key, row);
      SHOAL_RETURN_IF_ERROR(
          writer_.Drop(tx, records::v1::RECORD_KIND_ASSIGNMENT, key));
      SHOAL_RETURN_IF_ERROR(
          writer_.Drop(tx, records::v1::RECORD_KIND_PAIR_GRANT, key));
      tx.Audit(principal, "device.decommission", name, "ok", reason);
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  writers_.RefuseDevice(row);
  if (on_decommissioned_) SHOAL_RETURN_IF_ERROR(on_decommissioned_());
  return DeviceView(row);
}

absl::Status Devices::OnReport(Transaction& tx,
                               const dht::VerifiedRecord& record) {
  records::v1::DeviceReport report;
  if (!report.ParseFromString(record.body.payload())) {
    LogWarn("bad_report", {{"device", HexEncode(record.writer.id)}});
    return absl::OkStatus();
  }
  const std::string key = HexEncode(record.writer.id);
  auto row = tx.Get<store::DeviceRow>(kDevices, key);
  if (absl::IsNotFound(row.status())) {
    // A credential of ours without a device: the store was set back.
    LogWarn("report_of_unknown_device", {{"device", key}});
    return absl::OkStatus();
  }
  SHOAL_RETURN_IF_ERROR(row);
  // A stolen device CA can certify a key of its own for this id; what the
  // device is, and where commands for it are sealed to, is said by the key
  // that it paired with alone.
  if (HexEncode(record.writer.public_key) != row->device().public_key()) {
    LogWarn("report_by_another_key",
            {{"device", key}, {"key", HexEncode(record.writer.public_key)}});
    return absl::OkStatus();
  }
  if (!IsNewerReport(*row, record.body)) return absl::OkStatus();
  row->set_report_version(
      std::max(row->report_version(), record.body.version()));
  fleet::v1::Device& device = *row->mutable_device();
  device.set_running_version(report.running_version());
  device.set_running_sha256(HexEncode(report.running_sha256()));
  device.set_running_counter(report.running_counter());
  device.clear_inventory();
  for (const auto& [name, value] : report.inventory()) {
    (*device.mutable_inventory())[name] = value;
  }
  if (report.box_key().size() == 32) {
    device.set_box_key(HexEncode(report.box_key()));
  }
  device.set_policy_version(report.policy_version());
  device.set_waiting_reason(report.waiting_reason());
  device.set_agent_version(report.agent_version());
  if (report.log().alarm() != device.log_alarm() &&
      !report.log().alarm().empty())
    LogWarn("log_alarm", {{"device", device.name()},
                          {"alarm", report.log().alarm()},
                          {"explanation", report.log().explanation()}});
  device.set_log_alarm(report.log().alarm());
  device.set_log_alarm_at(report.log().alarm_at());
  device.set_log_alarm_text(report.log().explanation());
  device.set_log_size(report.log().size());
  device.set_log_root(HexEncode(report.log().root()));
  // A date in the future must not stop what comes until then.
  device.set_last_seen_at(
      std::max(device.last_seen_at(),
               std::min(record.body.issued(),
                        absl::ToUnixMillis(store_.clock().WallNow()))));
  row->set_revision(row->revision() + 1);
  tx.Put(kDevices, key, *row);
  return absl::OkStatus();
}

}  // namespace shoal::server
