// What parses as CSV is the same after it was written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/cli/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto lines = shoal::cli::ParseCsv(
      std::string_view(reinterpret_cast<const char*>(data), size));
  if (!lines.ok()) return 0;
  std::string text;
  for (const auto& line : *lines) {
    // An empty line is none: nothing to compare with.
    if (line.size() == 1 && line.front().empty()) abort();
    text += shoal::cli::CsvLine(line);
  }
  const auto again = shoal::cli::ParseCsv(text);
  if (!again.ok() || *again != *lines) abort();
  return 0;
}
