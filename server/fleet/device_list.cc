#include "server/fleet/device_list.h"

#include <map>
#include <utility>

#include "common/bytes.h"
#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "server/fleet/device_index.h"
#include "server/fleet/device_terms.h"
#include "server/fleet/devices.h"
#include "server/store/paging.h"

namespace shoal::server {
namespace {

using Order = DeviceIndex::Order;

constexpr size_t kQuestionBytes = 4;
constexpr size_t kMaxTokenBytes = 128;

absl::StatusOr<Order> ParseOrder(const std::string& text) {
  if (text.empty() || text == "name" || text == "name asc") return Order::kByName;
  if (text == "last_seen" || text == "last_seen asc") return Order::kBySeen;
  if (text == "last_seen desc") return Order::kBySeenDescending;
  return InvalidArgument("bad_order_by",
                         "order_by is name, last_seen or last_seen desc");
}

FilterNode Equals(FilterField field, const std::string& key,
                  const std::string& value) {
  FilterNode node;
  node.kind = FilterNode::Kind::kCondition;
  node.condition.field = field;
  node.condition.key = key;
  node.condition.pattern.pieces = {value};
  return node;
}

absl::StatusOr<FilterNode> FilterOf(
    const fleet::v1::ListDevicesRequest& request, absl::Time now) {
  const std::map<std::string, std::string> labels(request.labels().begin(),
                                                  request.labels().end());
  SHOAL_RETURN_IF_ERROR(CheckLabels(labels));
  if (!request.device_type().empty() && !IsIdentifier(request.device_type())) {
    return InvalidArgument("bad_request", "device_type is not an identifier");
  }
  FilterNode node;
  node.kind = FilterNode::Kind::kAnd;
  SHOAL_ASSIGN_OR_RETURN(FilterNode filter, ParseFilter(request.filter(), now));
  node.children.push_back(std::move(filter));
  if (!request.device_type().empty()) {
    node.children.push_back(
        Equals(FilterField::kDeviceType, "", request.device_type()));
  }
  for (const auto& [key, value] : labels) {
    node.children.push_back(Equals(FilterField::kLabels, key, value));
  }
  if (!request.states().empty()) {
    FilterNode any;
    any.kind = FilterNode::Kind::kOr;
    for (const int state : request.states()) {
      any.children.push_back(Equals(
          FilterField::kState, "",
          StateTerm(static_cast<fleet::v1::EnrolmentState>(state)).value));
    }
    node.children.push_back(std::move(any));
  }
  return node;
}

std::string QuestionOf(const fleet::v1::ListDevicesRequest& request) {
  std::string text = request.filter() + '\0' + request.order_by() + '\0' +
                     request.device_type();
  const std::map<std::string, std::string> labels(request.labels().begin(),
                                                  request.labels().end());
  for (const auto& [key, value] : labels) text += '\0' + key + '=' + value;
  for (const int state : request.states()) text += fmt::format(" {}", state);
  return text;
}

}  // namespace

fleet::v1::Device DeviceView(const store::DeviceRow& row) {
  fleet::v1::Device device = row.device();
  device.set_etag(fmt::format("{}", row.revision()));
  return device;
}

std::string ListToken(std::string_view question, std::string_view last) {
  return HexEncode(
      crypto::Sha256Digest(std::string(question)).substr(0, kQuestionBytes) +
      std::string(last));
}

absl::StatusOr<std::string> ParseListToken(std::string_view question,
                                           const std::string& token) {
  if (token.empty()) return std::string();
  const absl::Status bad = InvalidArgument(
      "bad_page_token",
      "page_token is not one that this server gave for this request");
  if (token.size() > kMaxTokenBytes) return bad;
  auto bytes = HexDecode(token);
  if (!bytes.ok() || bytes->size() <= kQuestionBytes ||
      bytes->substr(0, kQuestionBytes) !=
          crypto::Sha256Digest(std::string(question))
              .substr(0, kQuestionBytes)) {
    return bad;
  }
  return bytes->substr(kQuestionBytes);
}

absl::StatusOr<fleet::v1::ListDevicesResponse> ListDevices(
    const Store& store, const fleet::v1::ListDevicesRequest& request) {
  SHOAL_ASSIGN_OR_RETURN(const PageRequest page,
                         ParsePage(request.page_size(), ""));
  SHOAL_ASSIGN_OR_RETURN(const Order order, ParseOrder(request.order_by()));
  SHOAL_ASSIGN_OR_RETURN(const FilterNode filter,
                         FilterOf(request, store.clock().WallNow()));
  const std::string question = QuestionOf(request);
  SHOAL_ASSIGN_OR_RETURN(const std::string after,
                         ParseListToken(question, request.page_token()));
  const DeviceIndex index(store);
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet set, index.Select(filter));
  // One more says whether there is another page.
  SHOAL_ASSIGN_OR_RETURN(auto entries,
                         index.List(set, order, after, page.size + 1));
  fleet::v1::ListDevicesResponse response;
  response.set_total_size(static_cast<int32_t>(set.Count()));
  if (entries.size() > page.size) {
    entries.pop_back();
    response.set_next_page_token(
        ListToken(question, DeviceIndex::OrderKey(entries.back(), order)));
  }
  for (const DeviceIndex::Entry& entry : entries) {
    SHOAL_ASSIGN_OR_RETURN(const auto row, index.view().Get<store::DeviceRow>(
                                               kDevices, HexEncode(entry.id)));
    *response.add_devices() = DeviceView(row);
  }
  return response;
}

absl::Status ForEachDevice(
    const Store& store, const FilterNode& filter,
    const std::function<bool(const store::DeviceRow&)>& visit) {
  constexpr size_t kAtOnce = 1000;
  const DeviceIndex index(store);
  SHOAL_ASSIGN_OR_RETURN(const DeviceSet set, index.Select(filter));
  std::string after;
  while (true) {
    SHOAL_ASSIGN_OR_RETURN(const auto entries,
                           index.List(set, Order::kByName, after, kAtOnce));
    for (const DeviceIndex::Entry& entry : entries) {
      SHOAL_ASSIGN_OR_RETURN(
          const auto row,
          index.view().Get<store::DeviceRow>(kDevices, HexEncode(entry.id)));
      if (!visit(row)) return absl::OkStatus();
    }
    if (entries.size() < kAtOnce) return absl::OkStatus();
    after = entries.back().id;
  }
}

}  // namespace shoal::server
