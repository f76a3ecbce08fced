#include "server/fleet/device_history.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "common/bytes.h"
#include "fmt/format.h"
#include "server/fleet/devices.h"
#include "server/store/paging.h"

namespace shoal::server {
namespace {

constexpr size_t kMaxDetail = 512;

std::string EventKey(const std::string& device_hex, uint64_t number) {
  return device_hex + SequenceKey(number);
}

std::string StateText(fleet::v1::EnrolmentState state) {
  std::string text = fleet::v1::EnrolmentState_Name(state);
  text.erase(0, sizeof("ENROLMENT_STATE_") - 1);
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

// "+new -old", in order.
std::string Difference(const std::set<std::string>& before,
                       const std::set<std::string>& after) {
  std::string text;
  const auto add = [&](char sign, const std::string& what) {
    if (!text.empty()) text += ' ';
    text += sign + what;
  };
  for (const std::string& what : after) {
    if (!before.contains(what)) add('+', what);
  }
  for (const std::string& what : before) {
    if (!after.contains(what)) add('-', what);
  }
  return text;
}

std::set<std::string> LabelTexts(const fleet::v1::Device& device) {
  std::set<std::string> texts;
  for (const auto& [key, value] : device.labels()) {
    texts.insert(key + "=" + value);
  }
  return texts;
}

std::set<std::string> GroupTexts(const fleet::v1::Device& device) {
  std::set<std::string> texts;
  for (const std::string& group : device.groups()) {
    texts.insert(group.substr(group.find('/') + 1));
  }
  return texts;
}

std::string Version(const fleet::v1::Device& device) {
  if (device.running_sha256().empty()) return "?";
  return device.running_version().empty()
             ? device.running_sha256().substr(0, 12)
             : device.running_version();
}

}  // namespace

void WriteDeviceHistory(Transaction& tx, const store::DeviceRow* old,
                        store::DeviceRow& next) {
  const std::string id = HexEncode(next.assignment().device_id());
  const int64_t now = absl::ToUnixMillis(tx.store().clock().WallNow());
  const auto add = [&](fleet::v1::DeviceEventKind kind, std::string detail) {
    fleet::v1::DeviceEvent event;
    event.set_time(now);
    event.set_kind(kind);
    event.set_actor(tx.actor());
    if (detail.size() > kMaxDetail) {
      size_t end = kMaxDetail - 3;
      while (end > 0 &&
             (static_cast<unsigned char>(detail[end]) & 0xC0) == 0x80) {
        --end;
      }
      detail = detail.substr(0, end) + "...";
    }
    event.set_detail(detail);
    tx.Put(kDeviceEvents, EventKey(id, next.next_event()), event);
    next.set_next_event(next.next_event() + 1);
    if (next.next_event() - next.first_event() > kMaxDeviceEvents) {
      tx.Delete(kDeviceEvents, EventKey(id, next.first_event()));
      next.set_first_event(next.first_event() + 1);
    }
  };
  const fleet::v1::Device& now_is = next.device();
  if (old == nullptr) {
    add(fleet::v1::DEVICE_EVENT_KIND_ADDED, StateText(now_is.state()));
  } else if (old->device().state() != now_is.state()) {
    add(fleet::v1::DEVICE_EVENT_KIND_STATE,
        StateText(old->device().state()) + " -> " + StateText(now_is.state()));
  }
  const fleet::v1::Device& was =
      old != nullptr ? old->device() : fleet::v1::Device::default_instance();
  if (auto text = Difference(LabelTexts(was), LabelTexts(now_is));
      !text.empty()) {
    add(fleet::v1::DEVICE_EVENT_KIND_LABELS, std::move(text));
  }
  if (auto text = Difference(GroupTexts(was), GroupTexts(now_is));
      !text.empty()) {
    add(fleet::v1::DEVICE_EVENT_KIND_GROUPS, std::move(text));
  }
  if (was.running_sha256() != now_is.running_sha256()) {
    add(fleet::v1::DEVICE_EVENT_KIND_VERSION,
        Version(was) + " -> " + Version(now_is));
  }
}

void DropDeviceHistory(Transaction& tx, const store::DeviceRow& row) {
  const std::string id = HexEncode(row.assignment().device_id());
  for (uint64_t i = row.first_event(); i < row.next_event(); ++i) {
    tx.Delete(kDeviceEvents, EventKey(id, i));
  }
}

absl::StatusOr<fleet::v1::ListDeviceEventsResponse> ListDeviceHistory(
    const Store& store, const fleet::v1::ListDeviceEventsRequest& request) {
  SHOAL_ASSIGN_OR_RETURN(const std::string id, DeviceKey(request.parent()));
  SHOAL_ASSIGN_OR_RETURN(const PageRequest page,
                         ParsePage(request.page_size(), request.page_token()));
  if (!page.after.empty() && page.after.size() != 8) {
    return InvalidArgument("bad_page_token",
                           "page_token is not one that this server gave");
  }
  const auto view = store.View();
  SHOAL_RETURN_IF_ERROR(view->Get<store::DeviceRow>(kDevices, id));
  fleet::v1::ListDeviceEventsResponse response;
  bool whole = true;
  SHOAL_RETURN_IF_ERROR(view->ScanBackwardRaw(
      kDeviceEvents, id, page.after.empty() ? "" : id + page.after,
      [&](std::string_view key, std::string_view value) {
        const std::string_view number = key.substr(id.size());
        if (response.events_size() == static_cast<int>(page.size)) {
          const std::string& last = response.events().rbegin()->name();
          response.set_next_page_token(PageToken(
              SequenceKey(std::stoull(last.substr(last.rfind('/') + 1)))));
          return false;
        }
        fleet::v1::DeviceEvent& event = *response.add_events();
        whole =
            event.ParseFromArray(value.data(), static_cast<int>(value.size()));
        event.set_name(
            fmt::format("devices/{}/events/{}", id, ReadBigEndian(number, 8)));
        return whole;
      }));
  if (!whole) return DataLoss("bad_row", "an event of " + id + " is damaged");
  return response;
}

}  // namespace shoal::server
