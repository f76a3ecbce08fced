// The lines between shoal-fetch and its controller: what parses must come
// back the same when it is written and parsed again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dht/swarm/control.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shoal::dht;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  LineBuffer lines;
  if (!lines.Append(bytes.substr(0, size / 2)).ok() ||
      !lines.Append(bytes.substr(size / 2)).ok()) {
    return 0;
  }
  while (const auto line = lines.Next()) {
    if (const auto event = ParseEvent(*line); event.ok()) {
      const auto again = FormatEvent(*event);
      if (again.ok() && !ParseEvent(again->substr(0, again->size() - 1)).ok()) {
        abort();
      }
    }
    if (const auto command = ParseCommand(*line); command.ok()) {
      const auto again = FormatCommand(*command);
      if (again.ok() &&
          !ParseCommand(again->substr(0, again->size() - 1)).ok()) {
        abort();
      }
    }
  }
  return 0;
}
