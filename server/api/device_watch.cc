#include "server/api/device_watch.h"

#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/fleet/device_list.h"
#include "server/fleet/device_terms.h"

namespace shoal::server {
namespace {

constexpr absl::Duration kTick = absl::Milliseconds(500);
constexpr size_t kAtOnce = 256;

}  // namespace

absl::StatusOr<DeviceWatch> DeviceWatch::Start(
    const Store& store, const fleet::v1::WatchDevicesRequest& request) {
  SHOAL_ASSIGN_OR_RETURN(
      FilterNode filter,
      ParseFilter(request.filter(), store.clock().WallNow()));
  SHOAL_RETURN_IF_ERROR(CheckWatchFilter(filter));
  DeviceWatch watch(store, std::move(filter), "watch " + request.filter());
  SHOAL_ASSIGN_OR_RETURN(
      watch.after_, ParseListToken(watch.question_, request.resume_token()));
  if (watch.after_.empty()) return watch;
  watch.tell_all_ = true;
  // The last number given out, not the last that is there: its device may have
  // been deleted since.
  SHOAL_ASSIGN_OR_RETURN(
      const auto last,
      store.View()->GetRaw(kMeta, fmt::format("sequence/{}", kDeviceChanges)));
  if (watch.after_.size() != 8 || watch.after_ > last.value_or("")) {
    return MakeError(absl::StatusCode::kOutOfRange, "resume_token_expired",
                     "the plane does not know this place of its history: "
                     "watch from the start");
  }
  return watch;
}

absl::StatusOr<std::vector<store::DeviceRow>> DeviceWatch::Read() const {
  const auto view = store_.View();
  std::vector<std::pair<std::string, std::string>> changes;
  SHOAL_RETURN_IF_ERROR(
      view->ScanRaw(kDeviceChanges, "", after_,
                    [&](std::string_view number, std::string_view device) {
                      changes.emplace_back(number, device);
                      return changes.size() < kAtOnce;
                    }));
  std::vector<store::DeviceRow> rows;
  for (const auto& [number, device] : changes) {
    const std::string id = HexEncode(std::string_view(device).substr(0, 16));
    if (device.size() > 16) {
      // It was deleted (DeviceChanges): there is nothing left but its name.
      store::DeviceRow& gone = rows.emplace_back();
      gone.mutable_device()->set_name("devices/" + id);
      gone.set_ordinal(static_cast<uint32_t>(
          ReadBigEndian(std::string_view(device).substr(16), 4)));
      gone.set_change(ReadBigEndian(number, 8));
      continue;
    }
    SHOAL_ASSIGN_OR_RETURN(auto row, view->Get<store::DeviceRow>(kDevices, id));
    rows.push_back(std::move(row));
  }
  return rows;
}

std::optional<fleet::v1::Device> DeviceWatch::MessageOf(
    const store::DeviceRow& row) {
  const bool deleted = row.assignment().device_id().empty();  // Read()
  const bool matches =
      !deleted && shoal::server::Matches(filter_, FilterSubject(row));
  const bool was_sent = sent_.Contains(row.ordinal());
  if (!matches && !was_sent && !tell_all_) return std::nullopt;
  DeviceSet one;
  one.Add(row.ordinal());
  if (matches) {
    sent_ |= one;
  } else {
    sent_ -= one;
  }
  fleet::v1::Device device = DeviceView(row);
  device.set_left_filter(!matches);
  device.set_resume_token(ListToken(question_, SequenceKey(row.change())));
  return device;
}

absl::StatusOr<DeviceWatch::Step> DeviceWatch::Next() {
  if (at_ == rows_.size()) {
    SHOAL_ASSIGN_OR_RETURN(rows_, Read());
    at_ = 0;
    if (rows_.empty()) return Step{};
  }
  Step step;
  while (at_ < rows_.size() && !step.device) {
    const store::DeviceRow& row = rows_[at_++];
    after_ = SequenceKey(row.change());
    step.device = MessageOf(row);
  }
  step.more = true;
  if (at_ == rows_.size()) {
    rows_.clear();  // a stream that waits holds no devices
    at_ = 0;
  }
  return step;
}

absl::Status DeviceWatch::Run(
    const std::function<bool()>& cancelled,
    const std::function<bool(const fleet::v1::Device&)>& send) {
  while (!cancelled() && !store_.shut_down()) {
    const uint64_t revision = store_.revision();
    SHOAL_ASSIGN_OR_RETURN(const Step step, Next());
    if (step.device && !send(*step.device)) return absl::OkStatus();
    if (!step.more) store_.WaitForChange(revision, kTick);
  }
  return absl::OkStatus();
}

}  // namespace shoal::server
