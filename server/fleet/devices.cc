#include "server/fleet/devices.h"

#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "common/log.h"
#include "fmt/format.h"
#include "server/store/paging.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kAssignmentLifetime = absl::Hours(24 * 90);

fleet::v1::Device View(const store::DeviceRow& row) {
  fleet::v1::Device device = row.device();
  device.set_etag(fmt::format("{}", row.revision()));
  return device;
}

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
  return View(row);
}

absl::StatusOr<Devices::Page> Devices::List(
    const fleet::v1::ListDevicesRequest& request) const {
  SHOAL_ASSIGN_OR_RETURN(PageRequest page,
                         ParsePage(request.page_size(), request.page_token()));
  Page result;
  SHOAL_RETURN_IF_ERROR(store_.Scan<store::DeviceRow>(
      kDevices, "", page.after,
      [&](std::string_view, const store::DeviceRow& row) {
        const fleet::v1::Device& device = row.device();
        if (!request.device_type().empty() &&
            request.device_type() != device.device_type()) {
          return true;
        }
        for (const auto& [key, value] : request.labels()) {
          const auto it = device.labels().find(key);
          if (it == device.labels().end() || it->second != value) return true;
        }
        if (result.devices.size() == page.size) {
          result.next_page_token =
              PageToken(result.devices.back().name().substr(8));
          return false;
        }
        result.devices.push_back(View(row));
        return true;
      }));
  return result;
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

absl::Status Devices::Accept(Transaction& tx, store::DeviceRow row) const {
  const std::string key = HexEncode(row.assignment().device_id());
  row.set_revision(1);
  tx.Put(kDevices, key, row);
  return writer_.Publish(tx, records::v1::RECORD_KIND_ASSIGNMENT, key,
                         row.assignment().SerializeAsString(),
                         kAssignmentLifetime, true);
}

absl::StatusOr<fleet::v1::Device> Devices::UpdateLabels(
    const std::string& name, const std::map<std::string, std::string>& labels,
    const std::string& etag, const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, DeviceKey(name));
  SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
  Transaction tx(store_);
  SHOAL_ASSIGN_OR_RETURN(auto row, tx.Get<store::DeviceRow>(kDevices, key));
  if (!etag.empty() && etag != View(row).etag()) {
    return MakeError(absl::StatusCode::kAborted, "stale_etag",
                     name + " was changed meanwhile: read it again");
  }
  if (row.device().state() != fleet::v1::ENROLMENT_STATE_ACCEPTED) {
    return FailedPrecondition("not_accepted", name + " is not in the fleet");
  }
  auto* assignment = row.mutable_assignment();
  assignment->clear_labels();
  row.mutable_device()->clear_labels();
  for (const auto& [label, value] : labels) {
    (*assignment->mutable_labels())[label] = value;
    (*row.mutable_device()->mutable_labels())[label] = value;
  }
  assignment->set_version(assignment->version() + 1);
  row.set_revision(row.revision() + 1);
  tx.Put(kDevices, key, row);
  SHOAL_RETURN_IF_ERROR(writer_.Publish(tx, records::v1::RECORD_KIND_ASSIGNMENT,
                                        key, assignment->SerializeAsString(),
                                        kAssignmentLifetime, true));
  tx.Audit(principal, "device.label", name, "ok");
  SHOAL_RETURN_IF_ERROR(tx.Commit());
  return View(row);
}

absl::StatusOr<fleet::v1::Device> Devices::Decommission(
    const std::string& name, const std::string& reason,
    const std::string& principal) {
  SHOAL_ASSIGN_OR_RETURN(std::string key, DeviceKey(name));
  store::DeviceRow row;
  {
    Transaction tx(store_);
    SHOAL_ASSIGN_OR_RETURN(row, tx.Get<store::DeviceRow>(kDevices, key));
    if (row.device().state() != fleet::v1::ENROLMENT_STATE_DECOMMISSIONED) {
      row.mutable_device()->set_state(
          fleet::v1::ENROLMENT_STATE_DECOMMISSIONED);
      row.set_revision(row.revision() + 1);
      tx.Put(kDevices, key, row);
      SHOAL_RETURN_IF_ERROR(
          writer_.Drop(tx, records::v1::RECORD_KIND_ASSIGNMENT, key));
      tx.Audit(principal, "device.decommission", name, "ok", reason);
      SHOAL_RETURN_IF_ERROR(tx.Commit());
    }
  }
  if (auto public_key = HexDecode(row.device().public_key()); public_key.ok()) {
    writers_.Refuse(*public_key);
  }
  if (on_decommissioned_) SHOAL_RETURN_IF_ERROR(on_decommissioned_());
  return View(row);
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
  if (record.body.version() <= row->report_version()) return absl::OkStatus();
  row->set_report_version(record.body.version());
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
  device.set_last_seen_at(record.body.issued());
  row->set_revision(row->revision() + 1);
  tx.Put(kDevices, key, *row);
  return absl::OkStatus();
}

}  // namespace shoal::server
