// One line of the control protocol as JSON: what control_parse.cc and
// control_format.cc share. Private to this folder, since it shows the JSON
// library.
#ifndef SHOAL_DHT_SWARM_CONTROL_LINE_H_
#define SHOAL_DHT_SWARM_CONTROL_LINE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shoal::dht {

// "bad_control".
absl::Status BadControl(std::string_view what);

// An object of scalars and arrays of scalars, nothing deeper.
absl::StatusOr<nlohmann::json> ParseControlObject(std::string_view line);

// With the line feed.
absl::StatusOr<std::string> DumpControl(const nlohmann::json& object);

}  // namespace shoal::dht

#endif  // SHOAL_DHT_SWARM_CONTROL_LINE_H_
