// The lines of the control protocol: JSON objects, cut out of a stream.
#include "dht/swarm/control_line.h"

#include <set>

#include "common/status.h"
#include "dht/swarm/control.h"

namespace shoal::dht {

using nlohmann::json;

absl::Status BadControl(std::string_view what) {
  return InvalidArgument("bad_control", what);
}

// An object of scalars and arrays of scalars, nothing deeper.
absl::StatusOr<json> ParseControlObject(std::string_view line) {
  if (line.size() >= kMaxControlLine) return BadControl("line too long");
  std::string problem;
  std::set<std::string> keys;
  const auto check = [&](int depth, json::parse_event_t event, json& value) {
    using E = json::parse_event_t;
    if ((event == E::object_start && depth > 0) ||
        (event == E::array_start && depth > 1)) {
      problem = "too deep";
    } else if (event == E::key &&
               !keys.insert(value.get<std::string>()).second) {
      problem = "duplicate field";
    } else if (event == E::value && value.is_number_float()) {
      problem = "float";
    }
    return problem.empty();
  };
  // The parser allocates for nesting before the callback sees it go back up;
  // lines are short, and this refuses depth before it starts.
  int depth = 0;
  bool text = false, escaped = false;
  for (const char c : line) {
    if (text) {
      if (escaped)
        escaped = false;
      else if (c == '\\')
        escaped = true;
      else if (c == '"')
        text = false;
      continue;
    }
    if (c == '"') text = true;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > 2) return BadControl("too deep");
  }
  json parsed = json::parse(line, check, /*allow_exceptions=*/false);
  if (!problem.empty()) return BadControl(problem);
  if (parsed.is_discarded() || !parsed.is_object())
    return BadControl("no JSON object");
  return parsed;
}

absl::StatusOr<std::string> DumpControl(const json& object) {
  try {
    std::string line = object.dump();
    line += '\n';
    if (line.size() > kMaxControlLine) return BadControl("line too long");
    return line;
  } catch (const json::exception& e) {
    return BadControl(e.what());
  }
}

absl::Status LineBuffer::Append(std::string_view bytes) {
  if (start_ > 0) {
    buffer_.erase(0, start_);
    start_ = 0;
  }
  buffer_ += bytes;
  // Every line in the buffer, finished or not, keeps to the cap.
  size_t begin = 0;
  for (;;) {
    const size_t end = buffer_.find('\n', begin);
    const size_t stop = end == std::string::npos ? buffer_.size() : end;
    if (stop - begin >= kMaxControlLine) return BadControl("line too long");
    if (end == std::string::npos) return absl::OkStatus();
    begin = end + 1;
  }
}

std::optional<std::string> LineBuffer::Next() {
  const size_t end = buffer_.find('\n', start_);
  if (end == std::string::npos) return std::nullopt;
  std::string line = buffer_.substr(start_, end - start_);
  start_ = end + 1;
  return line;
}

}  // namespace shoal::dht
