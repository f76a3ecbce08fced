// What a device can be found by: terms, each a field (with its key) and a
// value. The index keeps the devices of each term; a filter is judged over
// the terms of one device or over the index, with the same answer.
#ifndef SHOAL_SERVER_FLEET_DEVICE_TERMS_H_
#define SHOAL_SERVER_FLEET_DEVICE_TERMS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/fleet/filter/filter.h"
#include "server/store/state.pb.h"

namespace shoal::server {

struct DeviceTerm {
  std::string prefix;  // "labels\0site\0", "state\0"
  std::string value;
  std::string Key() const { return prefix + value; }
  auto operator<=>(const DeviceTerm&) const = default;
};

// Prefix of the terms that a condition is about. Not for kName.
std::string TermPrefix(const FilterCondition& condition);
// The one term that every device has.
DeviceTerm AllDevicesTerm();
DeviceTerm GroupTerm(std::string_view group_id);
DeviceTerm StateTerm(fleet::v1::EnrolmentState state);
DeviceTerm TypeTerm(std::string_view device_type);
// `sha256` in hex.
DeviceTerm ImageTerm(std::string_view sha256);
// Hour of a time (milliseconds since 1970), as a value of "last_seen".
std::string HourValue(int64_t time);

// Sorted, each once.
std::vector<DeviceTerm> TermsOf(const store::DeviceRow& row);

// A device as a filter sees it.
struct FilterSubject {
  explicit FilterSubject(const store::DeviceRow& row);
  std::string id;  // hex
  int64_t last_seen = 0;
  std::vector<DeviceTerm> terms;
};
bool Matches(const FilterNode& filter, const FilterSubject& device);

// Brings what a device says of itself within bounds: at most 48 inventory
// entries with identifiers as keys and at most 128 bytes as values; texts at
// most 128 bytes, the reason it waits 512. What is beyond is cut.
void BoundReported(fleet::v1::Device& device);

}  // namespace shoal::server

#endif  // SHOAL_SERVER_FLEET_DEVICE_TERMS_H_
